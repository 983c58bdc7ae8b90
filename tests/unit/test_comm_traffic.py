"""How much kernels may say on comms: what is merged, what is dropped, what is told of it."""

from __future__ import annotations

from typing import Any

from sessions.kernels.comm_traffic import CommTraffic
from sessions.kernels.output_widgets import OutputWidgets
from sessions.states import EventType


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def message(state: dict[str, Any], comm_id: str = "c", **more: Any) -> dict[str, Any]:
    data = {"method": "update", "state": state, "buffer_paths": []}
    return {"kind": "msg", "comm_id": comm_id, "data": data, "buffers": [], **more}


def traffic(max_bytes: int = 300) -> tuple[CommTraffic, list[Any], Clock]:
    said: list[Any] = []
    clock = Clock()
    return CommTraffic(max_bytes, lambda *event: said.append(event[:2]), clock), said, clock


def states(said: list[Any]) -> list[Any]:
    return [data["data"]["state"] for type_, data in said if type_ == EventType.COMM]


def test_what_fits_is_said_at_once():
    comms, said, _ = traffic()
    comms.pass_on(message({"v": 1}), None)

    assert states(said) == [{"v": 1}]


def test_updates_beyond_the_allowance_become_one():
    comms, said, _ = traffic()
    for value in range(50):
        comms.pass_on(message({"v": value, f"k{value % 2}": value}), None)
    before = len(said)
    comms.settle()

    assert before < 5
    assert states(said)[-1] == {"v": 49, "k0": 48, "k1": 49}
    assert len(said) == before + 1


def test_a_renewed_allowance_goes_on_after_what_waited():
    comms, said, _ = traffic()
    for value in range(10):
        comms.pass_on(message({"v": value}), None)
    comms.renew()
    comms.pass_on(message({"v": "new"}), None)

    assert states(said)[-2:] == [{"v": 9}, {"v": "new"}]


def test_the_allowance_grows_back():
    comms, said, clock = traffic()
    for value in range(10):
        comms.pass_on(message({"v": value}), None)
    clock.now = 3600.0
    comms.pass_on(message({"v": 10}), None)

    assert states(said)[-2:] == [{"v": 9}, {"v": 10}]


def test_what_cannot_wait_is_told_once():
    comms, said, _ = traffic(10)
    for _ in range(3):
        comms.pass_on({**message({}), "data": {"method": "custom", "content": {}}}, None)

    assert [type_ for type_, _ in said] == [EventType.TRUNCATED]


def test_updates_with_buffers_are_replaced_and_not_mixed():
    comms, said, _ = traffic(10)
    comms.pass_on(message({"image": None}, buffers=["AA=="]), None)
    comms.pass_on(message({"image": None}, buffers=["AQ=="]), None)
    comms.settle()

    assert [data["buffers"] for _, data in said] == [["AQ=="]]


def test_output_widgets_do_not_fall_for_nonsense():
    widgets = OutputWidgets()
    opened = message({"_model_name": "OutputModel", "outputs": 7, "msg_id": ["x"]}, kind="open")
    for data in (opened, message({"outputs": [1, {"a": 1}]}), message({"msg_id": 3}, "unknown")):
        widgets.heard(data)

    assert not widgets.capture("x", (EventType.STREAM, {"name": "stdout", "text": "a"}))
    assert widgets.with_news() == []
