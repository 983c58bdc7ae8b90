"""Files on their way between a web process and the host that has them, and what cuts them short."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import AsyncClient
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from files import at_the_host, operations
from files.at_the_host import DO, IDLE_SECONDS, MAX_STREAMS, HostFiles
from files.info import FileInfo
from files.previews import (
    ImagePreview,
    NoPreview,
    TablePreview,
    TextPreview,
    preview_from_wire,
    preview_to_wire,
)
from files.workspaces import workspace_of
from sessions import operations as sessions
from sessions.engines import engine, wire
from sessions.exceptions import (
    Conflict,
    FileExists,
    FileNotFound,
    FileTooLarge,
    HostUnavailable,
    LimitReached,
    SessionNotFound,
    WorkbenchError,
)
from sessions.models import AuditEntry, Session
from sessions.operations import SessionRef
from sessions.states import SessionState
from tests.api.opened import opened_below

pytestmark = pytest.mark.django_db(transaction=True)

REF = SessionRef(owner_id=None, identifier="far")


async def no_room(session_id: UUID) -> dict[str, Any]:
    """The host knows nothing of the session: the settings' limit counts."""
    raise SessionNotFound


async def nobody_hears(session_id: UUID, version: int) -> None:
    pass


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def files(clock: Clock) -> AsyncIterator[HostFiles]:
    """A host's side of files, by itself."""
    found = HostFiles(no_room, nobody_hears, clock=clock)
    yield found
    await found.stop()


