"""``manage.py workbench``: the whole server, or one of its processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from sessions import audit
from sessions.adoption import adopt_sessions
from sessions.audit import Format
from sessions.backup import BackupFailed, Copied, back_up, restore
from sessions.engines.process import HostRunsAlready, only_host, run_host, running_host
from sessions.kernels.doctor import Verdict, are_contained, examine
from sessions.models import AuditEntry
from sessions.retention import Pruned, delete_history, ended_before
from sessions.states import AuditAction
from workbench import claims, operating, supervisor
from workbench.access import keys
from workbench.access.models import ApiKey, Scope
from workbench.postgresql.alone import alone

ACTIONS = {
    "serve": "the database, a kernel host and the web tier (what you get without an action)",
    "host": "only the kernel host, in the foreground",
    "web": "only a web process, in the foreground; any number may run at other ports",
    "stop": "end the server, the kernel host and all its sessions",
    "status": "say what runs",
    "backup": "write all that the server keeps into a FILE, while it runs or not",
    "restore": "make an empty data directory of such a FILE",
    "key": "make an API key for the account NAME, and the account if there is none",
    "keys": "list the API keys",
    "revoke": "let the API key ID in no more",
    "adopt": "give the sessions without an owner to the account NAME, while no host runs",
    "prune": "delete the history of sessions that ended long ago",
    "audit": "print who did what, as CSV or JSON lines",
    "cluster": "show the kernel hosts, and what each has",
    "drain": "have the kernel host NAME open no sessions any more, and wait until it has none",
    "resume": "have the kernel host NAME open sessions again",
    "restart": "end the kernel host NAME of a cluster in order; the next takes its sessions back",
    "doctor": "say what this machine can contain and limit, and how to have more",
}

# What else an action needs.
TARGETS = {
    "backup": "a FILE",
    "restore": "a FILE",
    "key": "the NAME of an account",
    "revoke": "the ID of a key",
    "adopt": "the NAME of an account",
    "drain": "the NAME of a kernel host",
    "resume": "the NAME of a kernel host",
    "restart": "the NAME of a kernel host",
}
MAX_DAYS = 36_500
PROGRESS_SESSIONS = 100  # between two lines that say how far it is


class Command(BaseCommand):
    """Runs the workbench."""

    help = "Run the workbench: " + "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    # The database may be about to be made, and each process checks for itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", default="serve", choices=list(ACTIONS))
        parser.add_argument(
            "target",
            nargs="?",
            help="backup, restore: a tar, compressed if it ends in gz; key, adopt: an account's "
            "name; revoke: a key's id",
        )
        parser.add_argument("--label", default="", help="key: what it is for")
        parser.add_argument("--read", action="store_true", help="key: it may only read")
        parser.add_argument(
            "--days",
            type=int,
            help="prune: of sessions that ended more than so many days ago; "
            "usually WORKBENCH_HISTORY_DAYS. key: expires after so many; usually never",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="prune: only say what would be deleted"
        )

        parser.add_argument(
            "--wait", type=float, default=0.0, help="drain: for so many seconds; usually not at all"
        )
        parser.add_argument(
            "--close", action="store_true", help="drain: close the sessions that are left then"
        )
        parser.add_argument(
            "--since", help="audit: from this moment on, such as 2026-11-22 or 2026-11-22T08:00Z"
        )
        parser.add_argument("--until", help="audit: before this moment")
        parser.add_argument("--account", help="audit: of this account only")
        parser.add_argument(
            "--format", choices=list(Format), help=f"audit: usually {Format.JSON_LINES}"
        )

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        target, days, dry_run = options["target"], options["days"], options["dry_run"]
        if wanted := TARGETS.get(action):
            if target is None:
                raise CommandError(f"{action} needs {wanted}.")
        elif target is not None:
            raise CommandError(f"{action} takes nothing else.")
        if days is not None and action not in ("prune", "key"):
            raise CommandError("--days belongs to prune and key.")
        if dry_run and action != "prune":
            raise CommandError("--dry-run belongs to prune.")
        if (options["label"] or options["read"]) and action != "key":
            raise CommandError("--label and --read belong to key.")
        if (options["wait"] or options["close"]) and action != "drain":
            raise CommandError("--wait and --close belong to drain.")
        chosen = {name: options[name] for name in ("since", "until", "account", "format")}
        if action != "audit" and any(value is not None for value in chosen.values()):
            raise CommandError("--since, --until, --account and --format belong to audit.")
        match action:
            case "audit":
                self._audit(**chosen)
            case "key":
                self._key(target, days, label=options["label"], only_reads=options["read"])
            case "revoke":
                self._revoke(target)
            case "adopt":
                self._adopt(target)
            case "prune":
                self._prune(days, dry_run=dry_run)
            case "drain":
                wait = options["wait"]
                operating.drain_host(target, wait, closes=options["close"], say=self._step)
            case "resume":
                operating.resume_host(target, self._step)
            case "restart":
                operating.restart_host(target, self._step)
            case "backup":
                self._backup(Path(target))
            case "restore":
                self._restore(Path(target))
            case _:
                getattr(self, f"_{action}")()

    def _serve(self) -> None:
        settings.WORKBENCH_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with claims.claimed(supervisor.page()) as claim:
                self._step("Preparing the database")
                self._migrate()
                self._refuse_strangers()
                supervisor.supervise(self._step, claim)
        except claims.ServedAlready as error:
            raise CommandError(str(error)) from None

    def _migrate(self) -> None:
        """Bring the database up to date; another machine may begin to do so, too."""
        try:
            with alone("workbench migrate"):
                call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used ({error}).") from None

    def _host(self) -> None:
        if settings.WORKBENCH_ENGINE == "ray":
            raise CommandError(
                "The kernel hosts of a cluster are Ray's: the web processes start one on each node "
                "that offers kernel_slots."
            )
        lifeline = supervisor.Lifeline.held(stop_seconds=supervisor.HOST_STOP_SECONDS)
        ready = lifeline.say_ready if lifeline else _nobody_waits
        try:
            asyncio.run(run_host(ready, is_supervised=lifeline is not None))
        except HostRunsAlready as error:
            raise CommandError(str(error)) from None
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database cannot be used ({error}). "
                "If it is new, prepare it with: python manage.py migrate"
            ) from error

    def _web(self) -> None:
        self._refuse_strangers()
        lifeline = supervisor.Lifeline.held(stop_seconds=supervisor.WEB_STOP_SECONDS)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
        # Large bodies wait in files: on the disk the workspaces are on, for /tmp may be memory.
        tempfile.tempdir = str(settings.WORKBENCH_DATA_DIR / "tmp")
        os.makedirs(tempfile.tempdir, mode=0o700, exist_ok=True)
        # Twisted installs its reactor when daphne is imported: only a web process wants that.
        from workbench.asgi import application
        from workbench.server import serve

        serve(
            application,
            supervisor.addresses(),
            max_body_bytes=settings.WORKBENCH_MAX_BODY_BYTES,
            ready=lifeline.say_ready if lifeline else None,
        )

    def _stop(self) -> None:
        if claims.current() is None and running_host() is None:
            self.stdout.write("No kernel host runs.")
            return
        self._step("Ending the server, the kernel host and its sessions")
        if not supervisor.stop_server():
            raise CommandError("Something of it is still ending. Try again in a moment.")

    def _cluster(self) -> None:
        operating.show_hosts(self.stdout.write)

    def _status(self) -> None:
        pid = running_host()
        if pid is None:
            raise CommandError("No kernel host runs. Start it with: python manage.py workbench")
        self.stdout.write(f"The kernel host runs (process {pid}).")

    def _backup(self, file: Path) -> None:
        try:
            copied = back_up(settings.WORKBENCH_DATA_DIR, file, self._step)
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"The database cannot be used ({error}).") from error
        self.stdout.write(f"Wrote {file}: {_files(copied)}.")
        if copied.left_out:
            self.stdout.write(f"Left out {copied.left_out:,} that can be no files, or not be read.")
        if not copied.has_database:
            self.stdout.write("The database is not in it: back it up with its own tools (pg_dump).")

    def _restore(self, file: Path) -> None:
        if (pid := running_host()) is not None:
            raise CommandError(
                f"A kernel host runs for {settings.WORKBENCH_DATA_DIR} (process {pid}). "
                "End it first, or restore into another WORKBENCH_DATA_DIR."
            )
        try:
            copied = restore(file, settings.WORKBENCH_DATA_DIR, self._step)
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored into {settings.WORKBENCH_DATA_DIR}: {_files(copied)}.")
        if not copied.has_database:
            self.stdout.write("The database was not in it: restore it with its own tools.")

    def _prune(self, days: int | None, *, dry_run: bool) -> None:
        if days is None and not settings.WORKBENCH_HISTORY_DAYS:
            raise CommandError(
                "WORKBENCH_HISTORY_DAYS is 0: history is kept for ever. "
                "Say how old it may be with --days."
            )
        days = settings.WORKBENCH_HISTORY_DAYS if days is None else days
        if not 0 <= days <= MAX_DAYS:
            raise CommandError(f"--days takes a number of days, 0 to {MAX_DAYS}.")
        try:
            old = ended_before(timezone.now() - timedelta(days=days))
            if dry_run:
                self.stdout.write(f"Would delete the history of {_sessions(len(old))}.")
                return
            pruned = delete_history(old, self._say_progress(len(old)))
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database cannot be used ({error}). Nothing that is whole was harmed: "
                "the same command goes on where this one ended."
            ) from error
        audit.note(AuditAction.HISTORY_DELETED, what=str(pruned))
        self.stdout.write(f"Deleted {pruned}.")

    def _say_progress(self, total: int) -> Callable[[Pruned], None]:
        def say(pruned: Pruned) -> None:
            if pruned.sessions and pruned.sessions % PROGRESS_SESSIONS == 0:
                self._step(f"{pruned.sessions:,} of {_sessions(total)}")

        return say

    def _doctor(self) -> None:
        findings = examine(
            wants_walls=settings.WORKBENCH_SANDBOX != "off",
            limits=settings.WORKBENCH_SESSION_LIMITS,
            prefixes=[settings.WORKBENCH_KERNEL_PREFIX],
            network=settings.WORKBENCH_SESSION_NETWORK,
            gpus=settings.WORKBENCH_GPUS,
        )
        styles = {
            Verdict.GOOD: self.style.SUCCESS,
            Verdict.WEAKER: self.style.WARNING,
            Verdict.BAD: self.style.ERROR,
        }
        for each in findings:
            mark = styles[each.verdict](each.verdict.value.ljust(6))
            self.stdout.write(f"{mark} {each.subject}: {each.sentence}")
            if each.remedy:
                self.stdout.write(f"       {each.remedy}")
        if not are_contained(findings):
            raise CommandError("Sessions would run without walls on this machine.")

    def _key(self, name: str, days: int | None, *, label: str, only_reads: bool) -> None:
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days must be from 1 to {MAX_DAYS:,}.")
        scope = Scope.READ if only_reads else Scope.RUN
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        self._migrate()
        try:
            made = keys.make_key_for(name, label=label, scope=scope, expires_at=expires_at)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except keys.TooManyKeys as error:
            raise CommandError(error.message) from None
        self.stderr.write("Shown only now. Send the first with: Authorization: Bearer KEY")
        self.stderr.write("Backend.AI's clients sign with the two others.")
        self.stdout.write(f"key         {made.text}")
        self.stdout.write(f"access key  {made.key.key_id}")
        self.stdout.write(f"secret key  {made.signing_secret}")

    def _keys(self) -> None:
        for key in ApiKey.objects.select_related("owner"):
            self.stdout.write(
                "  ".join(
                    [
                        key.key_id,
                        key.state(timezone.now()),
                        key.scope,
                        key.owner.get_username(),
                        key.label,
                    ]
                )
            )

    def _revoke(self, key_id: str) -> None:
        if not keys.revoke(ApiKey.objects.filter(key_id=key_id)):
            raise CommandError("There is no such key, or it is revoked already.")
        self._step(f"{key_id} lets nobody in any more")

    def _adopt(self, name: str) -> None:
        self._migrate()
        account = get_user_model().objects.filter(username=name).first()
        if account is None:
            raise CommandError(f"There is no account named “{name}”.")
        try:
            with only_host():
                total, renamed = adopt_sessions(account.pk)
        except HostRunsAlready as error:
            raise CommandError(str(error)) from None
        for old, new in renamed.items():
            self._step(f"{old} is {new} now: {name} has another of that name")
        self._step(f"{name} owns {_sessions(total)} more")

    def _audit(
        self, *, since: str | None, until: str | None, account: str | None, format: str | None
    ) -> None:
        entries = AuditEntry.objects.all()
        if since is not None:
            entries = entries.filter(at__gte=_moment("--since", since))
        if until is not None:
            entries = entries.filter(at__lt=_moment("--until", until))
        if account is not None:
            entries = entries.filter(account=account)
        try:
            for piece in audit.export(entries, Format(format or Format.JSON_LINES)):
                self.stdout.write(piece, ending="")
        except BrokenPipeError:  # whoever read it has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python flushes the rest
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"The database cannot be used ({error}).") from error

    def _refuse_strangers(self) -> None:
        """A server that others can reach and nobody could use needs an account first."""
        if not settings.WORKBENCH_IS_OPEN and not keys.anybody_can_come_in():
            raise CommandError(
                f"WORKBENCH_HOST is {settings.WORKBENCH_HOST}, and nobody has an account or a key "
                "yet. Make one first: “python manage.py workbench key NAME” for programs, or "
                "“python manage.py createsuperuser” for the pages and the admin."
            )

    def _step(self, text: str) -> None:
        with suppress(OSError):  # the terminal may have been closed: no reason not to go on
            self.stdout.write(f"{self.style.MIGRATE_HEADING('==>')} {text}")
            self.stdout.flush()


def _moment(option: str, text: str) -> datetime:
    """A moment as somebody types it; in UTC, unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"{option} takes a day or a moment, such as 2026-11-22.") from None


def _nobody_waits() -> None:
    pass


def _files(copied: Copied) -> str:
    files = f"{copied.files:,} file{'s' * (copied.files != 1)}"
    return f"{files} of {_sessions(copied.sessions)}"


def _sessions(count: int) -> str:
    return f"{count:,} session{'s' * (count != 1)}"
