"""Lines of the log, for people and for programs; both say which request and session they are about."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from sessions.kernels import trace


class Text(logging.Formatter):
    """``time LEVEL logger: message [request=… session=…]``, then a traceback if there is one."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        about = " ".join(f"{name}={value}" for name, value in _about().items())
        return f"{line} [{about}]" if about else line


class Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message; request, session, exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_about(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line)


def _about() -> dict[str, str]:
    known = {"request": trace.request_id.get(), "session": trace.session_id.get()}
    return {name: value for name, value in known.items() if value}
