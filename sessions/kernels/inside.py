"""What the workbench adds to a Python kernel: answers about its variables. Runs INSIDE kernels.

Its text is sent along with the questions, so it imports nothing of ours and no library. What a
kernel gets when it starts (``FIRST``) only takes the text in: that keeps the start short. It answers on a comm target, not to code: running code, however silent, fires the kernel's events
(which would show half-drawn figures) and takes ``input()`` away from the cell that runs.

The objects it looks at are the user's, and hostile: whatever they do (raise, hang, print, lie
about their class) stays in a thread of its own, which is given up when it takes too long.
Nothing here changes them.
"""

from __future__ import annotations

import contextvars
import ctypes
import itertools
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

TARGET = "workbench.question"
# The parent of whatever is printed while we look: the host drops it.
ASIDE = "workbench-aside"

# Run once in each kernel, in a namespace of its own.
FIRST = f"""
import comm
def on_first(comm, message):
    text = message["content"]["data"].pop("text")
    if "on_question" not in globals():
        exec(compile(text, "<workbench>", "exec"), globals())
    globals()["on_question"](comm, message)
comm.get_comm_manager().register_target({TARGET!r}, on_first)
"""

# Run once in a kernel that was started before it was known for whom.
SET_VARIABLES = """
import os, sys, time
os.environ.update(variables)
time.tzset()
added = variables.get("PYTHONPATH", "").split(os.pathsep)
sys.path[:0] = [path for path in added if path]
"""

MAX_VARIABLES = 1_000
MAX_NAME_LENGTH = 200
VALUE_LENGTH = 200  # characters of a value in the list, and of a cell in a table
ITEMS_SHOWN = 20  # of a list, a set, a dict
VALUE_SECONDS = 1.0  # for one variable, before it is given up
LIST_SECONDS = 6.0  # for all of them; those behind have no value then
TABLE_SECONDS = 8.0
MAX_ROWS = 200
MAX_COLUMNS = 100
MAX_TABLE_LENGTH = 400_000  # characters in one answer

IPYTHONS_OWN = re.compile(r"_+|_i+|_i?\d+|_[iod]h|__\w+__|In|Out|exit|quit|get_ipython")
CODE_TYPES = {"module", "function", "builtin_function_or_method", "method", "ufunc"}
LIBRARIES = {
    "numpy": ("ndarray",),
    "pandas": ("DataFrame", "Series", "Index"),
    "polars": ("DataFrame", "Series"),
}


class GivenUp(BaseException):
    """Raised in a thread that takes too long: ends it, if it runs Python."""


class Unanswerable(Exception):
    """There is no answer; says why, in a sentence."""


class Aside:
    """Work in a thread of its own, which may be given up."""

    def __init__(self, work: Callable[[], Any]) -> None:
        # What the work returned; empty if it has not.
        self.result: list[Any] = []
        self.error: BaseException | None = None
        self._work = work
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="workbench", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after so many seconds at most."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        if self._thread.ident is not None:
            ident, exception = ctypes.c_ulong(self._thread.ident), ctypes.py_object(GivenUp)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, exception)

    def _run(self) -> None:
        try:
            self.result.append(self._work())
        except BaseException as error:
            self.error = error


# --- Text -------------------------------------------------------------------------------


def type_name(value: Any) -> str:
    """The name of its class: the real one, whatever it says."""
    descriptor: Any = type.__dict__["__name__"]
    return str(descriptor.__get__(type(value)))[:MAX_NAME_LENGTH]


