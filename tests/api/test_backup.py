"""A backup is all that a server keeps, made while it runs; and what is none changes nothing."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from sessions.backup import MANIFEST, BackupFailed, back_up, restore
from sessions.kernels.workspace import workspace_path
from sessions.models import Event, Session

NOW = timezone.now()

pytestmark = pytest.mark.django_db(transaction=True)


def quiet(_: str) -> None:
    pass


def a_session(identifier: str, *, ended: bool = False) -> Session:
    session = Session.objects.create(
        identifier=identifier,
        kernel_name="python3",
        origin="azure",
        state="closed" if ended else "stopped",
        host="local",
        created_at=NOW,
        last_active_at=NOW,
        ended_at=NOW if ended else None,
    )
    Event.objects.create(
        session=session, number=1, type="session_state", data={"state": identifier}, at=NOW
    )
    return session


@pytest.fixture
def kept(data_dir: Path) -> Path:
    """The workspace of a live session, with whatever code may put there."""
    # Only a database that is a file is in a backup: pg_dump copies the other.
    if connection.vendor != "sqlite":
        pytest.skip("other databases have tools of their own")
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "secret-key").write_text("secret")
    session, ended = a_session("kept"), a_session("ended", ended=True)
    files = workspace_path(data_dir, session.id)
    (files / "a/b").mkdir(parents=True)
    (files / "a/b/deep").write_bytes(b"deep")
    (files / "large").write_bytes(os.urandom(3_000_000))
    (files / "strange \n\udcff name").write_text("strange")
    (files / "program").write_text("#!/bin/sh")
    (files / "program").chmod(0o755)
    (files / "closed").mkdir(mode=0o500)
    (files / "out").symlink_to("/etc/passwd")
    os.mkfifo(files / "pipe")
    workspace_path(data_dir, ended.id).mkdir(parents=True)
    return files


@pytest.mark.parametrize("name", ["all.tar", "all.tar.gz"])
def test_what_was_kept_is_there_again(kept: Path, data_dir: Path, tmp_path: Path, name: str):
    backup, other = tmp_path / name, tmp_path / "other"

    copied = back_up(data_dir, backup, quiet)
    restored = restore(backup, other, quiet)

    assert (copied.sessions, copied.files, copied.left_out) == (1, 4, 1)
    assert (restored.sessions, restored.files, restored.has_database) == (1, 4, True)
    assert oct(backup.stat().st_mode & 0o777) == "0o600"
    files = other / kept.relative_to(data_dir)
    assert {each.name for each in files.iterdir()} == {
        each.name for each in kept.iterdir() if each.name != "pipe"
    }
    for path in ("a/b/deep", "large", "strange \n\udcff name"):
        assert (files / path).read_bytes() == (kept / path).read_bytes()
    assert (files / "program").stat().st_mode & 0o777 == 0o755
    assert (files / "closed").stat().st_mode & 0o777 == 0o500
    assert os.readlink(files / "out") == "/etc/passwd"
    assert (other / "secret-key").read_text() == "secret"
    with sqlite3.connect(other / "workbench.sqlite3") as database:
        rows = database.execute("select identifier from workbench_sessions_session").fetchall()
    database.close()
    assert sorted(rows) == [("ended",), ("kept",)]
    assert [each.name for each in (other / "sessions").iterdir()] == [kept.parent.name]


def test_a_backup_is_never_written_over_another(kept: Path, data_dir: Path, tmp_path: Path):
    backup = tmp_path / "all.tar"
    backup.write_text("mine")

    with pytest.raises(BackupFailed, match="exists already"):
        back_up(data_dir, backup, quiet)

    assert backup.read_text() == "mine"
    with pytest.raises(BackupFailed, match="could not be written"):
        back_up(data_dir, tmp_path / "nowhere/all.tar", quiet)


def test_a_data_directory_that_holds_something_is_left_alone(
    kept: Path, data_dir: Path, tmp_path: Path
):
    backup = tmp_path / "all.tar"
    back_up(data_dir, backup, quiet)
    before = sorted(data_dir.rglob("*"))

    with pytest.raises(BackupFailed, match="not empty"):
        restore(backup, data_dir, quiet)

    assert sorted(data_dir.rglob("*")) == before


def archive(path: Path, *members: tuple[str, bytes | str], manifest: object = ...) -> Path:
    """A tar of such members; a text is where a link leads."""
    about = {"format": "workbench-backup", "version": 1} if manifest is ... else manifest
    with tarfile.open(path, "w") as tar:
        for name, content in [(MANIFEST, json.dumps(about).encode()), *members]:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


HERE = "sessions/00000000-0000-0000-0000-000000000000/files"


@pytest.mark.parametrize(
    ("members", "manifest", "said"),
    [
        ([], {"format": "other"}, "no backup of a workbench"),
        ([], [], "no backup of a workbench"),
        ([], {"format": "workbench-backup", "version": 2}, "version 2"),
        ([("../outside", b"x")], ..., "No backup of ours"),
        ([("/etc/outside", b"x")], ..., "No backup of ours"),
        ([(f"{HERE}/../../../../outside", b"x")], ..., "No backup of ours"),
        ([("other", b"x")], ..., "No backup of ours"),
        ([("secret-key", "/etc/passwd")], ..., "No backup of ours"),
        ([(f"{HERE}/out", ".."), (f"{HERE}/out/x", b"x")], ..., "through a link"),
        ([(f"{HERE}/out", "/tmp/x"), (f"{HERE}/out", b"x")], ..., "through a link"),
        ([("workbench.sqlite3", b"no database" * 100)], ..., "could not be restored"),
    ],
)
def test_what_is_no_backup_changes_nothing(tmp_path: Path, members, manifest, said):
    path = archive(tmp_path / "all.tar", *members, manifest=manifest)
    target = tmp_path / "inner/target"

    with pytest.raises(BackupFailed, match=said):
        restore(path, target, quiet)

    assert not target.exists() or list(target.iterdir()) == []
    assert sorted(each.name for each in (tmp_path / "inner").iterdir()) == ["target"]


def test_a_backup_that_was_cut_off_is_refused(kept: Path, data_dir: Path, tmp_path: Path):
    backup = tmp_path / "all.tar.gz"
    back_up(data_dir, backup, quiet)
    backup.write_bytes(backup.read_bytes()[:-1_000_000])

    with pytest.raises(BackupFailed, match="broken"):
        restore(backup, tmp_path / "target", quiet)
    with pytest.raises(BackupFailed, match=r"^[^\n]+is broken, or no backup: [^\n]+$"):
        restore(Path(__file__), tmp_path / "target", quiet)

    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("arguments", [["backup"], ["restore"], ["status", "x"]])
def test_the_commands_say_what_they_take(arguments: list[str]):
    with pytest.raises(CommandError, match=r"needs a FILE|takes nothing else"):
        call_command("workbench", *arguments)
