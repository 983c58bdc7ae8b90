"""What the documentation says to type is typed, and prints what it says, on the whole server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.installed import programs_of
from tests.documents import Reader, pages, steps
from tests.running import ROOT, RunningServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

# Those with cells are read beside a browser: tests/browser/test_tutorial.py.
READ_ALONE = {
    str(page.relative_to(ROOT)): page
    for page in pages()
    if (marks := {block.mark for block, _ in steps(page)}) and "cell" not in marks
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One for all pages that start none: each has sessions of its own."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.mark.parametrize("name", READ_ALONE)
def test_a_page_can_be_followed_as_printed(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    """From its first block to its last; pages about a client in the client's environment."""
    page = READ_ALONE[name]
    starts_a_server = any(block.mark == "serve" for block, _ in steps(page))
    if starts_a_server:
        (tmp_path / "data").mkdir()
        server = RunningServer(tmp_path / "data", WORKBENCH_WARM_KERNELS="0")
    else:
        server = request.getfixturevalue("server")
    (clone := tmp_path / "clone").mkdir()

    with Reader(clone, server, programs_for(page)) as reader:
        for block, printed in steps(page):
            reader.does(block, printed)


def programs_for(page: Path) -> Path:
    """The folder of the client that the page is about; without one, of the server's Python."""
    if page.stem not in {"autogen", "backendai", "langchain"}:
        return ROOT / ".venv/bin"
    return programs_of(page.stem)