def one_line(text: str, length: int = VALUE_LENGTH) -> str:
    """``text`` on one line, what cannot be seen escaped, cut to ``length``."""
    text = " ".join(str.__str__(text)[: 4 * length].split())
    shown = text
    if not text.isprintable():
        parts = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        shown = "".join(parts)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def short(value: Any, depth: int = 2) -> str:
    """Its repr on one line, without making all of a long one."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return one_line(repr(value[:VALUE_LENGTH]) + ("…" if len(value) > VALUE_LENGTH else ""))
    if kind is int and value.bit_length() > 1_000:
        return f"about 2**{value.bit_length() - 1}"
    if kind in (list, tuple, set, frozenset, dict):
        return one_line(_short_items(value, depth))
    if library_of(value) == "pandas":
        shown = value.columns if hasattr(value, "columns") else value
        items = list(shown[:ITEMS_SHOWN])
        return one_line(", ".join(one_line(str(item), 40) for item in items))
    return one_line(repr(value))


def _short_items(value: Any, depth: int) -> str:
    kind = type(value)
    opening, closing = "[]" if kind is list else "()" if kind is tuple else "{}"
    if not value:
        return repr(value)
    if depth == 0:
        return f"{opening}…{closing}"
    parts = []
    for item in list(itertools.islice(value, ITEMS_SHOWN)):
        key = f"{short(item, 0)}: " if kind is dict else ""
        parts.append(key + short(value[item] if kind is dict else item, depth - 1))
    parts += ["…"] if len(value) > ITEMS_SHOWN else []
    inside = ", ".join(parts) + ("," if kind is tuple and len(value) == 1 else "")
    return f"{opening}{inside}{closing}"


def library_of(value: Any) -> str:
    """numpy, pandas or polars, if it is one of their arrays or frames; empty otherwise.

    Imports nothing: of what was not imported, nobody has a value.
    """
    for library, names in LIBRARIES.items():
        module = sys.modules.get(library)
        for name in names:
            cls = getattr(module, name, None)
            if isinstance(cls, type) and issubclass(type(value), cls):
                return library
    return ""


# --- Variables --------------------------------------------------------------------------


def list_variables(names: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
    """The variables in ``names``, data first; ``hidden`` are those that IPython put there."""
    pairs = [(name, names.get(name)) for name in list(names)]
    found = [(name, value) for name, value in pairs if _is_shown(name, value, hidden)]
    found.sort(key=lambda each: (_is_code(each[1]), each[0].lower(), each[0]))
    kept = found[:MAX_VARIABLES]
    entries = [
        {
            "name": name[:MAX_NAME_LENGTH],
            "type": type_name(value),
            "shape": "",
            "size_bytes": None,
            "value": "",
            "is_table": False,
        }
        for name, value in kept
    ]
    _describe_all(entries, [value for _, value in kept])
    return {"variables": entries, "is_cut": len(found) > len(kept)}


def _is_shown(name: Any, value: Any, hidden: dict[str, Any]) -> bool:
    if type(name) is not str or IPYTHONS_OWN.fullmatch(name):
        return False
    if name in hidden and hidden[name] is value:
        return False
    return not (name.startswith("_") and _is_code(value))


def _is_code(value: Any) -> bool:
    return issubclass(type(value), type) or type_name(value) in CODE_TYPES


def _describe_all(entries: list[dict[str, Any]], values: list[Any]) -> None:
    """Describe each value in its entry. One that hangs is given up, and those behind go on."""
    deadline = time.monotonic() + LIST_SECONDS
    at = 0
    while at < len(entries) and time.monotonic() < deadline:
        places = itertools.count(at)
        done: list[int] = []

        def work(places: Any = places, done: list[int] = done) -> None:
            for place in itertools.takewhile(lambda place: place < len(entries), places):
                entries[place] = {**entries[place], **_described(values[place])}
                done.append(place)

        aside = Aside(work)
        count = -1
        while not aside.wait(VALUE_SECONDS) and len(done) > count and time.monotonic() < deadline:
            count = len(done)
        if aside.wait(0):
            return
        aside.give_up()
        at += len(done)
        entries[at] = {**entries[at], "value": "takes too long to show"}
        at += 1


def _described(value: Any) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, look in (("shape", _shape), ("size_bytes", _size), ("is_table", is_table)):
        try:
            described[name] = look(value)
        except Exception:
            described[name] = {"shape": "", "size_bytes": None, "is_table": False}[name]
    try:
        described["value"] = "" if type_name(value) == "module" else short(value)
    except GivenUp:
        raise
    except BaseException as error:  # also SystemExit: it is only a repr
        described["value"] = f"cannot be shown: {type_name(error)}"
    return described


def _shape(value: Any) -> str:
    if library_of(value):
        return one_line(str(tuple(int(size) for size in value.shape)), 100)
    if type(value) in (list, tuple, set, frozenset, dict, str, bytes, bytearray):
        return f"({len(value)},)"
    return ""


def _size(value: Any) -> int | None:
    library = library_of(value)
    if library == "numpy":
        size = value.nbytes
    elif library == "pandas":
        used = value.memory_usage(deep=False)
        size = used.sum() if hasattr(used, "sum") else used
    elif library == "polars":
        size = value.estimated_size()
    else:
        size = sys.getsizeof(value)
    return int(size) if 0 <= int(size) < 2**53 else None


# --- Tables -----------------------------------------------------------------------------


def is_table(value: Any) -> bool:
    """Whether ``read_table`` can show it."""
    library = library_of(value)
    if library == "pandas":
        return hasattr(value, "iloc")
    if library == "numpy":
        return value.ndim in (1, 2) and value.size > 0
    return type(value) is list and bool(value) and type(value[0]) is dict


def read_table(
    value: Any, *, offset: int, limit: int, sort: str, descending: bool, search: str
) -> dict[str, Any]:
    """Some rows of a table, as text. Raises Unanswerable.

    ``sort`` is the name of a column, empty for the table's own order; ``search`` keeps the rows
    in which it occurs, in whatever case.
    """
    if not is_table(value):
        raise Unanswerable("This variable cannot be shown as a table.")
    table = _table_of(value)
    order: Sequence[int] = range(table.total)
    if search:
        order = table.matching(search.casefold())
    if sort:
        if sort not in table.columns:
            raise Unanswerable("There is no column of this name to sort by.")
        order = _sorted(order, table.column(table.columns.index(sort)), descending=descending)
    shown = list(order[offset : offset + min(limit, MAX_ROWS)])
    rows: list[list[str]] = []
    index: list[str] = []
    length = 0
    for place in shown:
        row = [cell_text(cell) for cell in table.row(place)]
        length += sum(map(len, row))
        if rows and length > MAX_TABLE_LENGTH:
            break
        rows.append(row)
        index.append(cell_text(table.index(place)))
    return {
        "columns": table.described(),
        "total_columns": len(table.columns),
        "index": index,
        "rows": rows,
        "total_rows": len(order),
        "offset": offset,
    }


def cell_text(value: Any) -> str:
    """What a cell shows: texts as they are, all else as short as in the list."""
    if type(value) is str:
        return one_line(value)
    if type(value) is float:
        return "NaN" if value != value else repr(value)
    return one_line(str(value)) if type(value).__module__ != "builtins" else short(value)


def _sorted(order: Sequence[int], column: Sequence[Any], *, descending: bool) -> list[int]:
    """The places in ``order``, by the column's values; what is missing comes last."""
    missing = [place for place in order if _is_missing(column[place])]
    there = [place for place in order if not _is_missing(column[place])]
    try:
        there.sort(key=lambda place: column[place], reverse=descending)
    except TypeError:  # they cannot be compared with each other
        there.sort(key=lambda place: str(column[place]), reverse=descending)
    return there + missing


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except Exception:  # pandas.NA is neither true nor false, an array is both
        return type_name(value) == "NAType"


