"""docs/scale.md: its tables, worked out from the figures and the model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from tests.scale import figures
from tests.scale.figures import Figure
from tests.scale.model import FULL, SIZES, Machine, Model, Need, Users
from tests.scale.queues import simulate

PATH = Path(__file__).parents[2] / "docs/scale.md"
_BLOCK = re.compile(r"(<!-- (\w+): .*? -->\n).*?(<!-- end -->)", re.DOTALL)


def write() -> None:
    """Bring the page's tables up to date."""
    PATH.write_text(rendered())


def rendered() -> str:
    """The page as it should be: its words, with tables of now."""
    model = Model(figures.load())
    tables = {
        "measured": _measured(model),
        "assumed": _assumed(),
        "loads": _loads(model),
        "fullness": _fullness(model),
        "limits": _limits(model),
        "plans": _plans(model),
    }

    def with_table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{tables[found[2]]}\n{found[3]}"

    return _BLOCK.sub(with_table, PATH.read_text())


def _measured(model: Model) -> str:
    at = figures.machine()
    where = f"{at['processors']}, {at['memory']}, {at['system']}, Python {at['python']}, {at['measured']}."
    by_part: dict[str, list[Figure]] = {}
    for figure in model.figures.values():
        by_part.setdefault(figure.part, []).append(figure)
    rows = [
        (figure.what, _with_unit(figure), f"`{part}`")
        for part, found in sorted(by_part.items())  # in the order in which they were measured
        for figure in found
    ]
    return where + "\n\n" + _table(("what", "measured", "part"), rows)


def _assumed() -> str:
    users, machine = Users(), Machine()
    rows = [
        ("sessions where somebody is at work; the others are idle", f"{users.active:.0%}"),
        ("executions of such a session", f"{users.executions_per_minute:g} a minute"),
        ("CPU of an execution's own code", f"{users.code_seconds:g} s, exponentially distributed"),
        (
            "its events and output",
            f"{4 + users.more_events:g} events, {users.output_bytes / 1000:g} kB",
        ),
        (
            "sessions that have run code, and what they hold beyond the measured table and picture",
            f"{users.used:.0%}, {users.data_mib:g} MiB",
        ),
        (
            "sessions at work that pages look at",
            f"{users.watched:.0%}, {users.sockets:g} sockets each",
        ),
        (
            "sessions at work that are polled",
            f"{users.polled:.0%}, {users.polls_per_second:g} times a second",
        ),
        ("life of a session", f"{users.life_seconds / 60:g} minutes"),
        (
            "a machine, with kernels or with PostgreSQL",
            f"{machine.processors} processors, {machine.memory_gib:g} GiB, "
            f"{machine.spare_gib:g} of them spare",
        ),
        (
            "connections that PostgreSQL lets in; of a web process, of a host",
            f"{machine.connections:g}; {machine.web_pool:g}, {machine.host_pool:g}",
        ),
        ("how full anything is planned to be", f"{FULL:.0%}"),
    ]
    return _table(("assumed", ""), rows)


def _loads(model: Model) -> str:
    loads = [model.load(size) for size in SIZES]
    rows = [
        ("executions a second", *(_short(load.executions) for load in loads)),
        ("events a second", *(_short(load.events) for load in loads)),
        ("sessions opened a second", *(_short(load.starts) for load in loads)),
        ("polls a second", *(_short(load.polls) for load in loads)),
        ("open sockets", *(_short(load.sockets) for load in loads)),
        ("memory of all kernels, GiB", *(_short(load.memory_gib) for load in loads)),
        ("the log grows by, GiB a day", *(_short(load.log_gib_a_day) for load in loads)),
        (
            "PostgreSQL's log of changes (WAL), MiB a second",
            *(_short(load.wal_mib) for load in loads),
        ),
    ]
    return _table(("live sessions", *_sizes()), rows)


def _fullness(model: Model) -> str:
    needs = [model.needs(size) for size in SIZES]
    names = [(need.of, need.name) for need in needs[-1]]
    rows = []
    for of, name in names:
        cells = []
        for found in needs:
            need = next(each for each in found if (each.of, each.name) == (of, name))
            cells.append(_share(need, is_first=need is found[0]))
        rows.append((f"{of}: {name}", *cells))
    return _table(("if there were one of each", *_sizes()), rows)


def _limits(model: Model) -> str:
    rows = [
        (f"{need.of}: {need.name}", _short(FULL * SIZES[1] / need.units))
        for need in model.needs(SIZES[1])
    ]
    return _table((f"one of each is {FULL:.0%} full", "at so many live sessions"), rows)


def _plans(model: Model) -> str:
    plans = [model.plan(size) for size in SIZES]
    found = [simulate(model, size) for size in SIZES]
    rows = [
        ("clusters, each with PostgreSQL, Redis and a Ray head", *(p["clusters"] for p in plans)),
        ("in each: machines with kernels", *(p["kernels"] for p in plans)),
        (
            "sessions on each of these machines",
            *(
                math.ceil(size / p["clusters"] / p["kernels"])
                for size, p in zip(SIZES, plans, strict=True)
            ),
        ),
        ("in each: web processes", *(p["web"] for p in plans)),
        ("simulated: added to an execution, median, ms", *(_ms(r.median) for r in found)),
        ("simulated: 95 of 100 are faster, ms", *(_ms(r.slow) for r in found)),
        ("simulated: 99 of 100 are faster, ms", *(_ms(r.slowest) for r in found)),
    ]
    return _table(("live sessions", *_sizes()), rows)


def _sizes() -> Iterable[str]:
    return (f"{size:,}" for size in SIZES)


def _share(need: Need, *, is_first: bool) -> str:
    share = f"{100 * need.units:,.0f} %" if need.units >= 0.01 else "< 1 %"
    return f"**{share}**" if is_first else share


def _with_unit(figure: Figure) -> str:
    return f"{_short(figure.value)} {figure.unit}".strip()


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


def _short(number: float) -> str:
    """Three digits that count; no more are known."""
    if number == round(number) and abs(number) < 1000:
        return f"{number:.0f}"
    digits = 2 - math.floor(math.log10(abs(number)))
    return f"{round(number, digits):,.{max(0, digits)}f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
