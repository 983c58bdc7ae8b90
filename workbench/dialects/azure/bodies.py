"""What a client asks to be run, read from the JSON body of either generation; pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from workbench.dialects.azure.errors import invalid, missing, unsupported
from workbench.dialects.azure.newlines import with_real_newlines
from workbench.dialects.azure.versions import ApiVersion

DEFAULT_TIMEOUT_SECONDS = 120
# Longer timeouts are cut to this, as the cloud does.
MAX_TIMEOUT_SECONDS = 220
DEFAULT_STREAM_CHARACTERS = 4096
_SHELLS = ("bash", "sh")
# Linux takes 128 KiB of one argument, and a few MiB of all.
_MAX_ARGUMENT_BYTES = 128 * 1024 - 1
_MAX_ARGUMENTS_BYTES = 1024 * 1024
_MAX_INTEGER = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One thing to run: code, or a command (its program and arguments), never both."""

    code: str = ""
    # None: code is to be run.
    command: list[str] | None = None
    stdin: str = ""
    # As the client spelt it, to be echoed.
    execution_type: str = "Synchronous"
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    # Characters kept of stdout and of stderr; None: all.
    stream_characters: int | None = None
    wants_jupyter_format: bool = False
    # Identifier named in the body; None if there is none.
    identifier: str | None = None

    @property
    def is_asynchronous(self) -> bool:
        return self.execution_type.lower() == "asynchronous"

    def to_remember(self) -> dict[str, Any]:
        """What later polls need to word the answer."""
        return {
            "execution_type": self.execution_type,
            "stream_characters": self.stream_characters,
            "wants_jupyter_format": self.wants_jupyter_format,
        }


def parse_run_request(
    body: dict[str, Any], version: ApiVersion, *, shell_type: str | None = None
) -> RunRequest:
    """Read a body, flat or wrapped in ``properties``; null counts as absent.

    ``shell_type`` is the X-Shell-Type header. Raises Refused.
    """
    fields = _Fields(_unwrapped(body))
    command = _command(fields, shell_type)
    default_length = DEFAULT_STREAM_CHARACTERS if version.has_limits else None
    if fields.boolean("useEmptyKernel"):
        message = "A session has one kernel here: useEmptyKernel is not supported."
        raise unsupported(message, "useEmptyKernel")
    fields.text("networkStatus")
    return RunRequest(
        code="" if command else _code(fields),
        command=command,
        stdin=fields.text("stdin") or "",
        execution_type=fields.choice("executionType", ("Synchronous", "Asynchronous")),
        timeout_seconds=min(
            fields.integer("timeoutInSeconds", 1) or DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS
        ),
        stream_characters=fields.integer("outputStreamsMaxLength", 0, default_length),
        wants_jupyter_format=fields.boolean("returnJupyterFormatExecutionResult")
        or fields.boolean("returnJupyterFormat"),
        identifier=fields.text("identifier"),
    )


def _unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    properties = body.get("properties")
    if properties is None:
        return body
    if not isinstance(properties, dict):
        raise missing("'properties' must be an object.")
    return {**body, **properties}


def _code(fields: _Fields) -> str:
    code = fields.text("code")
    if not code:
        raise missing("The 'code' field is required in the request, and not empty.")
    kind = fields.choice("codeInputType", ("Inline", "InlineText", "InlineBase64"))
    if kind.lower() == "inlinebase64":
        code = _decoded(code)
    return with_real_newlines(code)


def _decoded(code: str) -> str:
    try:
        return base64.b64decode("".join(code.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise invalid("'code' is not UTF-8 text in base64.", "code") from None


def _command(fields: _Fields, shell_type: str | None) -> list[str] | None:
    """The command to run; None if none is given."""
    line, arguments = fields.text("shellCommand"), fields.texts("execCommandAndArgs")
    if line is not None and arguments is not None:
        message = "Give either 'shellCommand' or 'execCommandAndArgs'."
        raise invalid(message, "shellCommand")
    if line is None:
        return _checked_arguments(arguments) if arguments else None
    if not line:
        raise missing("'shellCommand' is empty.")
    _checked_arguments([line])
    shell = fields.choice("shellType", _SHELLS, spelt=shell_type)
    return [shell.lower(), "-c", line]


def _checked_arguments(arguments: list[str]) -> list[str]:
    """The arguments, if a process can be started with them."""
    sizes = [len(argument.encode()) for argument in arguments]
    if max(sizes) > _MAX_ARGUMENT_BYTES or sum(sizes) > _MAX_ARGUMENTS_BYTES:
        raise invalid("The command is too long: an argument has at most 128 KiB.", "shellCommand")
    if any("\0" in argument for argument in arguments):
        raise invalid("A command cannot hold a NUL character.", "shellCommand")
    return arguments


class _Fields:
    """The fields of a body, each with its type checked as it is read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(f"'{name}' must be a string.", name)
        return value

    def texts(self, name: str) -> list[str] | None:
        value = self._values.get(name)
        if value is None:
            return None
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not is_list or not value or not value[0]:
            raise invalid(f"'{name}' must be a list of strings, a program first.", name)
        return list(value)

    def boolean(self, name: str) -> bool:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(f"'{name}' must be true or false.", name)
        return bool(value)

    def integer(self, name: str, minimum: int, default: int | None = None) -> int | None:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise invalid(f"'{name}' must be an integer of at least {minimum}.", name)
        return min(value, _MAX_INTEGER)

    def choice(self, name: str, choices: tuple[str, ...], *, spelt: str | None = None) -> str:
        """The client's own spelling of one of ``choices``, in any case; the first if absent."""
        value = self.text(name)
        value = value if value is not None else spelt
        if value is None:
            return choices[0]
        if value.lower() not in (choice.lower() for choice in choices):
            raise invalid(f"'{name}' must be one of: {', '.join(choices)}.", name)
        return value