class Rows:
    """A list of dicts as a table: the columns are the keys, as they come."""

    def __init__(self, value: list[Any]) -> None:
        self._rows = [row if type(row) is dict else {"": row} for row in list(value)]
        keys: dict[Any, None] = {}
        for row in self._rows:
            keys.update(dict.fromkeys(row))
        self._keys = list(keys)
        self.columns = [one_line(str(key)) for key in self._keys]
        self.total = len(self._rows)

    def described(self) -> list[dict[str, Any]]:
        """The columns that are shown, with their types."""
        return [self._description(place) for place in range(min(len(self.columns), MAX_COLUMNS))]

    def _description(self, place: int) -> dict[str, Any]:
        kinds = {type(row[self._keys[place]]) for row in self._rows if self._keys[place] in row}
        name = kinds.copy().pop().__name__ if len(kinds) == 1 else "object"
        is_number = bool(kinds) and kinds <= {int, float}
        return {"name": self.columns[place], "type": name, "is_number": is_number}

    def column(self, place: int) -> Sequence[Any]:
        """The values of a column, None where a row has none."""
        return [row.get(self._keys[place]) for row in self._rows]

    def row(self, place: int) -> list[Any]:
        """The shown cells of a row."""
        return [self._rows[place].get(key, "") for key in self._keys[:MAX_COLUMNS]]

    def index(self, place: int) -> Any:
        """What stands before a row."""
        return place

    def matching(self, text: str) -> list[int]:
        """The places of the rows in which ``text`` occurs."""
        places = range(self.total)
        return [place for place in places if _is_in(text, self._rows[place].values())]


