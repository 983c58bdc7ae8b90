"""Images, defaults of batch mode, names of uploads, queries: what needs no server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sessions.exceptions import InvalidValue
from workbench.dialects.backendai.completion import cursor_in
from workbench.dialects.backendai.creation import parse_creation
from workbench.dialects.backendai.defaults import command_for
from workbench.dialects.backendai.images import environment_of
from workbench.dialects.backendai.names import uploaded_name
from workbench.dialects.backendai.queries import parse_query
from workbench.errors import Refused

PYTHON = {"name": "python3", "language": "python", "display_name": "Python 3", "version": ""}
BASH = {"name": "bash", "language": "bash", "display_name": "Bash", "version": ""}


# --- Images -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "language", "kernel"),
    [
        ("python:3.11", "python", "python3"),
        ("python", "python", "python3"),
        ("cr.backend.ai/stable/python:3.9-ubuntu20.04", "python", "python3"),
        ("localhost:5000/stable/python@sha256:abc", "python", "python3"),
        ("lablup/kernel-python:latest", "python", "python3"),
        ("python-tensorflow:2.12", "python", "python3"),
        ("python3", "python", "python3"),
        ("bash", "bash", "bash"),
        ("c:gcc6.3", "c", "python3"),
        ("c++", "cpp", "python3"),
        ("go:1.21", "golang", "python3"),
        ("rust", "rust", "python3"),
        ("node:20", "nodejs", "python3"),
    ],
)
def test_an_image_names_a_language_and_a_kernel(image: str, language: str, kernel: str) -> None:
    environment = environment_of(image, [PYTHON, BASH])

    assert environment is not None
    assert (environment.language, environment.kernel_name) == (language, kernel)


@pytest.mark.parametrize("image", ["nonsense", "", ":", "pythonx", "/"])
def test_an_unknown_image_names_nothing(image: str) -> None:
    assert environment_of(image, [PYTHON, BASH]) is None


# --- Defaults -----------------------------------------------------------------------------------


def run(directory: Path, step: str, line: str | None, language: str):
    """Run a step as a session would, in ``directory`` as its home."""
    command = command_for(step, line, language)
    assert command is not None
    environment = {"HOME": str(directory), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=50
    )


@pytest.mark.parametrize("line", [None, "", "  "])
@pytest.mark.parametrize("step", ["clean", "build", "exec"])
def test_nothing_asked_for_is_a_step_skipped(step: str, line: str | None) -> None:
    assert command_for(step, line, "c") is None


def test_a_command_line_is_the_shells(tmp_path: Path) -> None:
    done = run(tmp_path, "exec", 'pwd; echo "it\'s $((1 + 1))" >&2; exit 3', "python")

    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "it's 2\n")


def test_a_makefile_is_made_whatever_the_language(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\t@echo made\nclean:\n\t@echo cleaned\n")

    assert run(tmp_path, "build", "*", "python").stdout == "made\n"
    assert run(tmp_path, "build", "*", "lua").stdout == "made\n"
    assert run(tmp_path, "clean", "*", "c").stdout == "cleaned\n"
    assert command_for("clean", "*", "python") is None


def test_cleaning_without_a_makefile_warns_only(tmp_path: Path) -> None:
    done = run(tmp_path, "clean", "*", "c")

    assert done.returncode == 0
    assert done.stderr.startswith("c-kernel: ")


@pytest.mark.parametrize(("language", "suffix"), [("c", ".c"), ("cpp", ".cpp")], ids=["c", "cpp"])
def test_sources_of_one_name_in_two_directories_are_linked(
    tmp_path: Path, language: str, suffix: str
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "a b").mkdir()
    (tmp_path / "é").mkdir()
    (tmp_path / "a b" / f"part{suffix}").write_text("int one(void) { return 1; }")
    (tmp_path / "é" / f"part{suffix}").write_text("int two(void) { return 2; }")
    (tmp_path / f"main{suffix}").write_text(
        "#include <math.h>\n#include <stdio.h>\nint one(void); int two(void);\n"
        'int main(int n, char **v) { printf("%d %.0f\\n", one() + two(), sqrt(8.0 + n)); }'
    )

    built = run(tmp_path, "build", "*", language)
    ran = run(tmp_path, "exec", "*", language)

    assert built.returncode == 0, built.stderr
    assert (ran.returncode, ran.stdout) == (0, "3 3\n")


def test_c_is_compiled_as_c(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "main.c").write_text("int main(void) { int class = 0; return class; }")

    assert run(tmp_path, "build", "*", "c").returncode == 0


def test_a_source_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "main.c").write_text("int main(void) { return x; }")
    done = run(tmp_path, "build", "*", "c")

    assert done.returncode != 0
    assert "main.c" in done.stderr
    assert not (tmp_path / "main").exists()


@pytest.mark.parametrize("language", ["c", "cpp", "golang", "rust", "java", "haskell"])
def test_nothing_to_build_is_127(tmp_path: Path, language: str) -> None:
    done = run(tmp_path, "build", "*", language)

    assert done.returncode == 127
    assert done.stderr.startswith(f"{language}-kernel: cannot find")


@pytest.mark.parametrize("language", ["python", "nodejs", "lua", "bash", "nonsense"])
def test_languages_that_are_not_built_succeed_at_it(tmp_path: Path, language: str) -> None:
    assert run(tmp_path, "build", "*", language).returncode == 0


@pytest.mark.parametrize(
    "language",
    ["python", "c", "cpp", "golang", "rust", "java", "haskell", "nodejs", "lua", "php", "r", "?"],
)
def test_nothing_to_run_is_127(tmp_path: Path, language: str) -> None:
    done = run(tmp_path, "exec", "*", language)

    assert done.returncode == 127
    assert done.stderr.startswith(f"{language}-kernel: cannot find")


# --- Names of uploads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "agent", "meant"),
    [
        ("main.py", "curl/8", "main.py"),
        (
            "src%2Fdeep%2Fa%20b_%C3%A9.txt",
            "Backend.AI Client for Python 23.09.10",
            "src/deep/a b_é.txt",
        ),
        ("src%2Fdeep%2Fa%20b_%C3%A9.txt", "another", "src/deep/a b_é.txt"),
        ("src/deep/100%25.txt", "curl/8", "src/deep/100%25.txt"),
        ("100%.txt", "curl/8", "100%.txt"),
        ("é%20.txt", "curl/8", "é%20.txt"),
        ("a\\b.c", "curl/8", "a/b.c"),
        ("..%2F..%2Fetc%2Fpasswd", "another", "../../etc/passwd"),
    ],
)
def test_a_name_is_decoded_if_it_was_encoded(sent: str, agent: str, meant: str) -> None:
    assert uploaded_name(sent, agent) == meant


def test_escapes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidValue):
        uploaded_name("%ff%fe", "curl/8")


# --- Bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "mode is missing or empty!"),
        ({"mode": ""}, "mode is missing or empty!"),
        ({"mode": 1}, "mode is missing or empty!"),
        ({"mode": "dance"}, "mode has an invalid value."),
        ({"mode": "continue", "runId": None}, "continuation requires explicit run ID"),
        ({"mode": "input", "code": "x"}, "continuation requires explicit run ID"),
        ({"mode": "query", "code": 1}, "Input validation error"),
        ({"mode": "query", "runId": 1}, "Input validation error"),
        ({"mode": "batch", "options": "{batch-execution-query-object}"}, "Input validation error"),
        ({"mode": "batch", "options": [1]}, "Input validation error"),
        ({"mode": "batch", "options": "[" * 100_000}, "Input validation error"),
    ],
)
def test_a_query_that_is_wrong_is_refused(body: dict, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_query(body)

    assert refusal.value.message == message
    assert refusal.value.status == 400


def test_a_batch_is_three_steps_skipped_ones_too() -> None:
    query = parse_query({"mode": "batch", "code": None, "options": '{"exec": "./main"}'})
    steps = query.steps("c")

    assert [step.name for step in steps] == ["clean", "build", "exec"]
    assert [step.command is None for step in steps] == [True, True, False]
    assert steps[2].command is not None
    assert steps[2].command[-1] == "./main"


def test_a_query_is_one_step_of_code() -> None:
    (step,) = parse_query({"mode": "query", "code": "1 + 1", "runId": None}).steps("python")

    assert (step.name, step.code, step.command) == ("query", "1 + 1", None)


@pytest.mark.parametrize("options", [{"exec": 1}, {"build": ["make"]}, {"clean": "a\0b"}])
def test_a_step_that_is_no_command_line_is_refused(options: dict) -> None:
    with pytest.raises(Refused):
        parse_query({"mode": "batch", "options": options}).steps("python")


@pytest.mark.parametrize(
    "name", ["abc", "x" * 65, "-abc", "abc-", "a b c", "a/bcd", "été1", "create"]
)
def test_names_that_sessions_may_not_have(name: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_creation({"name": name, "image": "python"})

    assert refusal.value.data.keys() == {"name"}


@pytest.mark.parametrize("name", ["abcd", "x" * 64, "a.-b", "_ab_", "1234"])
def test_names_that_sessions_may_have(name: str) -> None:
    assert parse_creation({"clientSessionToken": name, "lang": "python"}).name == name


@pytest.mark.parametrize(
    ("options", "cursor"),
    [
        ({}, 6),
        ({"row": 0, "col": 2}, 2),
        ({"row": 1, "col": 1}, 4),
        ({"row": 9, "col": 9}, 6),
        ({"row": 1}, 6),
    ],
)
def test_a_row_and_a_column_are_a_place(options: dict, cursor: int) -> None:
    assert cursor_in("ab\ncde", options) == cursor