async def make_session(identifier: str) -> UUID:
    session = await Session.objects.acreate(
        id=uuid4(),
        identifier=identifier,
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
async def session_id(data_dir: Path) -> UUID:
    return await make_session("files")


@pytest.fixture
def root(session_id: UUID) -> Path:
    return workspace_of(session_id).root


async def begin(files: HostFiles, session_id: UUID, stream: str, *paths: str, **more: Any) -> None:
    usual = {"origin": "azure", "overwrite": True, "max_bytes": 1000}
    arguments = {"stream": stream, "paths": list(paths), **usual, **more}
    await files.do(session_id, "begin", arguments)


async def write(
    files: HostFiles, session_id: UUID, stream: str, turn: int, piece: bytes, number: int = 0
) -> None:
    arguments = {"stream": stream, "turn": turn, "number": number, "piece": piece}
    await files.do(session_id, "write", arguments)


async def read(files: HostFiles, session_id: UUID, stream: str) -> bytes:
    arguments = {"stream": stream, "position": 0, "size": 100}
    found: bytes = await files.do(session_id, "read", arguments)
    return found


# --- Streams at the host ----------------------------------------------------------------------


async def test_pieces_that_overtake_each_other_are_put_in_order(
    files: HostFiles, session_id: UUID, root: Path
) -> None:
    await begin(files, session_id, "s", "f")

    late = asyncio.ensure_future(write(files, session_id, "s", 1, b"world"))
    await asyncio.sleep(0)
    await write(files, session_id, "s", 0, b"hello ")
    await late
    infos = await files.do(session_id, "finish", {"stream": "s"})

    assert (root / "f").read_bytes() == b"hello world"
    assert FileInfo.from_wire(infos[0]).size_bytes == 11


async def test_of_several_files_none_is_there_before_all_are(
    files: HostFiles, session_id: UUID, root: Path
) -> None:
    await begin(files, session_id, "s", "a", "d/b", "empty")
    await write(files, session_id, "s", 0, b"one", number=0)
    await write(files, session_id, "s", 1, b"two", number=1)
    assert not (root / "a").exists()

    await files.do(session_id, "finish", {"stream": "s"})

    assert [(root / each).read_bytes() for each in ("a", "d/b", "empty")] == [b"one", b"two", b""]


async def test_a_piece_too_much_ends_the_upload_and_leaves_nothing(
    files: HostFiles, session_id: UUID, root: Path
) -> None:
    await begin(files, session_id, "s", "a", "b", max_bytes=4)
    await write(files, session_id, "s", 0, b"1234")

    with pytest.raises(FileTooLarge):
        await write(files, session_id, "s", 1, b"12345", number=1)

    assert os.listdir(root) == []
    with pytest.raises(FileNotFound):
        await files.do(session_id, "finish", {"stream": "s"})


async def test_what_may_not_be_written_is_refused_at_the_beginning(
    files: HostFiles, session_id: UUID, root: Path
) -> None:
    (root / "taken").touch()

    with pytest.raises(FileExists):
        await begin(files, session_id, "s", "taken", overwrite=False)

    assert os.listdir(root) == ["taken"]


async def test_what_a_dead_web_process_leaves_is_closed_and_removed(
    files: HostFiles, session_id: UUID, root: Path, data_dir: Path, clock: Clock
) -> None:
    (root / "f").write_bytes(b"data")
    await begin(files, session_id, "in", "new/f")
    await write(files, session_id, "in", 0, b"half")
    await files.do(session_id, "open_file", {"stream": "out", "path": "f"})
    clock.now += IDLE_SECONDS - 1
    await files.sweep()
    await files.do(session_id, "keep", {"stream": "in"})
    assert await read(files, session_id, "out") == b"data"

    clock.now += IDLE_SECONDS - 1
    await files.sweep()
    assert len(os.listdir(root)) == 2
    clock.now += 2
    await files.sweep()

    assert os.listdir(root) == ["f"]
    assert opened_below(data_dir) == []
    for use in (read(files, session_id, "out"), write(files, session_id, "in", 1, b"rest")):
        with pytest.raises(FileNotFound):
            await use


@pytest.mark.parametrize("how", ["let_go", "stop"])
async def test_the_end_of_a_session_and_of_the_host_close_what_is_open(
    files: HostFiles, session_id: UUID, root: Path, data_dir: Path, how: str
) -> None:
    (root / "f").write_bytes(b"data")
    await begin(files, session_id, "in", "new")
    await files.do(session_id, "open_file", {"stream": "out", "path": "f"})
    waiting = asyncio.ensure_future(write(files, session_id, "in", 7, b"never its turn"))
    await asyncio.sleep(0)

    await (files.let_go(session_id) if how == "let_go" else files.stop())

    assert os.listdir(root) == ["f"]
    assert opened_below(data_dir) == []
    with pytest.raises(FileNotFound):
        await waiting


async def test_a_host_that_stops_opens_nothing(files: HostFiles, session_id: UUID) -> None:
    await files.stop()

    with pytest.raises(HostUnavailable):
        await begin(files, session_id, "s", "f")


async def test_a_stream_is_its_sessions(files: HostFiles, session_id: UUID, root: Path) -> None:
    (root / "f").write_bytes(b"data")
    other = await make_session("other")
    await files.do(session_id, "open_file", {"stream": "s", "path": "f"})

    with pytest.raises(FileNotFound):
        await read(files, other, "s")
    with pytest.raises(FileNotFound):
        await write(files, session_id, "s", 0, b"an open file is no upload")
    await files.do(other, "close", {"stream": "s"})

    assert await read(files, session_id, "s") == b"data"


async def test_a_session_has_so_many_streams_and_no_more(
    files: HostFiles, session_id: UUID, root: Path
) -> None:
    (root / "f").write_bytes(b"data")
    for number in range(MAX_STREAMS):
        await files.do(session_id, "open_file", {"stream": f"{number}", "path": "f"})

    with pytest.raises(LimitReached):
        await files.do(session_id, "open_file", {"stream": "more", "path": "f"})
    await files.do(session_id, "close", {"stream": "0"})
    await files.do(session_id, "close", {"stream": "0"})

    await files.do(session_id, "open_file", {"stream": "more", "path": "f"})


async def test_what_is_closed_before_it_is_open_is_closed(
    files: HostFiles, session_id: UUID, root: Path, data_dir: Path
) -> None:
    (root / "f").write_bytes(b"data")
    packing = {"stream": "s", "path": "", "name": "all"}

    opening = asyncio.ensure_future(files.do(session_id, "open_zip", packing))
    await asyncio.sleep(0)
    await files.do(session_id, "close", {"stream": "s"})

    with pytest.raises(FileNotFound):
        await opening
    assert opened_below(data_dir) == []


async def test_nothing_but_the_verbs_can_be_asked_for(files: HostFiles, session_id: UUID) -> None:
    for do in ("stop", "let_go", "do", "_open", "unheard-of"):
        with pytest.raises(WorkbenchError, match="does not know"):
            await files.do(session_id, do, {})
    assert all(callable(getattr(files, do)) for do in DO)


# --- On the wire ------------------------------------------------------------------------------


@given(
    st.builds(
        FileInfo,
        path=st.text(),
        name=st.text(),
        directory=st.text(),
        size_bytes=st.integers(0, 2**62),
        modified_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),
        is_directory=st.booleans(),
        content_type=st.text(),
        mode=st.integers(0, 2**16 - 1),
    )
)
def test_what_a_file_is_crosses_the_boundary(info: FileInfo) -> None:
    back = FileInfo.from_wire(info.to_wire())

    assert (back, back.mode) == (info, info.mode)


