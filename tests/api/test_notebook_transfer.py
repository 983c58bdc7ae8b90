"""Notebook files in and out, with what real kernels put out."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest

from sessions import notebook, notebook_html, operations
from sessions.models import Cell, Notebook
from sessions.operations import SessionRef
from tests.api.notebooks import an_execution, edit, new_cell, sources

REF = SessionRef(owner_id=None, identifier="s")
IPYNB = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"title": "T"}}

pytestmark = pytest.mark.usefixtures("host")


async def put(api: Any, ipynb: Any, mode: str = "append") -> Any:
    body = ipynb if isinstance(ipynb, bytes) else json.dumps(ipynb).encode()
    address = f"/api/v1/sessions/s/notebook?mode={mode}"
    return await api.put(address, body, content_type="application/x-ipynb+json")


def an_ipynb(*texts: str) -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "id": f"c{n}", "source": text, "metadata": {}}
        for n, text in enumerate(texts)
    ]
    return {**IPYNB, "cells": cells}


async def test_a_file_is_taken_behind_what_is_there_or_instead(api, session):
    await an_execution(session, 1, code="run")
    await edit(session, new_cell(source="written"))

    appended = await put(api, an_ipynb("a", "b"))
    behind = await sources(session)
    replaced = await put(api, an_ipynb("c"), "replace")

    assert appended.json() == {"cells": 2, "version": 2}
    assert behind == ["run", "written", "a", "b"]
    assert replaced.json() == {"cells": 1, "version": 3}
    assert await sources(session) == ["c"]
    assert (await notebook.state_of(session.id))[1] == {"title": "T"}


async def test_a_broken_file_is_refused_and_nothing_is_written(api, session):
    answer = await put(api, {**IPYNB, "cells": [{"cell_type": "dance"}]}, "replace")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The notebook is broken: cell 1 is neither code, nor markdown, nor raw.",
        "code": "invalid_value",
    }
    assert not await Notebook.objects.aexists()


async def test_a_file_beyond_the_limits_is_refused_whole(api, session, monkeypatch):
    monkeypatch.setattr(notebook, "MAX_CELLS", 1)

    answer = await put(api, an_ipynb("a", "b"))

    assert (answer.status_code, answer.json()["code"]) == (413, "notebook_full")
    assert not await Cell.objects.aexists()


async def test_an_unknown_mode_is_refused(api, session):
    assert (await put(api, an_ipynb(), "merge")).status_code == 400


async def test_a_large_file_is_taken(api, session):
    answer = await put(api, an_ipynb(*map(str, range(3_000))))

    assert answer.json()["cells"] == 3_000
    assert await sources(session) == list(map(str, range(3_000)))


async def exported(api: Any, suffix: str) -> Any:
    answer = await api.get(f"/api/v1/sessions/s/notebook{suffix}")
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Disposition"] == f'attachment; filename="s{suffix}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    return answer


RICH = """
import sys
from IPython.display import HTML, clear_output, display
print("gone")
clear_output()
print("out"); print("err", file=sys.stderr)
shown = display(HTML("<b>old</b>"), display_id=True)
shown.update(HTML("<b>new</b>"))
6 * 7
"""


@pytest.mark.kernel
async def test_what_real_kernels_put_out_is_exported_and_imported(api):
    await operations.run_code(REF, RICH, origin="azure", create=True)
    await operations.run_code(REF, "1/0", origin="rce")

    ipynb = (await exported(api, ".ipynb")).json()
    await put(api, ipynb, "replace")
    again = (await exported(api, ".ipynb")).json()

    nbformat.validate(nbformat.from_dict(ipynb))
    first, second = ipynb["cells"]
    assert [output.get("name") for output in first["outputs"]] == ["stdout", "stderr", None, None]
    assert first["outputs"][2]["data"]["text/html"] == "<b>new</b>"
    assert first["outputs"][3]["data"]["text/plain"] == "42"
    assert first["execution_count"] == first["outputs"][3]["execution_count"] == 1
    assert first["metadata"]["workbench"]["origin"] == "azure"
    assert second["outputs"][0]["ename"] == "ZeroDivisionError"
    assert ipynb["metadata"]["kernelspec"]["name"] == "python3"
    assert [cell["outputs"] for cell in again["cells"]] == [first["outputs"], second["outputs"]]
    assert [cell["id"] for cell in again["cells"]] == [first["id"], second["id"]]


async def test_a_notebook_is_exported_as_python(api, session):
    await put(api, an_ipynb("Words"))
    await an_execution(session, 5, code="x = 1")

    text = (await exported(api, ".py")).content.decode()

    assert text == "# %% [markdown]\n# Words\n\n# %%\nx = 1\n"


async def test_a_page_needs_no_internet_unless_it_has_formulas(api, session):
    await put(api, an_ipynb("Words, and <b>more</b>"))
    plain = (await exported(api, ".html")).content.decode()
    await put(api, an_ipynb("$x^2$ and $y$"))
    formula = (await exported(api, ".html")).content.decode()

    assert "Words" in plain
    assert "<script" not in plain
    assert "mathjax" in formula.lower()


async def test_a_page_that_takes_too_long_is_given_up_in_words(api, session, monkeypatch):
    monkeypatch.setattr(notebook_html, "TIMEOUT_SECONDS", 0.0)

    answer = await api.get("/api/v1/sessions/s/notebook.html")

    assert answer.status_code == 503
    assert ".ipynb instead" in answer.json()["detail"]
