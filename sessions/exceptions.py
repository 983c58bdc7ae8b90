"""What can go wrong with a session, in the domain's words; no HTTP, no Django.

* WorkbenchError
    * InvalidValue                  a value outside its documented range
        * PathInvalid               text that cannot name anything in a workspace
    * NotAllowed                    who asks may only look
    * NotFound
        * SessionNotFound
        * ExecutionNotFound
        * KernelspecNotFound
        * CellNotFound              it never was, or is deleted
        * FileNotFound              nothing at that path
        * HostNotFound
    * Conflict
        * EditConflict              a cell's text was changed by somebody else meanwhile
        * ExecutionIdTaken          the client's own id already names another execution
        * ExecutionFinished         too late to cancel or to answer
        * NotSupported              this kernel has no such thing
        * InputNotRequested         no execution waits for input
        * FileExists                something is at that path already
        * WrongFileType             a link, a device, or a directory where a file is needed
    * LimitReached
        * SessionLimitReached
        * QueueLimitReached
        * QuotaReached              what an owner may use in a day
        * NotebookFull
        * FileTooLarge
        * WorkspaceFull
    * Unavailable
        * HostUnavailable           no kernel host answers
        * KernelStartFailed
        * KernelBusy                a question the kernel could not answer in time

The docstring is the sentence a person reads when no other is given. Errors cross the process
boundary as ``{"code", "message", "data"}`` and come out as the same class.
"""

from __future__ import annotations

from typing import Any


class WorkbenchError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, message: str = "", **data: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        # Facts about the error, as plain values, for those who render it. ``elsewhere``: this host
        # has done nothing, and another may have or do what is asked for.
        self.data = data
        super().__init__(self.message)

    def to_wire(self) -> dict[str, Any]:
        """The error as plain data."""
        return {"code": self.code, "message": self.message, "data": self.data}

    @staticmethod
    def codes() -> list[str]:
        """The codes of all errors there are."""
        return sorted(_by_code())

    @staticmethod
    def from_wire(wire: dict[str, Any]) -> WorkbenchError:
        """The error that ``to_wire`` described; an unknown code gives the base class."""
        error = _by_code().get(wire["code"], WorkbenchError)(wire["message"])
        error.data = wire["data"]
        return error


class InvalidValue(WorkbenchError):
    """A value is not valid."""

    code = "invalid_value"


class PathInvalid(InvalidValue):
    """The path is not valid."""

    code = "path_invalid"


class NotAllowed(WorkbenchError):
    """You may only look at this."""

    code = "not_allowed"


class NotFound(WorkbenchError):
    """There is no such thing."""

    code = "not_found"


class SessionNotFound(NotFound):
    """There is no session with this identifier."""

    code = "session_not_found"


class ExecutionNotFound(NotFound):
    """There is no execution with this id."""

    code = "execution_not_found"


class KernelspecNotFound(NotFound):
    """There is no kernel with this name on the server."""

    code = "kernelspec_not_found"


class CellNotFound(NotFound):
    """There is no cell with this id in the notebook."""

    code = "cell_not_found"


class HostNotFound(NotFound):
    """There is no kernel host with this name."""

    code = "host_not_found"


class FileNotFound(NotFound):
    """There is no file or directory with this name."""

    code = "file_not_found"


class Conflict(WorkbenchError):
    """The request does not fit the present state."""

    code = "conflict"


class EditConflict(Conflict):
    """Somebody else has changed this cell meanwhile."""

    code = "edit_conflict"


class ExecutionIdTaken(Conflict):
    """Another execution of this session already has this id."""

    code = "execution_id_taken"


class ExecutionFinished(Conflict):
    """The execution has already ended."""

    code = "execution_finished"


class NotSupported(Conflict):
    """The kernel of this session cannot do this."""

    code = "not_supported"


class InputNotRequested(Conflict):
    """No execution of this session is waiting for input."""

    code = "input_not_requested"


class FileExists(Conflict):
    """A file with this name exists already."""

    code = "file_exists"


class WrongFileType(Conflict):
    """Only regular files and directories can be used, and here only one of the two."""

    code = "wrong_file_type"


class LimitReached(WorkbenchError):
    """A limit of the server is reached."""

    code = "limit_reached"


class SessionLimitReached(LimitReached):
    """The server runs as many sessions as it may. Close one, or try again later."""

    code = "session_limit_reached"


class QueueLimitReached(LimitReached):
    """Too many executions wait in this session. Try again when some have ended."""

    code = "queue_limit_reached"


class QuotaReached(LimitReached):
    """You have used what you may in 24 hours. Try again later, or ask the operator for more."""

    code = "quota_reached"


class NotebookFull(LimitReached):
    """The notebook is as large as it may be. Delete cells to make room."""

    code = "notebook_full"


class FileTooLarge(LimitReached):
    """The file is larger than an upload may be."""

    code = "file_too_large"


class WorkspaceFull(LimitReached):
    """The session's workspace is full. Delete files to make room."""

    code = "workspace_full"


class Unavailable(WorkbenchError):
    """The server cannot do this right now."""

    code = "unavailable"


class HostUnavailable(Unavailable):
    """The kernel host does not answer. Start it with: python manage.py workbench."""

    code = "host_unavailable"


class KernelStartFailed(Unavailable):
    """The kernel did not start."""

    code = "kernel_start_failed"


class KernelBusy(Unavailable):
    """The kernel did not answer in time. Interrupt it, or try again."""

    code = "kernel_busy"


def _by_code() -> dict[str, type[WorkbenchError]]:
    found: dict[str, type[WorkbenchError]] = {}
    waiting = [WorkbenchError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found