class Frame:
    """A pandas DataFrame as a table; columns are taken by place, for names may occur twice."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.columns = [one_line(str(column)) for column in frame.columns]
        self.total = len(frame)

    def described(self) -> list[dict[str, Any]]:
        """The columns that are shown, with their types."""
        types = list(self._frame.dtypes)[:MAX_COLUMNS]
        return [
            {
                "name": name,
                "type": one_line(str(type_), 60),
                "is_number": getattr(type_, "kind", "O") in "iufc",
            }
            for name, type_ in zip(self.columns, types, strict=False)
        ]

    def column(self, place: int) -> Sequence[Any]:
        """The values of a column."""
        return list(self._frame.iloc[:, place])

    def row(self, place: int) -> list[Any]:
        """The shown cells of a row, each with its own type."""
        shown = range(min(len(self.columns), MAX_COLUMNS))
        return [self._frame.iat[place, column] for column in shown]

    def index(self, place: int) -> Any:
        """What stands before a row."""
        return self._frame.index[place]

    def matching(self, text: str) -> list[int]:
        """The places of the rows in which ``text`` occurs, also before them."""
        columns = [self._frame.iloc[:, place] for place in range(len(self.columns))]
        rows = zip(self._frame.index, *columns, strict=True)
        return [place for place, cells in enumerate(rows) if _is_in(text, cells)]


class Array:
    """A numpy array of one or two dimensions as a table; its columns are numbered."""

    def __init__(self, array: Any) -> None:
        self._array = array if array.ndim == 2 else array.reshape(-1, 1)
        self.columns = [str(place) for place in range(self._array.shape[1])]
        self.total = int(self._array.shape[0])

    def described(self) -> list[dict[str, Any]]:
        """The columns that are shown; all of one type."""
        type_ = self._array.dtype
        shared = {"type": one_line(str(type_), 60), "is_number": type_.kind in "iufc"}
        return [{"name": name, **shared} for name in self.columns[:MAX_COLUMNS]]

    def column(self, place: int) -> Sequence[Any]:
        """The values of a column."""
        values: list[Any] = self._array[:, place].tolist()
        return values

    def row(self, place: int) -> list[Any]:
        """The shown cells of a row."""
        return list(self._array[place, :MAX_COLUMNS])

    def index(self, place: int) -> Any:
        """What stands before a row."""
        return place

    def matching(self, text: str) -> list[int]:
        """The places of the rows in which ``text`` occurs."""
        return [place for place, cells in enumerate(self._array) if _is_in(text, cells)]


def _is_in(text: str, cells: Any) -> bool:
    return any(text in cell_text(cell).casefold() for cell in cells)


def _table_of(value: Any) -> Rows | Frame | Array:
    library = library_of(value)
    if library == "numpy":
        return Array(value)
    if library == "pandas":
        return Frame(value if hasattr(value, "columns") else value.to_frame())
    return Rows(value)


# --- Answering --------------------------------------------------------------------------


def answer(asked: dict[str, Any], names: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question of the host: its result, or why there is none."""
    asked = dict(asked)
    if asked.pop("what") == "variables":
        return {"result": list_variables(names, hidden)}
    name = asked.pop("name")
    if name not in names:
        return {"problem": "There is no variable of this name any more."}
    aside = Aside(lambda: read_table(names[name], **asked))
    if not aside.wait(TABLE_SECONDS):
        aside.give_up()
        return {"problem": "It takes too long to read this table."}
    if aside.error is not None:
        why = aside.error.args[0] if isinstance(aside.error, Unanswerable) else None
        return {"problem": why or f"The table cannot be read: {type_name(aside.error)}."}
    return {"result": aside.result[0]}


def on_question(comm: Any, message: Any) -> None:
    """Called by the kernel, in its thread, which must not wait: the answer closes the comm."""

    def work() -> None:
        from IPython import get_ipython  # type: ignore[import-not-found, unused-ignore]

        shell = get_ipython()
        for stream in (sys.stdout, sys.stderr, shell.display_pub):
            if hasattr(stream, "set_thread_parent"):
                stream.set_thread_parent({"header": {"msg_id": ASIDE}})
        try:
            told = answer(message["content"]["data"], shell.user_ns, shell.user_ns_hidden)
        except Exception as error:
            told = {"problem": f"The kernel could not answer: {type_name(error)}."}
        comm.close(data=told)

    Aside(work)
