"""Azure's pure parts: values, versions, bodies, paths, line breaks."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.dialects.azure.bodies import parse_run_request
from workbench.dialects.azure.newlines import with_real_newlines
from workbench.dialects.azure.paths import FileAddress, directory_path, file_address, file_path
from workbench.dialects.azure.values import value_of
from workbench.dialects.azure.versions import ApiVersion, parse_version
from workbench.errors import Refused

OLD = ApiVersion("2024-08-02-preview")
NEW = ApiVersion("2025-10-02-preview")
NONE = ApiVersion("")


# --- Values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, ""),
        ("", ""),
        ("True", True),
        ("False", False),
        ("42", 42),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e-05", 1e-05),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("'abc'", "abc"),
        ("'5'", "5"),
        ("'nan'", "nan"),
        ('"it\'s"', "it's"),
        (r"'a\nb\t\\ \x00 \u20ac'", "a\nb\t\\ \x00 \u20ac"),
        ("'\U0001f600'", "\U0001f600"),
        ("[1, 2]", "[1, 2]"),
        ("{'a': 1}", "{'a': 1}"),
        ("   a\n0  1", "   a\n0  1"),
        ("None", "None"),
        ("007", "007"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("\u0661\u0662", "\u0661\u0662"),
        ("b'abc'", "b'abc'"),
        ("'a' 'b'", "'a' 'b'"),
        ("'a", "'a"),
        ("'", "'"),
        (r"'\ud800'", r"'\ud800'"),
        (r"'\U00110000'", r"'\U00110000'"),
        (r"'\d'", r"'\d'"),
        (r"'\x4'", r"'\x4'"),
        ("'''abc'''", "'''abc'''"),
        ("1e400", "1e400"),
        (str(2**64), 2**64),
        ("9" * 400, "9" * 400),
        ("9" * 100_000, "9" * 100_000),
    ],
)
def test_value_of_text(text: str | None, value: object) -> None:
    """The table of values: numbers, booleans and strings become themselves, the rest is text."""
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_value_of_any_strings_repr_is_the_string(text: str) -> None:
    """What ``repr`` writes of a string is read back as that string."""
    assert value_of(repr(text)) == text


@given(st.text())
def test_value_of_any_text_is_json(text: str) -> None:
    """Whatever an object calls itself, the answer can be written as strict JSON in UTF-8."""
    json.dumps(value_of(text.encode("utf-8", "replace").decode()), allow_nan=False).encode()


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_value_of_scalars_repr_is_the_scalar(scalar: float) -> None:
    """Numbers arrive exactly."""
    assert value_of(repr(scalar)) == scalar


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_value_of_containers_is_their_text(container: object) -> None:
    """Lists and tuples are never turned into JSON."""
    assert value_of(repr([container])) == repr([container])


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "'" + "\\" * 1_000_001, "'" * 1_000_001, "'" + "a\\n" * 700_000 + "'"],
)
def test_value_of_hostile_text_is_quick(text: str) -> None:
    """Depth and length cost no more than reading the text."""
    began = time.process_time()

    value_of(text)

    assert time.process_time() - began < 2


# --- Versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_old"),
    [
        ("2024-02-02-preview", True),
        ("2024-08-02-preview", True),
        ("2024-10-02-preview", False),
        ("2025-10-02-preview", False),
        ("2025-07-01", False),
        ("2031-01-31-preview", False),
    ],
)
def test_parse_version_accepts(text: str, *, is_old: bool) -> None:
    """Two old versions by name; from the first new one on, any later date."""
    assert parse_version(text, required=True).is_old is is_old


@pytest.mark.parametrize(
    "text",
    ["", "latest", "2023-08-01-preview", "2024-05-01", "2024-08-02", "2025-13-01", "2025-10-02-x",
     "2025-10-02-preview\n", "9" * 1000],
)  # fmt: skip
def test_parse_version_refuses(text: str) -> None:
    """Malformed and dead versions are InvalidApiVersion."""
    with pytest.raises(Refused) as refused:
        parse_version(text, required=False)

    assert refused.value.code == "InvalidApiVersion"


def test_parse_version_may_be_missing() -> None:
    """The container does without a version, the cloud does not."""
    assert parse_version(None, required=False) == NONE
    with pytest.raises(Refused):
        parse_version(None, required=True)


# --- Bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"code": "1"},
        {"properties": {"code": "1"}},
        {"properties": None, "code": "1"},
        {"code": "MQ==", "codeInputType": "inlinebase64"},
        {"code": "1", "codeInputType": "InlineText", "timeoutInSeconds": None},
    ],
)
def test_parse_run_request_reads_code(body: dict[str, object]) -> None:
    """Flat or wrapped, plain or base64."""
    assert parse_run_request(body, NEW).code == "1"


def test_parse_run_request_defaults() -> None:
    """Nothing but the code is needed; only the newest version cuts streams by itself."""
    wanted = parse_run_request({"code": "1"}, NEW)

    assert (wanted.timeout_seconds, wanted.execution_type) == (120, "Synchronous")
    assert wanted.stream_characters == 4096
    assert parse_run_request({"code": "1"}, OLD).stream_characters is None
    assert parse_run_request({"code": "1", "outputStreamsMaxLength": 9}, OLD).stream_characters == 9


def test_parse_run_request_cuts_the_timeout() -> None:
    """No run takes longer than the contract's 220 seconds."""
    assert parse_run_request({"code": "1", "timeoutInSeconds": 10**30}, NEW).timeout_seconds == 220


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"shellCommand": "ls"}, ["bash", "-c", "ls"]),
        ({"shellCommand": "ls", "shellType": "SH"}, ["sh", "-c", "ls"]),
        ({"execCommandAndArgs": ["ls", "-l"]}, ["ls", "-l"]),
    ],
)
def test_parse_run_request_reads_commands(fields: dict[str, object], command: list[str]) -> None:
    """A line for a shell, or a program with its arguments."""
    assert parse_run_request(fields, NEW).command == command


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code": None},
        {"code": ""},
        {"code": 1},
        {"code": ["1"]},
        {"properties": []},
        {"properties": "code"},
        {"code": "1", "codeInputType": "file"},
        {"code": "1", "codeInputType": 1},
        {"code": "%%%", "codeInputType": "InlineBase64"},
        {"code": "/w==", "codeInputType": "InlineBase64"},
        {"code": "é", "codeInputType": "InlineBase64"},
        {"code": "1", "executionType": "later"},
        {"code": "1", "timeoutInSeconds": 0},
        {"code": "1", "timeoutInSeconds": -1},
        {"code": "1", "timeoutInSeconds": 1.5},
        {"code": "1", "timeoutInSeconds": "60"},
        {"code": "1", "timeoutInSeconds": True},
        {"code": "1", "outputStreamsMaxLength": -1},
        {"code": "1", "useEmptyKernel": True},
        {"code": "1", "useEmptyKernel": "yes"},
        {"code": "1", "returnJupyterFormat": 1},
        {"code": "1", "networkStatus": 1},
        {"code": "1", "identifier": 1},
        {"shellCommand": "ls", "execCommandAndArgs": ["ls"]},
        {"shellCommand": ""},
        {"shellCommand": "a\0b"},
        {"shellCommand": "x" * 200_000},
        {"shellCommand": "ls", "shellType": "zsh"},
        {"shellCommand": "ls", "stdin": 1},
        {"execCommandAndArgs": []},
        {"execCommandAndArgs": [""]},
        {"execCommandAndArgs": ["ls", 1]},
        {"execCommandAndArgs": "ls"},
    ],
)
def test_parse_run_request_refuses(fields: dict[str, object]) -> None:
    """Whatever is missing, of the wrong type or out of range is a 400."""
    with pytest.raises(Refused) as refused:
        parse_run_request(fields, NEW)

    assert refused.value.status == 400


