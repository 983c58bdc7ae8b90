"""Rules about the whole that a newcomer would otherwise have to know."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions import exceptions

ROOT = Path(__file__).parent.parent
OURS = ("workbench", "files", "sessions", "tests")
FACES = {"rest_framework", "channels", "daphne", "twisted"}
# A package or module -> what it must not import.
FORBIDDEN = {
    "files": {"workbench"},
    "sessions": {"files", "workbench"},
    "sessions/audit.py": FACES,
    "sessions/cell_outputs.py": {"django", *FACES},
    "sessions/exceptions.py": {"django", *FACES},
    "sessions/kernels": {"django", *FACES},
    "sessions/models.py": FACES,
    "sessions/notebook.py": FACES,
    "sessions/notebook_edits.py": {"django", *FACES},
    "sessions/notebook_files.py": FACES,
    "sessions/notebook_html.py": {"django", *FACES},
    "sessions/operations.py": FACES,
    "sessions/outcomes.py": {"django", *FACES},
    "sessions/positions.py": {"django", *FACES},
    "sessions/recorder.py": FACES,
    "sessions/states.py": {"django", *FACES},
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize(("place", "banned"), FORBIDDEN.items())
def test_imports_point_downwards(place, banned):
    paths = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))

    assert paths
    wrong = [(p.name, name) for p in paths for name in imported(p) if name.split(".")[0] in banned]
    assert not wrong


def test_only_the_kernel_modules_know_jupyter_client():
    knowing = {
        str(path.relative_to(ROOT))
        for package in ("workbench", "files", "sessions")
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] == "jupyter_client"
    }

    assert knowing == {
        "sessions/kernels/kernel.py",
        "sessions/kernels/provisioner.py",
        "sessions/kernels/specs.py",  # which kernelspecs there are
    }


def test_our_packages_are_the_ones_imported():
    """Their names are general, and Django has a ``sessions`` of its own."""
    import files
    import sessions

    assert {Path(package.__file__).parent.parent for package in (files, sessions)} == {ROOT}


def test_every_error_has_a_code_of_its_own_and_a_sentence():
    classes = list(descendants(exceptions.WorkbenchError))

    assert len({cls.code for cls in classes}) == len(classes)
    assert all(str(cls()).endswith(".") for cls in classes)


def test_an_error_crosses_the_process_boundary_as_itself():
    error = exceptions.SessionLimitReached("Full.", maximum=3)

    back = exceptions.WorkbenchError.from_wire(error.to_wire())

    assert (type(back), str(back), back.data) == (type(error), "Full.", {"maximum": 3})


def test_every_event_type_is_documented():
    from sessions.states import EventType

    documented = (ROOT / "docs/events.md").read_text()

    assert not [str(type_) for type_ in EventType if f"`{type_}`" not in documented]


def descendants(cls: type) -> Iterator[type]:
    for child in cls.__subclasses__():
        yield child
        yield from descendants(child)
