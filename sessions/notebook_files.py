"""A notebook as a file, and back: .ipynb (nbformat 4.5) and .py; pure, no I/O.

What a cell has beyond the format is below ``workbench`` in its metadata: on the way out where its
last run came from and how it ended, on the way in the id and the execution count it had.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from nbformat import converter, validator, versions

from sessions.cell_outputs import JSON_TYPE, WIDGET_STATE_TYPE
from sessions.exceptions import InvalidValue
from sessions.kernels.outputs import clean, count_of
from sessions.kernels.records import timestamp
from sessions.models import Cell, Execution
from sessions.notebook import Document, DocumentCell, NewCell
from sessions.notebook_edits import KINDS, source_text

FORMAT = {"nbformat": 4, "nbformat_minor": 5}
# These have no types of their own.
convert: Any = converter.convert
isvalid: Any = validator.isvalid
iter_validate: Any = validator.iter_validate

# The fields of cells and outputs, and what is there if they are not; ... for nothing.
_TEXT_FIELDS = {"cell_type": ..., "metadata": {}, "source": "", "attachments": ...}
_FIELDS: dict[str, dict[str, Any]] = {
    "markdown": _TEXT_FIELDS,
    "raw": _TEXT_FIELDS,
    "code": {
        "cell_type": ...,
        "metadata": {},
        "source": "",
        "execution_count": None,
        "outputs": [],
    },
}
_OUTPUT_FIELDS: dict[str, dict[str, Any]] = {
    "stream": {"output_type": ..., "name": ..., "text": ...},
    "display_data": {"output_type": ..., "data": ..., "metadata": {}},
    "execute_result": {"output_type": ..., "data": ..., "metadata": {}, "execution_count": None},
    "error": {"output_type": ..., "ename": ..., "evalue": ..., "traceback": ...},
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAGIC = re.compile(r"^(\s*)([%!].*)$", re.MULTILINE)


# --- Out: .ipynb --------------------------------------------------------------------------------


def to_ipynb(document: Document, kernelspec: dict[str, Any] | None = None) -> dict[str, Any]:
    """The notebook in the .ipynb format, valid.

    ``kernelspec`` is one of ``operations.kernelspecs``; None if it is not known. Where the
    notebook came with one of its own, that one stays.
    """
    language = _language(document, kernelspec)
    cells = [_cell(cell, language) for cell in document.cells]
    seen: set[str] = set()
    for cell, written in zip(document.cells, cells, strict=True):
        if written["id"] in seen:
            written["id"] = str(cell.key)
        seen.add(written["id"])
    metadata = _metadata(document, kernelspec, language)
    return _valid({**FORMAT, "metadata": metadata, "cells": cells})


def _metadata(
    document: Document, kernelspec: dict[str, Any] | None, language: str
) -> dict[str, Any]:
    name = document.session.kernel_name
    known = kernelspec or {"display_name": name}
    ours = {
        "kernelspec": {"name": name, "display_name": known["display_name"], "language": language},
        "language_info": {"name": language},
    }
    if document.widgets:
        state = {"version_major": 2, "version_minor": 0, "state": document.widgets}
        ours["widgets"] = {WIDGET_STATE_TYPE: state}
    return ours | document.metadata


def _language(document: Document, kernelspec: dict[str, Any] | None) -> str:
    """The language of its code, in small letters; python where nothing is known."""
    found = (kernelspec or {}).get("language")
    for name, field in (("language_info", "name"), ("kernelspec", "language")):
        given = document.metadata.get(name)
        if isinstance(given, dict) and isinstance(given.get(field), str):
            found = found or given[field]
    return str(found or "python").lower()


def _cell(cell: DocumentCell, language: str) -> dict[str, Any]:
    metadata = dict(cell.metadata)
    own = metadata.pop("workbench", None)
    own = dict(own) if isinstance(own, dict) else {}
    given_id, count = own.pop("id", None), count_of(own.pop("execution_count", None))
    is_id = isinstance(given_id, str) and _ID.fullmatch(given_id)
    written: dict[str, Any] = {"id": given_id if is_id else str(cell.key)}
    if cell.kind in (Cell.Kind.MARKDOWN, Cell.Kind.RAW):
        written |= {"cell_type": cell.kind, "source": cell.source}
        if isinstance(metadata.get("attachments"), dict):
            written["attachments"] = metadata.pop("attachments")
    else:
        if cell.execution:
            count = cell.execution.execution_count
            own = _of_execution(cell.execution)
            metadata["execution"] = _timing(cell.execution)
        written |= {"cell_type": "code", "source": _code(cell, language)}
        written |= {"execution_count": count, "outputs": cell.outputs}
    return {**written, "metadata": {**metadata, **({"workbench": own} if own else {})}}


def _code(cell: DocumentCell, language: str) -> str:
    """A command becomes what runs it, where there is such a thing."""
    is_command = cell.kind == Execution.Kind.COMMAND and language == "python"
    return f"%%sh\n{cell.source}" if is_command else cell.source


def _of_execution(execution: Execution) -> dict[str, Any]:
    return {
        "origin": execution.origin,
        "state": execution.state,
        "queued_at": timestamp(execution.queued_at),
        "started_at": timestamp(execution.started_at),
        "finished_at": timestamp(execution.finished_at),
    }


def _timing(execution: Execution) -> dict[str, str]:
    """When it ran, under the names JupyterLab gives to these times."""
    times = {
        "iopub.execute_input": timestamp(execution.started_at),
        "shell.execute_reply": timestamp(execution.finished_at),
    }
    return {name: at for name, at in times.items() if at}


def _valid(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without what the format forbids: people's metadata, outputs of elsewhere."""
    if _first_error(notebook) is None:
        return notebook
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [each for each in cell["outputs"] if _is_output(each)]
        elif "attachments" in cell and not _are_attachments(cell["attachments"]):
            del cell["attachments"]
    _, stripped = validator.normalize(notebook, 4, 5, strip_invalid_metadata=True)
    return dict(stripped)


