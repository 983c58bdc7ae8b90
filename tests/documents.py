"""The documentation as tests read it: its pages, their blocks of code, and what these print.

A block says behind its language what a test does with it: ``shell run`` and ``python run`` are run,
``text printed`` and ``json printed`` are what the block before prints, ``shell serve`` starts the
server with the settings in it, ``python cell`` is typed into a notebook, and ``text shown`` is what
this then shows. What has none of these words is only read. ``…`` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.running import ROOT, RunningServer

RESULTS = {"printed", "shown"}
MARKS = {"", "run", "serve", "cell", *RESULTS}
ADDRESS, AZURE_ADDRESS = "http://127.0.0.1:8000", "http://127.0.0.1:6000"
BLOCK_SECONDS = 60.0

_FENCE = re.compile(r"^```(\w*)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
# One shell for all blocks of a page, as far as a reader notices: its variables stay.
_SHELL = """
set -aeu -o pipefail
[ ! -e .variables ] || . ./.variables
trap 'export -p > .variables' EXIT
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All pages there are."""
    folders = (ROOT / "docs", ROOT / "deploy")
    return [
        *sorted(ROOT.glob("*.md")),
        *(page for each in folders for page in sorted(each.rglob("*.md"))),
    ]


def blocks(page: Path) -> list[Block]:
    """A page's blocks, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", page.read_text())


def is_shown(block: Block, printed: str) -> bool:
    """Whether a block is what was printed; in JSON, space between values does not matter."""
    shown = block.text
    if block.language == "json":
        shown, printed = _squeezed(shown), _squeezed(printed)
    pattern = "".join(_pattern(line) for line in shown.strip().splitlines())
    return re.fullmatch(pattern, printed.strip() + "\n", re.DOTALL) is not None


def _pattern(line: str) -> str:
    if line == "…":
        return r"(?:[^\n]*\n)*?"  # any number of lines
    return ".*?".join(re.escape(part) for part in line.split("…")) + "\n"


def _squeezed(text: str) -> str:
    return _STRING_OR_SPACE.sub(lambda found: found[1] or "", text)


def steps(page: Path) -> Iterator[tuple[Block, Block | None]]:
    """The blocks that something is done with, each with what it shall print or show, if it says."""
    marked = [block for block in blocks(page) if block.mark]
    for place, block in enumerate(marked):
        if block.mark not in RESULTS:
            after = marked[place + 1 : place + 2]
            yield block, after[0] if after and after[0].mark in RESULTS else None


class Reader:
    """Does what a page says, in a directory that looks like a clone, and checks what comes."""

    def __init__(self, directory: Path, server: RunningServer, programs: Path) -> None:
        """``programs`` is the folder whose ``python`` is meant."""
        self._directory = directory
        self._server = server
        self._programs = programs
        self._servers = ExitStack()
        for name in (".venv", "docs", "manage.py"):
            (directory / name).symlink_to(ROOT / name)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._servers.close()

    def does(self, block: Block, printed: Block | None) -> None:
        """Do it. Fails if it fails, or prints something else."""
        output = self._serve(block) if block.mark == "serve" else self._run(block)
        if printed is not None:
            assert is_shown(printed, output), f"{printed} is not what {block} prints:\n{output}"

    def _serve(self, block: Block) -> str:
        """Start the server, unless it runs; what it has said."""
        if self._server.process is None:
            self._server.environment |= re.findall(r"(WORKBENCH_\w+)=(\S+)", block.text)
            self._servers.enter_context(self._server)
        return self._as_documented(self._server.log.read_text())

    def _run(self, block: Block) -> str:
        text = block.text.replace(ADDRESS, self._server.url)
        text = text.replace(AZURE_ADDRESS, self._server.azure_url)
        is_python = block.language == "python"
        done = subprocess.run(
            ["bash", "-c", _SHELL + ("python -" if is_python else text)],
            cwd=self._directory,
            env={
                **{k: v for k, v in self._server.environment.items() if "WORKBENCH" in k},
                "PATH": f"{self._programs}:{os.environ['PATH']}",
                "HOME": str(self._directory),
                "LANG": "C.UTF-8",
            },
            input=text if is_python else "",
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
        )
        assert done.returncode == 0, (
            f"{block} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return self._as_documented(done.stdout)

    def _as_documented(self, output: str) -> str:
        output = output.replace(self._server.url, ADDRESS)
        return output.replace(self._server.azure_url, AZURE_ADDRESS)