@pytest.mark.parametrize(
    "preview",
    [
        TextPreview(text="x", is_cut=True, language="python"),
        TablePreview(columns=["a"], rows=[["1"]], total_rows=None, total_columns=2, is_cut=True),
        ImagePreview(content_type="image/png"),
        NoPreview(reason="It is none."),
    ],
)
def test_previews_cross_the_boundary(preview: Any) -> None:
    assert preview_from_wire(preview_to_wire(preview)) == preview


# --- Through a host ---------------------------------------------------------------------------


@pytest.fixture
def far(host: None, settings: Any) -> None:
    """A host with the files, which this process leaves to it."""
    settings.WORKBENCH_FILES_THROUGH_HOST = True


async def opened_session() -> UUID:
    return (await sessions.open_session(REF, origin="test")).id


async def save(session_id: UUID, path: str, data: bytes) -> FileInfo:
    return await operations.save_file(session_id, path, io.BytesIO(data), origin="azure")


@pytest.mark.usefixtures("far")
async def test_the_room_of_a_session_counts_beside_the_disk(settings: Any) -> None:
    limits = replace(settings.WORKBENCH_SESSION_LIMITS, workspace_bytes=64 * 1024)
    settings.WORKBENCH_SESSION_LIMITS = limits
    session_id = await opened_session()
    await save(session_id, "fits", b"x" * 1024)

    with pytest.raises(WorkbenchError) as refused:
        await save(session_id, "f", b"x" * 128 * 1024)

    assert refused.value.code == "workspace_full"
    assert [info.path for info in await operations.list_files(session_id)] == ["fits"]


@pytest.mark.usefixtures("far")
async def test_the_audit_knows_who_wrote_through_the_host() -> None:
    session_id = await opened_session()

    client = AsyncClient()
    url = f"/api/v1/sessions/{session_id}/files/content?path=f"
    await client.put(url, b"x", content_type="text/plain")
    await client.delete(f"/api/v1/sessions/{session_id}/files?path=f")

    entries = AuditEntry.objects.filter(session_id=session_id, action__startswith="file")
    found = [(each.action, each.what, each.address, each.door) async for each in entries]
    assert sorted(found) == [
        ("file_deleted", "f", "127.0.0.1", "api"),
        ("file_written", "f", "127.0.0.1", "api"),
    ]


