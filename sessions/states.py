"""The states of sessions and executions, and the types of events; plain strings, no Django.

Sessions: ``starting -> idle <-> busy -> closed``, with ``restarting`` in between; ``died`` and
``stopped`` (with the host) until they are used again; and the ends ``expired`` and ``lost`` (its
host cannot take it back).
Executions: ``queued -> running -> succeeded | failed | timed_out | interrupted | cancelled | lost``.

And the words of the audit, which says of each of these who wanted it.
"""

from enum import StrEnum


class SessionState(StrEnum):
    """Where a session is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    DIED = "died"  # the kernel process ended by itself; the next execution starts a fresh one
    STOPPED = "stopped"  # the kernel ended with its host; the next execution starts a fresh one
    CLOSED = "closed"
    EXPIRED = "expired"
    LOST = "lost"


class ExecutionState(StrEnum):
    """Where an execution is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    LOST = "lost"


class EventType(StrEnum):
    """What one event says; the shape of its ``data`` is in docs/events.md."""

    SESSION_STATE = "session_state"
    EXECUTION_QUEUED = "execution_queued"
    EXECUTION_STARTED = "execution_started"
    EXECUTION_FINISHED = "execution_finished"
    STREAM = "stream"
    DISPLAY_DATA = "display_data"
    UPDATE_DISPLAY_DATA = "update_display_data"
    EXECUTE_RESULT = "execute_result"
    ERROR = "error"
    CLEAR_OUTPUT = "clear_output"
    INPUT_REQUEST = "input_request"
    INPUT_ANSWERED = "input_answered"
    TRUNCATED = "truncated"
    COMM = "comm"
    FILE = "file"


class HostState(StrEnum):
    """Where a kernel host is in its life."""

    UP = "up"
    STOPPED = "stopped"  # it ended in order; its sessions wait for it
    GONE = "gone"  # given up: what it had is lost


class AuditAction(StrEnum):
    """What somebody did, or tried."""

    SESSION_OPENED = "session_opened"
    SESSION_RENAMED = "session_renamed"
    SESSION_RESTARTED = "session_restarted"
    SESSION_ENDED = "session_ended"
    EXECUTION_ENDED = "execution_ended"
    EXECUTION_INTERRUPTED = "execution_interrupted"  # or cancelled, or asked to be
    FILE_WRITTEN = "file_written"
    FILE_RENAMED = "file_renamed"
    FILE_DELETED = "file_deleted"
    HISTORY_DELETED = "history_deleted"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    ACCOUNT_MADE = "account_made"
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_DELETED = "account_deleted"
    KEY_MADE = "key_made"
    KEY_REVOKED = "key_revoked"
    KEY_DELETED = "key_deleted"
    KEY_USED = "key_used"
    LINK_MADE = "link_made"
    LINK_REVOKED = "link_revoked"
    QUOTA_CHANGED = "quota_changed"
    HOST_DRAINED = "host_drained"  # or asked to open sessions again
    REFUSED = "refused"


# A session in one of these states exists for its clients; its identifier is taken.
LIVE_SESSION_STATES = frozenset(
    {
        SessionState.STARTING,
        SessionState.IDLE,
        SessionState.BUSY,
        SessionState.RESTARTING,
        SessionState.DIED,
        SessionState.STOPPED,
    }
)
UNFINISHED_EXECUTION_STATES = frozenset({ExecutionState.QUEUED, ExecutionState.RUNNING})
