"""The pages of the documentation hold together, and name nothing that is not there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.documents import MARKS, ROOT, Block, blocks, is_shown, pages, prose
from workbench import settings as workbench_settings
from workbench.management.commands.workbench import Command

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
INDEX = ROOT / "docs/README.md"
# A command, up to where another begins, or its output goes elsewhere.
COMMAND = re.compile(r"manage\.py (\w+)((?:[^\n`|;&)>\\]|\\\n)*)")


def links(page: Path) -> list[str]:
    """Where a page leads to in this repository."""
    text = re.sub(r"`[^`]*`", "", prose(page))
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"\w+:", link)]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name if not number else f"{name}-{number}") in names:
            number += 1
        names.add(name if not number else f"{name}-{number}")
    return names


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    page = PAGES[name]

    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and (not anchor or anchor in anchors(target))
        dead += [] if is_there else [link]

    assert not dead


def test_the_index_knows_every_page():
    listed = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX)}

    assert [page for page in (ROOT / "docs").rglob("*.md") if page not in listed | {INDEX}] == []


@pytest.mark.parametrize("name", PAGES)
def test_settings_that_are_named_exist(name):
    """``WORKBENCH_SESSION_…`` means all that begin so."""
    known = workbench_settings.env.known
    named = set(re.findall(r"WORKBENCH_\w+", PAGES[name].read_text()))

    begun = {
        each for each in named if each.endswith("_") and any(one.startswith(each) for one in known)
    }
    assert named - begun - set(known) == set()


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_server_can_be_given(name):
    parser = Command().create_parser("manage.py", "workbench")

    for command, rest in COMMAND.findall(PAGES[name].read_text()):
        assert command in get_commands()
        if command == "workbench":
            words = shlex.split(re.sub(r" \d$", "", rest), comments=True)
            parser.parse_args(words)  # raises a CommandError


@pytest.mark.parametrize("name", PAGES)
def test_targets_of_make_exist(name):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shells = "".join(block.text for block in blocks(PAGES[name]) if block.language == "shell")

    assert set(re.findall(r"^(?:\w+=\S+ )*make (\w+)", shells, re.MULTILINE)) <= set(targets)


@pytest.mark.parametrize("name", PAGES)
def test_blocks_have_marks_that_mean_something(name):
    """A word misspelt would leave a block out of the tests, in silence."""
    found = blocks(PAGES[name])

    assert {block.mark for block in found} <= MARKS
    fences = re.findall(r"^```", PAGES[name].read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(found)


@pytest.mark.parametrize("name", PAGES)
def test_python_is_python_also_where_it_is_not_run(name):
    for block in blocks(PAGES[name]):
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.parametrize(
    ("language", "shown", "printed", "is_so"),
    [
        ("text", "a\n", "a\n", True),
        ("text", "a\n", "b\n", False),
        ("text", "a\n", "a\nb\n", False),
        ("text", "a … c\n", "a b c\n", True),
        ("text", "a …\n", "a b\nc\n", True),
        ("text", "…\na\n…\n", "a\n", True),
        ("text", "…\na\n…\n", "x\ny\na\nz\n", True),
        ("text", "…\na\n…\n", "ba\n", False),
        ("text", "a.c\n", "abc\n", False),
        ("json", '{"a": 1,\n "b": "x  y"}\n', '{"a":1,"b":"x  y"}', True),
        ("json", '{"a": "x y"}\n', '{"a":"xy"}', False),
        ("json", '{…, "a": "b …", …}\n', '{"z":0,"a":"b c","d":[]}', True),
        ("json", '{…, "a": 1, …}\n', '{"z":0,"a":2,"d":[]}', False),
    ],
)
def test_what_counts_as_printed(language, shown, printed, is_so):
    block = Block(ROOT / "README.md", 1, language, "printed", shown)

    assert is_shown(block, printed) is is_so
