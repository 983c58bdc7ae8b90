"""The files of a session through the verbs that every face calls, and their rows."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from files import operations
from files import rows as rows_of
from files.info import FileInfo, content_type_of
from files.models import SessionFile
from files.workspaces import workspace_of
from sessions.exceptions import (
    Conflict,
    FileExists,
    FileNotFound,
    FileTooLarge,
    PathInvalid,
    WrongFileType,
)
from sessions.models import Session
from sessions.states import SessionState
from tests.api.opened import opened_below

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("place")]

UNKNOWN = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture
async def session_id(data_dir: Path) -> UUID:
    """A session with an empty workspace, and no kernel."""
    session = await Session.objects.acreate(
        id=uuid4(),
        identifier="files",
        kernel_name="python3",
        origin="test",
        state=SessionState.IDLE,
        host="test",
        created_at=timezone.now(),
        last_active_at=timezone.now(),
    )
    workspace_of(session.id).create()
    return session.id


@pytest.fixture
def root(session_id: UUID) -> Path:
    """The workspace as code in the session sees it."""
    return workspace_of(session_id).root


async def save(session_id: UUID, path: str, data: bytes = b"data") -> FileInfo:
    return await operations.save_file(session_id, path, io.BytesIO(data), origin="azure")


async def content(session_id: UUID, path: str) -> bytes:
    download = await operations.open_file(session_id, path)
    return b"".join([piece async for piece in download.chunks()])


async def rows(session_id: UUID) -> dict[str, tuple[int, str] | None]:
    """Size and origin of every file that has a row; directories are None."""
    found = SessionFile.objects.filter(session_id=session_id).order_by("path")
    return {
        row.path: None if row.is_directory else (row.size_bytes, row.origin) async for row in found
    }


# --- Up and down ------------------------------------------------------------------------------


async def test_a_file_goes_in_and_comes_out(session_id: UUID) -> None:
    info = await save(session_id, "/mnt/data/a b é.txt", b"hello")

    assert (info.path, info.name, info.directory) == ("a b é.txt", "a b é.txt", ".")
    assert (info.size_bytes, info.is_directory) == (5, False)
    assert info.content_type == "text/plain; charset=utf-8"
    assert await content(session_id, "a b é.txt") == b"hello"
    assert await operations.stat_file(session_id, "a b é.txt") == info


async def test_asynchronous_pieces_are_a_source(session_id: UUID) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"", b"two"):
            yield piece

    await operations.save_file(session_id, "d/f", pieces(), origin="azure")

    assert await content(session_id, "d/f") == b"one two"


async def test_an_uploaded_file_of_django_is_a_source(session_id: UUID) -> None:
    uploaded = SimpleUploadedFile("x", b"posted")

    await operations.save_file(session_id, "f", uploaded, origin="azure")

    assert await content(session_id, "f") == b"posted"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, None, b"0123456789"), (3, 5, b"34"), (8, 99, b"89"), (10, None, b""), (4, 4, b"")],
)
async def test_a_part_of_a_file_can_be_read(
    session_id: UUID, start: int, end: int | None, expected: bytes
) -> None:
    await save(session_id, "f", b"0123456789")
    download = await operations.open_file(session_id, "f")

    assert b"".join([piece async for piece in download.chunks(start, end)]) == expected


async def test_a_large_file_comes_in_pieces(session_id: UUID) -> None:
    data = os.urandom(1300 * 1024)
    await save(session_id, "f", data)
    download = await operations.open_file(session_id, "f")

    pieces = [piece async for piece in download.chunks()]

    assert b"".join(pieces) == data
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 1024 * 1024


async def test_a_download_closes_its_file(session_id: UUID, root: Path) -> None:
    await save(session_id, "f", b"x" * 2_000_000)

    given_up = await operations.open_file(session_id, "f")
    chunks = given_up.chunks()
    await anext(chunks)
    await chunks.aclose()
    unused = await operations.open_file(session_id, "f")
    assert opened_below(root)
    unused.close()
    unused.close()

    async with asyncio.timeout(10):  # the host is told, and not waited for
        while opened_below(root):
            await asyncio.sleep(0.01)


async def test_a_file_that_grows_is_read_to_its_old_end(session_id: UUID, root: Path) -> None:
    await save(session_id, "f", b"old")
    download = await operations.open_file(session_id, "f")
    with (root / "f").open("ab") as file:
        file.write(b" and more")

    assert b"".join([piece async for piece in download.chunks()]) == b"old"


async def test_a_file_that_shrinks_does_not_look_whole(session_id: UUID, root: Path) -> None:
    await save(session_id, "f", b"long")
    download = await operations.open_file(session_id, "f")
    os.truncate(root / "f", 2)

    with pytest.raises(Conflict, match="shorter"):
        [piece async for piece in download.chunks()]


async def test_too_large_leaves_neither_file_nor_row(
    session_id: UUID, root: Path, settings
) -> None:
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 4
    await save(session_id, "fits", b"1234")

    with pytest.raises(FileTooLarge):
        await save(session_id, "new/f", b"12345")

    assert os.listdir(root) == ["fits"]
    assert await rows(session_id) == {"fits": (4, "azure")}


async def test_an_upload_whose_client_leaves_leaves_nothing(session_id: UUID, root: Path) -> None:
    waiting = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        waiting.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(operations.save_file(session_id, "d/f", pieces(), origin="azure"))
    await waiting.wait()
    async with asyncio.timeout(10):
        while not os.listdir(root):  # its beginning is on its way
            await asyncio.sleep(0.01)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload

    assert os.listdir(root) == []
    assert await rows(session_id) == {}


async def test_of_several_files_whose_client_leaves_there_is_none(
    session_id: UUID, root: Path
) -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reading.set()
            gone.wait(10)
            return b"more"

    reading, gone = threading.Event(), threading.Event()
    sources = [("a", io.BytesIO(b"a")), ("d/b", Endless())]
    upload = asyncio.create_task(operations.save_files(session_id, sources, origin="azure"))
    await asyncio.to_thread(reading.wait, 10)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    gone.set()

    assert os.listdir(root) == []
    assert await rows(session_id) == {}


async def test_a_broken_source_is_the_callers_error(session_id: UUID, root: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await operations.save_file(session_id, "f", pieces(), origin="azure")

    assert os.listdir(root) == []


async def test_without_overwrite_the_first_file_stays(session_id: UUID) -> None:
    await save(session_id, "f", b"first")

    with pytest.raises(FileExists):
        await operations.save_file(
            session_id, "f", io.BytesIO(b"second"), origin="azure", overwrite=False
        )

    assert await content(session_id, "f") == b"first"


async def test_what_is_not_there_or_no_file_is_said(session_id: UUID, root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "d").mkdir()

    with pytest.raises(FileNotFound):
        await operations.open_file(session_id, "missing")
    with pytest.raises(PathInvalid):
        await operations.open_file(session_id, "../secret")
    for name in ("fifo", "d"):
        with pytest.raises(WrongFileType):
            await operations.open_file(session_id, name)


async def test_a_session_that_has_ended_has_no_files() -> None:
    with pytest.raises(FileNotFound):
        await operations.list_files(UNKNOWN)
    with pytest.raises(FileNotFound):
        await save(UNKNOWN, "f")
    with pytest.raises(FileNotFound):
        await operations.delete_file(UNKNOWN, "f")
    with pytest.raises(FileNotFound):
        await operations.make_directory(UNKNOWN, "d")
    with pytest.raises(FileNotFound):
        await operations.rename_file(UNKNOWN, "a", "b")
    await rows_of.refresh(UNKNOWN)


# --- What a listing says ----------------------------------------------------------------------


async def test_a_listing_is_true_while_code_writes(session_id: UUID, root: Path) -> None:
    await save(session_id, "data/a.csv")
    (root / "by-code.md").write_text("# new")

    top = await operations.list_files(session_id)
    every = await operations.list_files(session_id, "/mnt/data", recursive=True)

    assert [(info.name, info.directory, info.is_directory) for info in top] == [
        ("by-code.md", ".", False),
        ("data", ".", True),
    ]
    assert [(info.path, info.directory) for info in every] == [
        ("by-code.md", "."),
        ("data", "."),
        ("data/a.csv", "data"),
    ]


async def test_listing_and_reading_write_no_rows(session_id: UUID, root: Path) -> None:
    (root / "f").write_text("by code")

    await operations.list_files(session_id, recursive=True)
    await content(session_id, "f")

    assert await rows(session_id) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.py", "text/x-python; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.gz", "application/gzip"),
        ("a.ipynb", "application/x-ipynb+json"),
        ("a", "application/octet-stream"),
        (".txt", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
    ],
)
def test_a_name_tells_the_content_type(name: str, expected: str) -> None:
    assert content_type_of(name) == expected


async def test_a_directory_named_like_a_file_has_no_content_type(session_id: UUID) -> None:
    info = await operations.make_directory(session_id, "a.txt")

    assert info.content_type == "application/octet-stream"


# --- Rows -------------------------------------------------------------------------------------


async def test_an_upload_has_a_row_with_its_origin(session_id: UUID) -> None:
    info = await save(session_id, "a/b/f", b"12345")

    assert await rows(session_id) == {"a": None, "a/b": None, "a/b/f": (5, "azure")}
    row = await SessionFile.objects.aget(path="a/b/f")
    assert row.modified_at == info.modified_at


async def test_refresh_follows_what_code_does(session_id: UUID, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/new").write_text("new")
    (root / "kept").write_text("kept")
    await rows_of.refresh(session_id)
    assert await rows(session_id) == {"d": None, "d/new": (3, ""), "kept": (4, "")}

    (root / "d/new").unlink()
    (root / "d").rmdir()
    (root / "kept").write_text("longer")
    (root / "link").symlink_to("kept")
    await rows_of.refresh(session_id)
    assert await rows(session_id) == {"kept": (6, "")}


async def test_a_file_that_code_changes_loses_its_origin(session_id: UUID, root: Path) -> None:
    await save(session_id, "kept", b"kept")
    await save(session_id, "changed", b"before")
    (root / "changed").write_text("by code")

    await rows_of.refresh(session_id)

    assert await rows(session_id) == {"changed": (7, ""), "kept": (4, "azure")}


async def test_a_file_that_becomes_a_directory_is_one(session_id: UUID, root: Path) -> None:
    await save(session_id, "x", b"file")
    (root / "x").unlink()
    (root / "x").mkdir()

    await rows_of.refresh(session_id)

    assert await rows(session_id) == {"x": None}


async def test_refresh_writes_nothing_when_nothing_changed(session_id: UUID, root: Path) -> None:
    for number in range(20):
        (root / str(number)).touch()
    await rows_of.refresh(session_id)

    # In the thread of the ORM, whose connection it watches.
    queries = CaptureQueriesContext(connection)
    await sync_to_async(queries.__enter__)()
    await rows_of.refresh(session_id)
    await sync_to_async(queries.__exit__)(None, None, None)
    statements = await sync_to_async(list)(queries)

    assert [statement["sql"].split()[0] for statement in statements] == ["SELECT"]


async def test_refresh_keeps_rows_of_odd_names(session_id: UUID, root: Path) -> None:
    with open(os.fsencode(root) + b"/\xff\n", "wb"):
        pass
    (root / ("x" * 255)).touch()

    await rows_of.refresh(session_id)

    assert list(await rows(session_id)) == ["\\xff\n", "x" * 255]


async def test_rows_of_one_session_are_limited(
    session_id: UUID, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_of, "MAX_ROWS_PER_SESSION", 3)
    for number in range(5):
        (root / f"{number}").touch()
    await rows_of.refresh(session_id)
    assert list(await rows(session_id)) == ["0", "1", "2"]

    (root / "0").unlink()
    await rows_of.refresh(session_id)
    assert list(await rows(session_id)) == ["1", "2", "3"]


async def test_many_files_are_recorded_in_batches(session_id: UUID, root: Path) -> None:
    for number in range(rows_of.ROWS_PER_TRANSACTION + 7):
        (root / f"{number}").touch()

    await rows_of.refresh(session_id)

    assert len(await rows(session_id)) == 507


async def test_a_workspace_that_is_gone_keeps_no_rows(session_id: UUID) -> None:
    await save(session_id, "d/f")
    workspace_of(session_id).remove()

    await rows_of.refresh(session_id)

    assert await rows(session_id) == {}


async def test_deleting_takes_the_rows_below_and_no_others(session_id: UUID) -> None:
    for path in ("d/f", "d/e/f", "D/f", "dx/f", "d%/f"):
        await save(session_id, path)

    with pytest.raises(WrongFileType):
        await operations.delete_file(session_id, "d")
    await operations.delete_file(session_id, "d", recursive=True)

    assert list(await rows(session_id)) == ["D", "D/f", "d%", "d%/f", "dx", "dx/f"]
    with pytest.raises(FileNotFound):
        await operations.delete_file(session_id, "d")


async def test_renaming_takes_the_rows_along(session_id: UUID, root: Path) -> None:
    await save(session_id, "d/e/f", b"12345")
    (root / "d/by-code").write_text("x")
    await rows_of.refresh(session_id)

    info = await operations.rename_file(session_id, "/mnt/data/d", "new/place")

    assert (info.path, info.is_directory) == ("new/place", True)
    assert await rows(session_id) == {
        "new": None,
        "new/place": None,
        "new/place/by-code": (1, ""),
        "new/place/e": None,
        "new/place/e/f": (5, "azure"),
    }


async def test_verbs_and_refresh_at_once_end_true(session_id: UUID) -> None:
    saves = [save(session_id, f"d/{number}") for number in range(10)]
    refreshes = [rows_of.refresh(session_id) for _ in range(5)]

    await asyncio.gather(*saves, *refreshes)

    assert [path for path, row in (await rows(session_id)).items() if row] == [
        f"d/{number}" for number in range(10)
    ]


async def test_a_path_has_one_row_per_session(session_id: UUID) -> None:
    await save(session_id, "f")
    row = await SessionFile.objects.aget(path="f")
    row.pk = None

    with pytest.raises(IntegrityError):
        await row.asave(force_insert=True)


# --- The admin --------------------------------------------------------------------------------


async def test_the_admin_shows_files_and_changes_nothing(session_id: UUID) -> None:
    await save(session_id, "data/report.csv", b"x" * 2048)
    row = await SessionFile.objects.aget(path="data/report.csv")
    page = admin.site.get_model_admin(SessionFile)
    request = RequestFactory().get("/", {"q": "report"})
    request.user = await get_user_model().objects.acreate_superuser("operator", password="x")

    changes = await sync_to_async(page.get_changelist_instance)(request)

    found = await sync_to_async(list)(changes.result_list)
    assert [file.path for file in found] == ["data/report.csv"]
    assert page.size(row) == "2.0\xa0KB"
    assert page.brought_by(row) == "azure"
    assert not page.has_add_permission(request)
    assert not page.has_change_permission(request)
    assert not page.has_delete_permission(request)
