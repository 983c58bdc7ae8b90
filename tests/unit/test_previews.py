"""A first look at files, whatever is in them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from files import previews
from files.operations import preview_file
from files.previews import ImagePreview, NoPreview, Preview, TablePreview, TextPreview
from files.workspaces import workspace_of
from sessions.exceptions import FileNotFound, PathInvalid, WrongFileType

SESSION = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture
def root(data_dir: Path) -> Path:
    """An empty workspace."""
    workspace = workspace_of(SESSION)
    workspace.create()
    return workspace.root


async def preview(root: Path, name: str, data: bytes) -> Preview:
    (root / name).write_bytes(data)
    return await preview_file(SESSION, name)


async def table(root: Path, data: bytes, name: str = "t.csv") -> TablePreview:
    found = await preview(root, name, data)
    assert isinstance(found, TablePreview)
    return found


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain\r\ntext\n", "plain\ntext\n"),
        ("grün €".encode(), "grün €"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("über".encode("utf-16"), "über"),
        ("über".encode("utf-32"), "über"),
        ("grün €".encode("cp1252"), "grün €"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ],
)
async def test_text_is_read_in_its_encoding(root: Path, data: bytes, text: str) -> None:
    assert await preview(root, "a.log", data) == TextPreview(text=text, is_cut=False, language="")


@pytest.mark.parametrize("data", [b"\x7fELF\x00\x01", b"\x89PNG\r\n\x1a\n\x01", b"a\x01\xff"])
async def test_what_is_no_text_is_not_shown(root: Path, data: bytes) -> None:
    found = await preview(root, "a.bin", data)

    assert isinstance(found, NoPreview)
    assert found.reason.endswith(".")


async def test_the_name_tells_the_language(root: Path) -> None:
    found = await preview(root, "a.PY", b"x = 1")

    assert found == TextPreview(text="x = 1", is_cut=False, language="python")


async def test_a_long_text_is_cut_between_characters(root: Path) -> None:
    found = await preview(root, "a.txt", b"x" + "é".encode() * previews.MAX_TEXT_BYTES)

    assert isinstance(found, TextPreview)
    assert found.is_cut
    assert found.text == "x" + "é" * (previews.MAX_TEXT_BYTES // 2 - 1)


async def test_a_text_of_many_lines_is_cut_behind_one(root: Path) -> None:
    whole = await preview(root, "a.txt", b"x\n" * previews.MAX_TEXT_LINES)
    cut = await preview(root, "a.txt", b"x\n" * (previews.MAX_TEXT_LINES + 1))

    assert isinstance(whole, TextPreview)
    assert isinstance(cut, TextPreview)
    assert (whole.is_cut, cut.is_cut) == (False, True)
    assert cut.text.count("x") == previews.MAX_TEXT_LINES


async def test_a_table_has_names_and_rows(root: Path) -> None:
    found = await table(root, b'name,n\n"Ada, L.",1\n\nGrace,2\n')

    assert found == TablePreview(
        columns=["name", "n"],
        rows=[["Ada, L.", "1"], ["Grace", "2"]],
        total_rows=2,
        total_columns=2,
        is_cut=False,
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv", b"a;b\n1;2,5"), ("t.tsv", b"a\tb\n1\t2,5"), ("t.csv", b"a|b\n1|2,5")],
)
async def test_other_separators_are_found(root: Path, name: str, data: bytes) -> None:
    found = await table(root, data, name)

    assert (found.columns, found.rows) == (["a", "b"], [["1", "2,5"]])


async def test_a_table_without_names_is_numbered(root: Path) -> None:
    found = await table(root, b"1,2.5\n3,nan\n")

    assert (found.columns, found.rows) == (["1", "2"], [["1", "2.5"], ["3", "nan"]])
    assert found.total_rows == 2


async def test_rows_of_other_lengths_are_filled_up(root: Path) -> None:
    found = await table(root, b"a,b\n1\n1,2,3\n")

    assert found.columns == ["a", "b", ""]
    assert found.rows == [["1", "", ""], ["1", "2", "3"]]


async def test_a_large_table_is_cut_and_counted(root: Path) -> None:
    line = b",".join([b"x" * 600] + [b"1"] * 59)
    found = await table(root, b"\n".join([b",".join([b"c"] * 60)] + [line] * 201))

    assert (len(found.columns), len(found.rows), len(found.rows[0])) == (50, 200, 50)
    assert (found.total_rows, found.total_columns, found.is_cut) == (201, 60, True)
    assert len(found.rows[0][0]) == 500


async def test_rows_beyond_the_part_that_is_read_are_not_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "MAX_TABLE_BYTES", 100)
    found = await table(root, b"a,b\n" + b"1,2\n" * 100)

    assert (found.total_rows, found.is_cut) == (None, True)


async def test_a_table_that_is_none_is_text(root: Path) -> None:
    huge_field = await preview(root, "t.csv", b"a," + b"x" * 200_000)
    empty = await preview(root, "e.csv", b"")

    assert isinstance(huge_field, TextPreview)
    assert empty == TextPreview(text="", is_cut=False, language="")


async def test_a_picture_is_known_by_its_name(root: Path) -> None:
    assert await preview(root, "a.PNG", b"") == ImagePreview(content_type="image/png")
    assert await preview(root, "a.svg", b"") == ImagePreview(content_type="image/svg+xml")


async def test_a_picture_too_large_for_browsers_is_not_shown(root: Path) -> None:
    with (root / "a.png").open("wb") as file:
        file.truncate(previews.MAX_IMAGE_BYTES + 1)

    assert isinstance(await preview_file(SESSION, "a.png"), NoPreview)


async def test_a_file_full_of_nothing_takes_no_memory(root: Path) -> None:
    with (root / "a.csv").open("wb") as file:
        file.truncate(1 << 40)

    assert isinstance(await preview_file(SESSION, "a.csv"), NoPreview)


async def test_only_files_in_the_workspace_are_looked_at(root: Path) -> None:
    (root / "d").mkdir()
    (root / "link").symlink_to("/etc/passwd")

    for name, error in (("d", WrongFileType), ("link", WrongFileType), ("x", FileNotFound)):
        with pytest.raises(error):
            await preview_file(SESSION, name)
    with pytest.raises(PathInvalid):
        await preview_file(SESSION, "../x")
