"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.core.management.color import no_style
from django.db import connections
from django.test import AsyncClient, TransactionTestCase

from sessions.engines import close_engine
from tests.running import children_of, command_of

# How long something takes says more about the machine than about the rule.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As when a shell runs the tests in the background. The server's programs would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Who ends a run in this way, as `timeout` does, wants what fixtures have started to be ended too.
signal.signal(signal.SIGTERM, signal.default_int_handler)


# What Django makes of the models when the tables are made: the same after every test.
OF_THE_MODELS = {"auth_permission", "django_content_type"}
# What they have left behind, in each process that runs tests.
LEFT = pytest.StashKey[list[str]]()


def left_behind() -> list[str]:
    """A line for each process that this one has started and that is there. Zombies say nothing."""
    return [f"{pid} {command_of(pid) or '(zombie)'}" for pid in sorted(children_of(os.getpid()))]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, Any]:
    """What a test has put out may be bytes that are no text: they cannot be sent as they are."""
    report = yield
    return as_text(report)


def as_text(value: Any) -> Any:
    """The same in types and shape, without the halves of characters that stand for such bytes."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(as_text, value))
    return value


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes run the tests, each tells the first what it leaves."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = left_behind()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of those that run the tests has ended."""
    left = getattr(node, "workeroutput", {}).get("left", [])
    node.config.stash.setdefault(LEFT, []).extend(left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which processes the tests have left behind."""
    left = left_behind() + terminalreporter.config.stash.get(LEFT, [])
    if left:
        terminalreporter.section("processes that are left")
        for line in left:
            terminalreporter.line(line[:200])


@pytest.fixture(scope="session", autouse=True)
def _quick_emptying() -> Iterator[None]:
    """Leave what Django makes of the models: to make it anew takes 15 times as long as emptying."""

    def empty(case: TransactionTestCase) -> None:
        for name in case._databases_names(include_mirrors=False):
            connection = connections[name]
            tables = connection.introspection.django_table_names(
                only_existing=True, include_views=False
            )
            connection.ops.execute_sql_flush(
                connection.ops.sql_flush(no_style(), sorted(set(tables) - OF_THE_MODELS))
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings) -> Path:
    """A data directory of the test's own."""
    settings.WORKBENCH_DATA_DIR = tmp_path / "data"
    return settings.WORKBENCH_DATA_DIR


@pytest.fixture
async def host(settings, transactional_db) -> AsyncIterator[None]:
    """A kernel host in this process, ended with the test, its sessions and kernels too."""
    settings.WORKBENCH_ENGINE = "inline"
    # A process that imports everything once is worth it from the second session on.
    settings.WORKBENCH_FORK_KERNELS = False
    yield
    await close_engine()


@pytest.fixture
def api(host) -> Iterator[AsyncClient]:
    """A client of the REST doors, with real kernels behind them."""
    return AsyncClient()
