"""Widgets: what goes over comms, whose it is, and what output widgets capture."""

import asyncio

import pytest

from sessions.exceptions import InvalidValue, KernelBusy, LimitReached
from sessions.outcomes import fold
from tests.hosts import NAMED, run, run_arguments

pytestmark = pytest.mark.kernel


def comms(host, **wanted):
    """The comm events' data whose fields are as wanted."""
    found = [event["data"] for event in host.recorder.events if event["type"] == "comm"]
    return [data for data in found if all(data[name] == value for name, value in wanted.items())]


def comm_of(host, model):
    """The comm id of the only widget of a model."""
    (data,) = [
        data
        for data in comms(host, kind="open")
        if data["data"].get("state", {}).get("_model_name") == model
    ]
    return data["comm_id"]


def outputs_of(host, comm_id):
    """What an output widget shows, as the log says."""
    shown = None
    for data in comms(host, comm_id=comm_id):
        shown = data["data"].get("state", {}).get("outputs", shown)
    return shown


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


async def until(check):
    """Wait for what ``check`` returns to be true, and return it."""
    async with asyncio.timeout(20):
        while not (found := check()):
            await asyncio.sleep(0.01)
    return found


async def send(host, comm_id, state, **more):
    data = {"method": "update", "state": state, "buffer_paths": []}
    message = {"kind": "msg", "comm_id": comm_id, "target_name": "", "data": data, "metadata": {}}
    await host.send_comm(**NAMED, message={**message, **more}, buffers=[])


SLIDER = "import ipywidgets as w\nfrom IPython.display import display\ns = w.IntSlider()\n"


async def test_a_message_reaches_the_widget_and_its_callbacks_output_its_execution(host):
    first = await run(host, SLIDER + "s.observe(lambda c: print('now', c.new), 'value')\ns")
    await run(host, "1")
    await send(host, comm_of(host, "IntSliderModel"), {"value": 7})

    event = await until(
        lambda: next((e for e in host.recorder.events if e["type"] == "stream"), None)
    )
    value = await run(host, "s.value")

    assert (event["data"]["text"], event["execution"]) == ("now 7\n", first["id"])
    assert fold(value["events"]).result == {"text/plain": "7"}


async def test_the_kernel_echoes_what_it_took_over(host):
    await run(host, SLIDER + "s")
    comm_id = comm_of(host, "IntSliderModel")
    await send(host, comm_id, {"value": 3})

    echo = await until(
        lambda: [
            data["data"]["state"]
            for data in comms(host, comm_id=comm_id)
            if data["data"].get("method") == "echo_update"
        ]
    )

    assert echo == [{"value": 3}]


async def test_messages_wait_while_code_runs(host):
    await run(host, SLIDER + "s")
    running = asyncio.create_task(host.run(**run_arguments("input(); s.value", allow_input=True)))
    await until(lambda: [e for e in host.recorder.events if e["type"] == "input_request"])
    await send(host, comm_of(host, "IntSliderModel"), {"value": 9})
    await host.answer_input(**NAMED, text="")
    before = await running
    after = await run(host, "s.value")

    assert fold(before["events"]).result == {"text/plain": "0"}
    assert fold(after["events"]).result == {"text/plain": "9"}


async def test_buffers_pass_both_ways(host):
    code = (
        "import comm\n"
        "def opened(c, m):\n"
        "    c.on_msg(lambda m: c.send({'n': 1}, buffers=[bytes(m['buffers'][0]) + b'!']))\n"
        "comm.get_comm_manager().register_target('mine', opened)"
    )
    await run(host, code)
    opening = {"kind": "open", "comm_id": "c1", "target_name": "mine", "data": {}, "metadata": {}}
    await host.send_comm(**NAMED, message=opening, buffers=[])
    await host.send_comm(**NAMED, message={**opening, "kind": "msg"}, buffers=[b"\x00\xff"])

    (answer,) = await until(lambda: comms(host, comm_id="c1", kind="msg"))

    assert (answer["data"], answer["buffers"]) == ({"n": 1}, ["AP8h"])


