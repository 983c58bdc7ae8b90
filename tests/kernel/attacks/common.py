"""What the attacks share; its text stands before theirs. Works in a kernel and as a program."""

import ctypes
import errno
import json
import os
import signal

GIVEN = {}  # what the attacker is told: paths, ports and process ids of the machine outside
OUTCOMES = {}
LIBC = ctypes.CDLL(None, use_errno=True)
WALLS = {errno.EPERM, errno.EACCES, errno.ENOSYS}  # how a filter, or a missing right, refuses
MAX_SECONDS = 10  # for one attempt


def attempt(name, attack):
    """Run an attack in a child of its own. What it returns is what it got; nothing: refused."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(MAX_SECONDS)
        os.write(writer, _said(attack).encode("utf-8", "replace")[:2000])
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode("utf-8", "replace")
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        said = said or f"{'refused' if ended_by == signal.SIGSYS else 'died'}: signal {ended_by}"
    OUTCOMES[name] = said or "nothing was said"


def _said(attack):
    try:
        got = attack()
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno, error)}"
    except BaseException as error:
        return f"broken: {error!r}"
    return f"got {got!r}" if got else "refused: nothing"


def call(number, *arguments):
    """A system call: "refused" if the walls say so, else what it came to.

    Arguments are chosen to be wrong or harmless, so that a hole shows but does no harm: an
    answer that only code behind the walls gives (a bad pointer, say) is a hole too.
    """
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    if result == -1:
        if ctypes.get_errno() in WALLS:
            raise OSError(ctypes.get_errno(), "refused")
        return f"let through: {errno.errorcode[ctypes.get_errno()]}"
    return f"let through: {result}"


def report():
    print(json.dumps(OUTCOMES))
