"""``manage.py workbench``: the whole server, or one of its processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError

from sessions.engines.process import HostRunsAlready, run_host, running_host
from sessions.kernels.doctor import Verdict, are_contained, examine
from workbench import supervisor

ACTIONS = {
    "serve": "the database, a kernel host and the web tier (what you get without an action)",
    "host": "only the kernel host, in the foreground",
    "web": "only a web process, in the foreground; any number may run at other ports",
    "stop": "end the kernel host, all its sessions, and the server that started it",
    "status": "say what runs",
    "doctor": "say what this machine can contain and limit, and how to have more",
}


class Command(BaseCommand):
    """Runs the workbench."""

    help = "Run the workbench: " + "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    # The database may be about to be made, and each process checks for itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", default="serve", choices=list(ACTIONS))

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        getattr(self, f"_{action}")()

    def _serve(self) -> None:
        self._refuse_strangers()
        settings.WORKBENCH_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._step("Preparing the database")
        call_command("migrate", interactive=False, verbosity=0)
        supervisor.supervise(self._step)

    def _host(self) -> None:
        try:
            asyncio.run(run_host(supervisor.say_ready))
        except HostRunsAlready:
            raise CommandError(
                "A kernel host runs for this data directory already. "
                "End it with: python manage.py workbench stop"
            ) from None
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database cannot be used ({error}). "
                "If it is new, prepare it with: python manage.py migrate"
            ) from error

    def _web(self) -> None:
        self._refuse_strangers()
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
            ready=supervisor.say_ready,
        )

    def _stop(self) -> None:
        pid = running_host()
        if pid is None:
            self.stdout.write("No kernel host runs.")
            return
        self._step("Ending the kernel host and its sessions")
        supervisor.end_host(pid)

    def _status(self) -> None:
        pid = running_host()
        if pid is None:
            raise CommandError("No kernel host runs. Start it with: python manage.py workbench")
        self.stdout.write(f"The kernel host runs (process {pid}).")

    def _doctor(self) -> None:
        findings = examine(
            wants_walls=settings.WORKBENCH_SANDBOX != "off",
            limits=settings.WORKBENCH_SESSION_LIMITS,
            prefixes=[settings.WORKBENCH_KERNEL_PREFIX],
            network=settings.WORKBENCH_SESSION_NETWORK,
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

    def _refuse_strangers(self) -> None:
        if not supervisor.is_loopback(settings.WORKBENCH_HOST):
            raise CommandError(
                f"WORKBENCH_HOST is {settings.WORKBENCH_HOST}, which other machines can reach. "
                "There are no accounts yet to keep strangers out, so the workbench only listens "
                "on this machine: use 127.0.0.1, and a tunnel or an authenticating proxy."
            )

    def _step(self, text: str) -> None:
        self.stdout.write(f"{self.style.MIGRATE_HEADING('==>')} {text}")
        self.stdout.flush()