# --- Line breaks -------------------------------------------------------------------------------


def test_line_breaks_lost_in_a_shell_are_restored() -> None:
    r"""The documented asynchronous sample, as JSON decodes it."""
    code = r'import time\ntime.sleep(2)\nprint("Hello from async code")'

    assert with_real_newlines(code) == (
        'import time\ntime.sleep(2)\nprint("Hello from async code")'
    )


@pytest.mark.parametrize(
    "code",
    [
        r'print("a\nb")',
        r"x = 'a\nb'; await f('\n')",
        "print('a\\nb')\nx = 1",
        r"%%bash\nls",
        r"!printf 'a\nb'",
        r"x = !printf 'a\nb'",
        r"?print\n",
        r"print\n?",
        r"x = = 1\ny = 2",
        r"'\d' \n (" + "(" * 5000,
        r"\n" * 100_000,
    ],
)
def test_other_line_breaks_stay(code: str) -> None:
    """What runs as it is, is IPython's syntax, or would not run either way is not touched."""
    assert with_real_newlines(code) == code


# --- Paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "version", "name", "is_content"),
    [
        ("content/a.txt", OLD, "a.txt", True),
        ("content/a.txt/content", OLD, "a.txt", True),
        ("content/content", OLD, "content", True),
        ("content/d/a.txt", OLD, "d/a.txt", True),
        ("a.txt", OLD, "a.txt", False),
        ("a.txt/content", NEW, "a.txt", True),
        ("content/content", NEW, "content", True),
        ("content", NEW, "content", False),
        ("content/a.txt", NEW, "content/a.txt", False),
        ("a.txt", NEW, "a.txt", False),
        ("content/a.txt", NONE, "a.txt", True),
        ("content/a.txt/content", NONE, "a.txt", True),
        ("content/content", NONE, "content", True),
        ("a.txt/content", NONE, "a.txt", True),
        ("a.txt", NONE, "a.txt", False),
    ],
)
def test_file_address(rest: str, version: ApiVersion, name: str, *, is_content: bool) -> None:
    """The version decides on which side of the name ``content`` stands."""
    assert file_address(rest, version) == FileAddress(name, is_content=is_content)


@pytest.mark.parametrize("directory", ["", "/mnt/data", "mnt/data", "/mnt/data/", "."])
def test_directory_path_of_the_top(directory: str) -> None:
    """The top of the workspace has several names."""
    assert directory_path(directory) == "/mnt/data/."


@pytest.mark.parametrize("name", ["a.txt", "/mnt/data/a.txt", "mnt/data/a.txt", "./a.txt"])
def test_file_path(name: str) -> None:
    """Clients name a file with or without the place where code sees it."""
    assert file_path("d", name) == "/mnt/data/d/a.txt"


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/../../b", "a\0b", "x" * 256, "/etc/a"])
def test_file_path_refuses_a_name(name: str) -> None:
    """A name that leads out of the workspace, or nowhere, is FileNameInvalid."""
    with pytest.raises(Refused) as refused:
        file_path("", name)

    assert (refused.value.code, refused.value.status) == ("FileNameInvalid", 400)


@pytest.mark.parametrize("directory", ["..", "/etc", "a/../..", "a\0b", "x" * 256, "d/" * 100])
def test_file_path_refuses_a_directory(directory: str) -> None:
    """A directory outside of the workspace is FilePathInvalid."""
    with pytest.raises(Refused) as refused:
        file_path(directory, "a.txt")

    assert (refused.value.code, refused.value.status) == ("FilePathInvalid", 400)
