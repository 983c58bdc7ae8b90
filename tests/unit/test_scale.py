"""docs/scale.md says what its figures and its model say, and the model does what it should."""

from __future__ import annotations

import dataclasses
import importlib
import re

import pytest

from tests.documents import ROOT
from tests.scale import figures, page
from tests.scale.__main__ import PARTS
from tests.scale.model import FULL, SIZES, Machine, Model, Users
from tests.scale.queues import Clock, Recorder, Station, simulate

FIGURES = figures.load()


@pytest.fixture
def model() -> Model:
    return Model(FIGURES)


def test_the_page_is_what_the_model_says():
    assert page.PATH.read_text() == page.rendered(), "run: python -m tests.scale write"


def test_every_figure_is_measured_by_a_part_that_there_is():
    assert {figure.part for figure in FIGURES.values()} == set(PARTS)
    for part in PARTS:
        assert part == importlib.import_module(f"tests.scale.{part}").PART


def test_every_figure_the_model_asks_for_was_measured(model):
    sources = [ROOT / "tests/scale/model.py", ROOT / "tests/scale/queues.py"]
    asked = set(
        re.findall(r'(?:self|model)\["(\w+)"\]', "".join(each.read_text() for each in sources))
    )

    assert len(asked) > 20
    assert asked - set(FIGURES) == set()


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_figures_can_be(figure):
    """Nothing that was measured is less than nothing: a difference of two noisy numbers may be."""
    assert figure.value >= 0
    assert figure.what


@pytest.mark.parametrize(
    ("unit", "values", "better"),
    [
        ("/s", (1.0, 2.0), 2.0),
        ("ms", (1.0, 2.0), 1.0),
        ("ms", (-1.0, 2.0), 2.0),
        ("MiB", (2.0, 3.0), 3.0),
    ],
)
def test_what_was_disturbed_less_is_kept(tmp_path, monkeypatch, unit, values, better):
    monkeypatch.setattr(figures, "PATH", tmp_path / "measured.json")

    for value in values:
        figures.store({"it": figures.Figure(value, unit, "what", "part")}, best=True)

    assert figures.load()["it"].value == better


def test_a_hundred_times_the_sessions_make_a_hundred_times_the_load(model):
    small, large = (dataclasses.asdict(model.load(size)) for size in SIZES[1:])

    assert large == pytest.approx({name: 100 * value for name, value in small.items()})


def test_nothing_of_a_plan_is_fuller_than_planned(model):
    for size in SIZES:
        plan = model.plan(size)
        for need in model.needs(-(-size // plan["clusters"])):
            assert need.units / plan.get(need.of, 1) <= FULL + 1e-9, (size, need)


def test_more_work_of_users_wants_more(model):
    busy = Model(FIGURES, users=dataclasses.replace(Users(), executions_per_minute=20.0))

    wanted = {(need.of, need.name): need.units for need in model.needs(1_000)}

    assert all(need.units >= wanted[need.of, need.name] for need in busy.needs(1_000))
    assert busy.plan(100_000)["clusters"] > model.plan(100_000)["clusters"]


def test_more_memory_wants_fewer_machines(model):
    large = Model(FIGURES, machine=dataclasses.replace(Machine(), memory_gib=256.0, processors=64))

    assert large.plan(10_000)["kernels"] < model.plan(10_000)["kernels"]


def test_what_the_page_says_in_words_holds(model):
    thousand, many = model.needs(1_000), model.needs(100_000)
    shared = [need for need in many if need.of in ("database", "Redis")]

    assert (thousand[0].of, thousand[0].name) == (many[0].of, many[0].name) == ("kernels", "memory")
    assert (shared[0].of, shared[0].name) == ("database", "connections")
    assert all(need.units < 0.3 for need in thousand if need.of in ("database", "Redis"))
    assert model.plan(10) == {"clusters": 1, "kernels": 1, "web": 1}
    assert model.plan(100_000)["clusters"] > 1
    assert 1_000 / model.plan(1_000)["kernels"] > 200


def test_a_simulation_can_be_repeated(model):
    assert simulate(model, 1_000, seed=3) == simulate(model, 1_000, seed=3)


def test_no_execution_is_faster_than_what_it_goes_through(model):
    least = (FIGURES["run_cpu"].value + FIGURES["execution_postgresql_host_cpu"].value) / 1e3

    result = simulate(model, 1_000)

    assert least < result.median <= result.slow <= result.slowest


def test_a_station_serves_in_order_and_no_more_at_once_than_it_has_servers():
    clock, ended = Clock(), []
    station = Station(clock, 2)
    for name in "abcd":
        station.serve(1.0, lambda name=name: ended.append((clock.now, name)))

    clock.run()

    assert ended == [(1.0, "a"), (1.0, "b"), (2.0, "c"), (2.0, "d")]


def test_what_comes_during_a_transaction_is_in_the_next_together():
    clock, ended = Clock(), []
    recorder = Recorder(Station(clock, 1), 1.0)
    for moment in (0.0, 0.2, 0.4, 3.0):
        clock.after(moment, lambda: recorder.write(lambda: ended.append(clock.now)))

    clock.run()

    assert ended == [1.0, 2.0, 2.0, 4.0]
    assert (recorder.transactions, recorder.written) == (3, 4)