@pytest.mark.usefixtures("far")
async def test_a_session_that_ends_cuts_its_downloads() -> None:
    session_id = await opened_session()
    await save(session_id, "f", b"x" * 4_000_000)
    download = await operations.open_file(session_id, "f")
    chunks = download.chunks()
    await anext(chunks)

    await sessions.close_session(REF)

    with pytest.raises(FileNotFound):
        _ = [piece async for piece in chunks]
    with pytest.raises(FileNotFound):
        await operations.list_files(session_id)


@pytest.mark.usefixtures("far")
async def test_a_download_that_shrinks_is_cut_through_the_host() -> None:
    session_id = await opened_session()
    await save(session_id, "f", b"x" * 4_000_000)
    download = await operations.open_file(session_id, "f")
    os.truncate(workspace_of(session_id).root / "f", 2_000_000)

    with pytest.raises(Conflict, match="shorter"):
        _ = [piece async for piece in download.chunks()]


@pytest.mark.usefixtures("far")
async def test_too_many_downloads_are_refused_in_each_contracts_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = await opened_session()
    await save(session_id, "f", b"x")
    monkeypatch.setattr(at_the_host, "MAX_STREAMS", 0)
    client = AsyncClient()

    answers = [
        await client.get(f"/api/v1/sessions/{session_id}/files/content?path=f"),
        await client.get("/files/f/content?api-version=2025-10-02-preview&identifier=far"),
        await client.get("/sandbox/far/files/download/-/mnt/data/f"),
        await client.get("/backendai/session/far/download_single?file=f"),
    ]

    assert [each.status_code for each in answers] == [429] * 4
    assert all("on their way" in each.content.decode() for each in answers)


async def test_without_a_host_a_sentence_says_so(session_id: UUID, settings: Any) -> None:
    settings.WORKBENCH_FILES_THROUGH_HOST = True
    settings.WORKBENCH_ENGINE = "local"
    client = AsyncClient()
    base = f"/api/v1/sessions/{session_id}/files"

    answers = [
        await client.get(base),
        await client.get(f"{base}/content?path=f"),
        await client.get(f"{base}/archive"),
        await client.get(f"{base}/preview?path=f"),
        await client.put(f"{base}/content?path=f", b"x", content_type="text/plain"),
        await client.delete(f"{base}?path=f"),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (503, "host_unavailable")
    }
    with pytest.raises(HostUnavailable):
        await save(session_id, "f", b"x")


@pytest.mark.parametrize("way", ["disk", "host"])
async def test_whoever_leaves_at_the_end_of_an_upload_has_written_all_of_it(
    session_id: UUID, root: Path, way: str, host: None, settings: Any
) -> None:
    """All files or none: not those that were just being given their names."""
    settings.WORKBENCH_FILES_THROUGH_HOST = way == "host"
    sources = [(f"{number}", io.BytesIO(b"x")) for number in range(20)]

    upload = asyncio.create_task(operations.save_files(session_id, sources, origin="azure"))
    while not upload.done() and not (root / "0").exists():
        await asyncio.sleep(0)
    upload.cancel()
    with suppress(asyncio.CancelledError):
        await upload

    async with asyncio.timeout(10):  # the host goes on by itself
        while len(os.listdir(root)) < len(sources):
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("far")
async def test_the_verb_for_files_takes_and_gives_plain_data() -> None:
    """What the wire cannot carry would work in one process only."""
    session_id = await opened_session()
    for do, stream, arguments in (
        ("begin", "in", {"paths": ["f"], "origin": "x", "overwrite": True, "max_bytes": 10}),
        ("write", "in", {"turn": 0, "number": 0, "piece": b"data"}),
        ("finish", "in", {}),
        ("open_file", "out", {"path": "f"}),
        ("read", "out", {"position": 0, "size": 10}),
        ("keep", "out", {}),
        ("close", "out", {}),
    ):
        call = {
            "session_id": str(session_id),
            "do": do,
            "arguments": {"stream": stream, **arguments},
        }
        result = await engine().call("files", **call)

        wire.pack({"arguments": call, "result": result})
