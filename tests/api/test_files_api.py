"""The native API's files, over HTTP."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncClient
from django.utils import timezone

from files import archives
from files.models import SessionFile
from files.workspaces import workspace_of
from sessions.models import Session
from sessions.states import SessionState

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("place")]

ESCAPES = ["../x", "a/../../x", "/etc/passwd", "/mnt/data/../../x", "a\0b", "x" * 256]


async def make_session(**values: Any) -> UUID:
    session = await Session.objects.acreate(
        **{
            "id": uuid4(),
            "identifier": "files",
            "kernel_name": "python3",
            "origin": "test",
            "state": SessionState.IDLE,
            "host": "test",
            "created_at": timezone.now(),
            "last_active_at": timezone.now(),
            **values,
        }
    )
    workspace_of(session.id).create()
    return session.id


@pytest.fixture
async def session_id(data_dir: Path) -> UUID:
    """A session with an empty workspace, and no kernel."""
    return await make_session()


@pytest.fixture
def root(session_id: UUID) -> Path:
    return workspace_of(session_id).root


class Files:
    """The routes of one session."""

    def __init__(self, session: UUID | str) -> None:
        self.client = AsyncClient()
        self.base = f"/api/v1/sessions/{session}/files"

    def url(self, route: str, **query: str) -> str:
        return f"{self.base}{route}?{urlencode(query)}"

    async def get(self, route: str, **query: str) -> Any:
        response = await self.client.get(self.url(route, **query))
        if response.streaming:  # read in any case, since that closes the file
            response.body = b"".join([piece async for piece in response])
        return response

    async def put(self, path: str, body: bytes, **query: str) -> Any:
        url = self.url("/content", path=path, **query)
        return await self.client.put(url, body, content_type="text/plain")

    async def patch(self, path: str, body: Any) -> Any:
        url = self.url("", path=path)
        return await self.client.patch(url, body, content_type="application/json")

    async def delete(self, path: str) -> Any:
        return await self.client.delete(self.url("", path=path))

    async def make_directory(self, path: str, content_type: str = "application/json") -> Any:
        body = {"path": path} if content_type == "application/json" else f'{{"path": "{path}"}}'
        url = self.url("/directories")
        return await self.client.post(url, body, content_type=content_type)


@pytest.fixture
def api(session_id: UUID) -> Files:
    return Files(session_id)


def is_problem(response: Any, status: int, code: str) -> bool:
    problem = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert problem["detail"].endswith((".", ")"))
    return (response.status_code, problem["code"]) == (status, code)


# --- Listing ----------------------------------------------------------------------------------


async def test_a_listing_says_what_there_is(api: Files, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/a.csv").write_text("x,y")
    os.utime(root / "d/a.csv", (0, 1))

    listing = (await api.get("")).json()
    below = (await api.get("", path="d")).json()["files"]
    every = (await api.get("", recursive="1")).json()["files"]

    assert [(each["path"], each["is_directory"]) for each in listing["files"]] == [("d", True)]
    assert below == [
        {
            "path": "d/a.csv",
            "name": "a.csv",
            "size_bytes": 3,
            "modified_at": "1970-01-01T00:00:01Z",
            "is_directory": False,
            "content_type": "text/csv; charset=utf-8",
        }
    ]
    assert [each["path"] for each in every] == ["d", "d/a.csv"]


async def test_a_listing_says_what_an_upload_may_have(api: Files, settings: Any) -> None:
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 77

    assert (await api.get("")).json()["max_upload_bytes"] == 77


async def test_a_session_is_found_by_its_identifier_too(session_id: UUID) -> None:
    slashed = await make_session(identifier="team/one")
    workspace_of(slashed).write("f", [b"x"])

    assert (await Files("files").get("")).json()["files"] == []
    assert len((await Files("team/one").get("")).json()["files"]) == 1


async def test_a_flag_is_0_or_1(api: Files) -> None:
    assert is_problem(await api.get("", recursive="maybe"), 400, "invalid_value")


# --- Bytes in and out -------------------------------------------------------------------------


async def test_bytes_go_in_and_come_out(api: Files, session_id: UUID) -> None:
    saved = await api.put("/mnt/data/d/ü.bin", b"\0\xff" * 1000)
    sent = await api.get("/content", path="d/ü.bin")

    assert (saved.status_code, saved.json()["path"]) == (201, "d/ü.bin")
    assert saved.json()["size_bytes"] == 2000
    assert sent.body == b"\0\xff" * 1000
    assert sent["Content-Disposition"] == "attachment; filename*=utf-8''%C3%BC.bin"
    row = await SessionFile.objects.aget(session_id=session_id, path="d/ü.bin")
    assert row.origin == "api"


async def test_a_part_of_a_file_comes_out_or_a_problem(api: Files) -> None:
    await api.put("f", b"0123")

    part = await api.client.get(api.url("/content", path="f"), headers={"Range": "bytes=1-2"})
    beyond = await api.client.get(api.url("/content", path="f"), headers={"Range": "bytes=4-"})

    assert (part.status_code, part["Content-Range"]) == (206, "bytes 1-2/4")
    assert b"".join([piece async for piece in part]) == b"12"
    assert is_problem(beyond, 416, "range_not_satisfiable")
    assert beyond["Content-Range"] == "bytes */4"


async def test_an_empty_file_can_be_written(api: Files, root: Path) -> None:
    assert (await api.put("empty", b"")).status_code == 201

    assert (root / "empty").read_bytes() == b""


async def test_a_file_is_replaced_unless_that_is_unwanted(api: Files, root: Path) -> None:
    await api.put("f", b"one")

    assert is_problem(await api.put("f", b"two", overwrite="0"), 409, "file_exists")
    assert (root / "f").read_bytes() == b"one"
    assert (await api.put("f", b"three")).status_code == 201
    assert (root / "f").read_bytes() == b"three"


async def test_a_file_that_is_too_large_leaves_nothing(
    api: Files, root: Path, settings: Any
) -> None:
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 10

    assert (await api.put("fits", b"x" * 10)).status_code == 201
    assert is_problem(await api.put("d/f", b"x" * 11), 413, "file_too_large")
    assert os.listdir(root) == ["fits"]


async def test_a_file_is_no_page_of_ours(api: Files) -> None:
    await api.put("evil.html", b"<script>alert(1)</script>")

    for inline in ("0", "1"):
        sent = await api.get("/content", path="evil.html", inline=inline)
        assert sent["Content-Disposition"].startswith("attachment")
        assert sent["X-Content-Type-Options"] == "nosniff"
        assert sent["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert sent["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
async def test_a_picture_may_be_shown_but_does_nothing(api: Files, name: str) -> None:
    await api.put(name, b"<svg/>")

    shown = await api.get("/content", path=name, inline="1")

    assert shown["Content-Disposition"] == "inline"
    assert shown["Content-Security-Policy"].startswith("sandbox;")
    assert (await api.get("/content", path=name))["Content-Disposition"].startswith("attachment")


# --- Archives ---------------------------------------------------------------------------------


def zipped(response: Any) -> zipfile.ZipFile:
    assert response["Content-Type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(response.body))
    assert archive.testzip() is None
    return archive


async def test_a_directory_comes_as_a_zip(api: Files, root: Path) -> None:
    (root / "a/src/empty").mkdir(parents=True)
    (root / "a/src/main.c").write_text("int main;")
    (root / "a/src/link").symlink_to("/etc/passwd")
    os.utime(root / "a/src/main.c", (0, 0))

    sent = await api.get("/archive", path="a/src")

    assert sent["Content-Disposition"] == 'attachment; filename="src.zip"'
    archive = zipped(sent)
    assert archive.namelist() == ["src/", "src/empty/", "src/main.c"]
    assert archive.read("src/main.c") == b"int main;"
    assert archive.getinfo("src/main.c").date_time == (1980, 1, 1, 0, 0, 0)


async def test_all_files_come_in_a_zip_named_after_the_session(api: Files, root: Path) -> None:
    (root / ".hidden").write_text("h")
    (root / "d").mkdir()
    (root / "d/f").write_text("f")

    sent = await api.get("/archive")

    assert sent["Content-Disposition"] == 'attachment; filename="files.zip"'
    assert zipped(sent).namelist() == [".hidden", "d/", "d/f"]


async def test_a_zip_holds_no_name_that_leads_out(api: Files, root: Path) -> None:
    (root / "..\\..\\evil").write_text("x")

    assert zipped(await api.get("/archive")).namelist() == [".._.._evil"]


async def test_an_archive_has_a_limit(api: Files, root: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 3000)
    with (root / "sparse").open("wb") as file:
        file.truncate(4000)

    assert is_problem(await api.get("/archive"), 413, "file_too_large")


# --- Previews ---------------------------------------------------------------------------------


async def test_a_preview_says_its_kind(api: Files) -> None:
    await api.put("t.csv", b"a,b\n1,2")
    await api.put("t.py", b"x")
    await api.put("t.png", b"x")
    await api.put("t.bin", b"\0")

    kinds = [
        (await api.get("/preview", path=f"t.{end}")).json() for end in ("csv", "py", "png", "bin")
    ]

    assert kinds[0] == {
        "kind": "table",
        "columns": ["a", "b"],
        "rows": [["1", "2"]],
        "total_rows": 1,
        "total_columns": 2,
        "is_cut": False,
    }
    assert kinds[1] == {"kind": "text", "text": "x", "is_cut": False, "language": "python"}
    assert kinds[2] == {"kind": "image", "content_type": "image/png"}
    assert kinds[3]["kind"] == "none"


# --- Changes ----------------------------------------------------------------------------------


async def test_a_file_moves_with_its_row(api: Files, root: Path, session_id: UUID) -> None:
    await api.put("a/f", b"x")

    moved = await api.patch("a/f", {"path": "b/c/g"})

    assert (moved.status_code, moved.json()["path"]) == (200, "b/c/g")
    assert (root / "b/c/g").read_bytes() == b"x"
    rows = SessionFile.objects.filter(session_id=session_id, is_directory=False)
    assert [row.path async for row in rows] == ["b/c/g"]


async def test_nothing_is_replaced_by_moving(api: Files, root: Path) -> None:
    await api.put("a", b"a")
    await api.put("b", b"b")

    assert is_problem(await api.patch("a", {"path": "b"}), 409, "file_exists")
    assert (root / "b").read_bytes() == b"b"


async def test_a_directory_is_made_and_deleted_with_all_in_it(api: Files, root: Path) -> None:
    made = await api.make_directory("d/e")
    await api.put("d/e/f", b"x")

    assert (made.status_code, made.json()["is_directory"]) == (201, True)
    assert (await api.delete("d")).status_code == 204
    assert os.listdir(root) == []
    assert await SessionFile.objects.acount() == 0


async def test_a_post_that_other_sites_could_send_is_refused(api: Files, root: Path) -> None:
    refused = await api.make_directory("d", content_type="text/plain")

    assert is_problem(refused, 415, "unsupported_media_type")
    assert os.listdir(root) == []


@pytest.mark.parametrize("body", [{}, {"path": ""}, {"path": 3}, {"path": "../x"}])
async def test_a_new_path_must_be_one(api: Files, body: Any) -> None:
    await api.put("f", b"x")

    assert is_problem(await api.patch("f", body), 400, "path_invalid")


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ESCAPES)
async def test_no_route_leads_out_of_the_workspace(api: Files, path: str) -> None:
    answers = [await api.get(f"{each}", path=path) for each in ("", "/content", "/archive")]
    answers += [await api.get("/preview", path=path), await api.put(path, b"x")]
    answers += [await api.patch(path, {"path": "y"}), await api.delete(path)]

    assert all(is_problem(answer, 400, "path_invalid") for answer in answers)


async def test_links_are_not_followed(api: Files, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path)
    (root / "link").symlink_to(tmp_path / "secret")

    for path in ("link", "out/secret"):
        for route in ("/content", "/preview", "/archive"):
            assert is_problem(await api.get(route, path=path), 409, "wrong_file_type")
    assert is_problem(await api.put("out/new", b"x"), 409, "wrong_file_type")
    assert (await api.delete("link")).status_code == 204
    assert (tmp_path / "secret").exists()


async def test_what_is_missing_is_said(api: Files) -> None:
    for route in ("", "/content", "/archive", "/preview"):
        assert is_problem(await api.get(route, path="x"), 404, "file_not_found")
    assert is_problem(await api.delete("x"), 404, "file_not_found")
    assert is_problem(await api.patch("x", {"path": "y"}), 404, "file_not_found")


async def test_a_directory_is_no_file(api: Files, root: Path) -> None:
    (root / "d").mkdir()
    (root / "f").touch()

    for route in ("/content", "/preview"):
        assert is_problem(await api.get(route, path="d"), 409, "wrong_file_type")
    assert is_problem(await api.get("", path="f"), 409, "wrong_file_type")
    assert is_problem(await api.put("d", b"x"), 409, "wrong_file_type")


async def test_the_workspace_itself_stays(api: Files, root: Path) -> None:
    for path in ("", ".", "/mnt/data"):
        assert is_problem(await api.delete(path), 400, "path_invalid")
    assert root.is_dir()


async def test_a_session_that_has_ended_has_no_files(data_dir: Path) -> None:
    ended = await make_session(state=SessionState.CLOSED, ended_at=timezone.now())
    api = Files(ended)

    for answer in (await api.get(""), await api.put("f", b"x"), await api.delete("f")):
        assert is_problem(answer, 404, "session_ended")


async def test_others_sessions_are_not_there(data_dir: Path) -> None:
    owner = await get_user_model().objects.acreate_user("other")
    theirs = await make_session(owner=owner, identifier="theirs")
    workspace_of(theirs).write("f", [b"x"])

    for session in (theirs, "theirs", uuid4(), "nobody"):
        api = Files(session)
        answers = [await api.get(each, path="f") for each in ("", "/content", "/archive")]
        answers += [await api.get("/preview", path="f"), await api.put("f", b"x")]
        answers += [await api.patch("f", {"path": "g"}), await api.delete("f")]
        answers.append(await api.make_directory("d"))
        assert all(is_problem(answer, 404, "session_not_found") for answer in answers)
    assert os.listdir(workspace_of(theirs).root) == ["f"]