def _is_output(value: Any) -> bool:
    return bool(isvalid(value, ref="output", version=4, version_minor=5))


def _are_attachments(value: Any) -> bool:
    return bool(isvalid(value, ref="misc/attachments", version=4, version_minor=5))


def _first_error(notebook: dict[str, Any]) -> Any:
    """What the format's schema says against it; None if it is valid."""
    return next(iter_validate(notebook, version=4, version_minor=5), None)


# --- Out: .py -----------------------------------------------------------------------------------


def to_python(document: Document, kernelspec: dict[str, Any] | None = None) -> str:
    """The notebook as a Python file of ``# %%`` cells, which editors know; without outputs.

    Text, code of other languages and magics become comments, so that Python can read it.
    """
    language = _language(document, kernelspec)
    return "\n".join(_python_cell(cell, language) for cell in document.cells)


def _python_cell(cell: DocumentCell, language: str) -> str:
    match cell.kind:
        case Cell.Kind.CODE if language == "python":
            return f"# %%\n{_as_python(cell.source)}\n"
        case Cell.Kind.CODE:
            label = f"[{language}]"
        case _:
            label = f"[{cell.kind}]"
    return f"# %% {label}\n{_commented(cell.source)}\n"


def _as_python(source: str) -> str:
    if _is_python(source):
        return source
    if source.lstrip().startswith("%%"):
        return _commented(source)
    return _MAGIC.sub(lambda found: f"{found[1]}{'pass  ' * bool(found[1])}# {found[2]}", source)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _commented(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


# --- In: .ipynb ---------------------------------------------------------------------------------


def from_ipynb(content: bytes) -> tuple[dict[str, Any], list[NewCell]]:
    """The metadata and the cells of an .ipynb file of any version.

    Raises InvalidValue, with a sentence that says what is wrong with it; NotebookFull.
    """
    data = _object(content)
    try:
        notebook = _upgraded(data)
        _repair(notebook)
        _, notebook = validator.normalize(notebook, 4, 5, strip_invalid_metadata=True)
        error = _first_error(notebook)
    except Exception as error_:  # other people's code, on other people's files: it may be any
        raise InvalidValue(f"The notebook is broken: {_reason(error_)}.") from error_
    if error is not None:
        raise InvalidValue(f"The notebook is broken: {_place(error.absolute_path)}{_said(error)}.")
    return dict(notebook["metadata"]), cells_of(notebook)


def cells_of(notebook: dict[str, Any]) -> list[NewCell]:
    """The cells of a valid notebook. Raises NotebookFull."""
    return [_new_cell(cell) for cell in notebook["cells"]]


def _new_cell(cell: dict[str, Any]) -> NewCell:
    metadata = dict(cell["metadata"])
    own = metadata.get("workbench")
    own = dict(own) if isinstance(own, dict) else {}
    count = count_of(cell.get("execution_count"))
    own |= {"id": cell["id"]} | ({} if count is None else {"execution_count": count})
    metadata["workbench"] = own
    if cell.get("attachments"):
        metadata["attachments"] = cell["attachments"]
    return NewCell(
        kind=cell["cell_type"],
        source=source_text(_text(cell["source"])),
        metadata=metadata,
        outputs=[_joined(output) for output in cell.get("outputs", [])],
    )


def _object(content: bytes) -> dict[str, Any]:
    try:
        # NaN is no JSON, but Python's notebooks have it.
        data = json.loads(content.decode("utf-8-sig"), parse_constant=lambda _: None)
    except UnicodeDecodeError:
        raise InvalidValue("The file is no notebook: it is not UTF-8 text.") from None
    except RecursionError:
        raise InvalidValue("The file is no notebook: it is nested too deeply.") from None
    except ValueError as error:
        raise InvalidValue(f"The file is no notebook: it is not JSON ({_reason(error)}).") from None
    if not isinstance(data, dict):
        raise InvalidValue("The file is no notebook: it is not a JSON object.")
    return dict(clean(data))


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The notebook in version 4, its texts in one piece."""
    major, minor = data.get("nbformat"), data.get("nbformat_minor", 0)
    is_number = isinstance(major, int) and isinstance(minor, int)
    if not is_number or isinstance(major, bool):
        raise InvalidValue("“nbformat” is missing, which says its version")
    if major not in versions:
        raise InvalidValue(f"nobody knows version {str(major)[:20]} of the format")
    if major < 4:
        data = convert(versions[major].to_notebook_json(data, minor=minor), 4)
    if not isinstance(data.get("cells"), list):
        raise InvalidValue("“cells” is missing, or no list")
    # Plain dictionaries and lists again: nbformat has classes of its own.
    plain: dict[str, Any] = json.loads(json.dumps(data))
    return {**FORMAT, "metadata": plain.get("metadata", {}), "cells": plain["cells"]}


def _repair(notebook: dict[str, Any]) -> None:
    """Add what many programs leave out, and leave out what only they know."""
    used: set[str] = set()
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict):
            raise InvalidValue(f"cell {number} is no JSON object")
        if cell.get("cell_type") not in KINDS:
            raise InvalidValue(f"cell {number} is neither code, nor markdown, nor raw")
        repaired = _repaired(cell, _FIELDS[cell["cell_type"]])
        repaired["id"] = _free_id(cell.get("id"), number, used)
        used.add(repaired["id"])
        if isinstance(repaired.get("outputs"), list):
            repaired["outputs"] = [_repaired_output(output) for output in repaired["outputs"]]
        cell.clear()
        cell.update(repaired)


def _free_id(given: Any, number: int, used: set[str]) -> str:
    id_ = given if isinstance(given, str) and _ID.fullmatch(given) else f"cell-{number}"
    while id_ in used:
        id_ = f"{id_[:50]}-{number}"
    return id_


def _repaired(given: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are known; those with a default get it if they are absent."""
    defaults = {name: default for name, default in fields.items() if default is not ...}
    known = {name: value for name, value in given.items() if name in fields}
    return {**deepcopy(defaults), **known}


def _repaired_output(output: Any) -> Any:
    kind = output.get("output_type") if isinstance(output, dict) else None
    fields = _OUTPUT_FIELDS.get(kind) if isinstance(kind, str) else None
    return output if fields is None else _repaired(output, fields)


def _joined(output: dict[str, Any]) -> dict[str, Any]:
    """An output with its texts in one piece."""
    joined = dict(output)
    if "text" in joined:
        joined["text"] = _text(joined["text"])
    if "data" in joined:
        joined["data"] = {
            mime: value if JSON_TYPE.fullmatch(mime) else _text(value)
            for mime, value in joined["data"].items()
        }
    return joined


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _place(path: Any) -> str:
    """Where in the notebook, for people, who count from one."""
    return "".join(_steps(list(path)))


def _steps(path: list[str | int]) -> Iterator[str]:
    match path:
        case ["cells", int(cell), "outputs", int(output), *_]:
            yield f"cell {cell + 1}, output {output + 1}: "
        case ["cells", int(cell), *_]:
            yield f"cell {cell + 1}: "


def _said(error: Any) -> str:
    return str(error.message).splitlines()[0][:200].rstrip(".")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    said = str(error.args[0]) if error.args else ""
    if isinstance(error, KeyError | AttributeError) and said.isidentifier():
        return f"“{said}” is missing"
    if isinstance(error, KeyError | AttributeError | TypeError | RecursionError):
        return "its parts are not those of a notebook"
    return (said.splitlines() or ["it cannot be read"])[0][:200].rstrip(".")