async def test_the_number_of_waiting_messages_is_limited(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.kernel.MAX_COMMS_WAITING", 3)
    await run(host, SLIDER + "s")
    running = asyncio.create_task(host.run(**run_arguments("input()", allow_input=True)))
    await until(lambda: [e for e in host.recorder.events if e["type"] == "input_request"])
    comm_id = comm_of(host, "IntSliderModel")
    for value in range(3):
        await send(host, comm_id, {"value": value})
    with pytest.raises(LimitReached):
        await send(host, comm_id, {"value": 4})
    await host.answer_input(**NAMED, text="")
    await running
    await run(host, "1")

    await send(host, comm_id, {"value": 5})  # they were handled: there is room again


async def test_without_a_kernel_there_is_nobody_to_tell(host):
    await run(host, "1")
    await run(host, "import os; os._exit(1)")

    with pytest.raises(KernelBusy):
        await send(host, "c", {})


# Output widgets

OUT = (
    "import ipywidgets as w\nfrom IPython.display import display, clear_output\nout = w.Output()\n"
)


async def test_an_output_widget_captures_and_the_kernel_learns_it(host):
    result = await run(host, OUT + "with out:\n    print('a')\n    print('b')\nprint('outside')")
    known = await run(host, "out.outputs")

    assert fold(result["events"]).stdout == "outside\n"
    assert outputs_of(host, comm_of(host, "OutputModel")) == [stream("a\nb\n")]
    assert "'a\\nb\\n'" in fold(known["events"]).result["text/plain"]
    types = [event["type"] for event in result["events"]]
    assert types[-2:] == ["comm", "execution_finished"]


async def test_all_kinds_of_output_are_captured(host):
    code = (
        "with out:\n"
        "    print('a'); import sys; print('b', file=sys.stderr)\n"
        "    h = display({'text/plain': '1'}, raw=True, display_id=True)\n"
        "    h.update({'text/plain': '2'}, raw=True)\n"
        "    1/0\n"
    )
    result = await run(host, OUT + code)
    shown = outputs_of(host, comm_of(host, "OutputModel"))

    assert result["state"] == "succeeded"
    assert shown[:2] == [stream("a\n"), stream("b\n", "stderr")]
    assert (shown[2]["output_type"], shown[2]["data"]) == ("display_data", {"text/plain": "2"})
    assert (shown[3]["output_type"], shown[3]["ename"]) == ("error", "ZeroDivisionError")
    assert len(shown) == 4


async def test_clearing_an_output_widget(host):
    await run(host, OUT + "with out:\n    print('a')\n    clear_output(wait=True)")
    comm_id = comm_of(host, "OutputModel")
    waiting = outputs_of(host, comm_id)
    await run(host, "with out:\n    print('b')")
    replaced = outputs_of(host, comm_id)
    await run(host, "out.clear_output()")

    assert (waiting, replaced) == ([stream("a\n")], [stream("b\n")])
    assert outputs_of(host, comm_id) == []


async def test_what_the_kernel_sets_is_shown_as_it_is(host):
    await run(host, OUT + "with out:\n    print('a')")
    await run(host, "out.append_stdout('b')")
    comm_id = comm_of(host, "OutputModel")
    appended = outputs_of(host, comm_id)
    await run(host, "out.outputs = ()")

    assert appended == [stream("a\n"), stream("b")]
    assert outputs_of(host, comm_id) == []


async def test_the_inner_of_two_output_widgets_captures(host):
    code = (
        "a, b = w.Output(), w.Output()\n"
        "with a:\n    print('1')\n    with b:\n        print('2')\n    print('3')\n"
        "a.comm.comm_id + ' ' + b.comm.comm_id"
    )
    result = await run(host, OUT + code)
    outer, inner = fold(result["events"]).result["text/plain"].strip("'").split()

    assert fold(result["events"]).stdout == ""
    assert (outputs_of(host, outer), outputs_of(host, inner)) == (
        [stream("1\n3\n")],
        [stream("2\n")],
    )


async def test_interact_shows_its_result_anew(host):
    code = "import ipywidgets as w\nw.interact(lambda x: print('x is', x), x=(0, 9));"
    await run(host, code)
    out = comm_of(host, "OutputModel")
    first = await until(lambda: outputs_of(host, out))
    await send(host, comm_of(host, "IntSliderModel"), {"value": 8})

    assert first == [stream("x is 4\n")]
    await until(lambda: outputs_of(host, out) == [stream("x is 8\n")])
    assert not [e for e in host.recorder.events if e["type"] == "stream"]


async def test_a_flood_into_an_output_widget_is_bounded(host):
    code = "with out:\n    for n in range(200): print('y' * 10_000)\n    print('end')"
    await run(host, OUT + code)
    shown = outputs_of(host, comm_of(host, "OutputModel"))

    assert sum(len(output["text"]) for output in shown) < 600_000
    assert "left out" in shown[0]["text"]
    assert shown[-1]["text"].endswith("end\n")


async def test_a_bar_that_goes_on_for_ever_stays_true_and_bounded(host, monkeypatch):
    await run(host, SLIDER + "for n in range(100): s.description = 'd' * 1000 + str(n)")
    unlimited = len(str(comms(host)))
    host.recorder.events.clear()
    session = host._sessions.find(None, "s")
    monkeypatch.setattr(session._comms._traffic, "max_bytes", 10_000)
    await run(host, "for n in range(300): s.description = 'd' * 1000 + str(n)")

    assert len(str(comms(host))) < 20_000 < unlimited
    assert comms(host)[-1]["data"]["state"]["description"].endswith("299")


async def test_bad_messages_reach_nobody(host):
    from sessions import operations

    for bad in ({"kind": "shout", "comm_id": "c"}, {"kind": "msg", "comm_id": ""}):
        with pytest.raises(InvalidValue):
            await operations.send_comm(operations.SessionRef(owner_id=None, identifier="s"), **bad)
