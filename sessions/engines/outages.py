"""Redis, as the log tells of it: once when it goes away, once when it is back."""

from __future__ import annotations

import logging


class Outage:
    """One use of Redis, and whether it is away for that; ``meanwhile`` says what is so then."""

    def __init__(self, logger: logging.Logger, meanwhile: str) -> None:
        self._logger = logger
        self._meanwhile = meanwhile
        self._lasts = False

    def begin(self, error: BaseException) -> None:
        """It does not do what it should. Its errors name its address, never its password."""
        if not self._lasts:
            self._lasts = True
            reason = str(error) or "it does not answer"
            self._logger.warning("Redis is away: %s. %s", self._meanwhile, reason)

    def end(self) -> None:
        """It does."""
        if self._lasts:
            self._lasts = False
            self._logger.info("Redis is back.")
