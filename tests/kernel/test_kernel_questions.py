"""Questions about variables, tables and resources: never in the way of the user's code."""

import asyncio
import time

import pytest

from sessions.exceptions import InvalidValue, KernelBusy, NotSupported, SessionNotFound
from sessions.outcomes import fold
from tests.hosts import NAMED, event_of_type, run, run_arguments
from tests.kernel.test_comms import until

pytestmark = pytest.mark.kernel

FRAME = "import pandas as pd\ndf = pd.DataFrame({'a': [3, 1, 2], 'b': ['x', 'Y', None]})\n"


async def variables(host):
    answer = await host.list_variables(**NAMED)
    return {each["name"]: each for each in answer["variables"]}


async def table(host, name="df", **how):
    asked = {"offset": 0, "limit": 100, "sort": "", "descending": False, "search": ""}
    return await host.read_table(**NAMED, **{**asked, "name": name, **how})


async def test_variables_have_type_shape_size_and_value(host):
    code = FRAME + "import numpy as np\nz = np.zeros((3, 4))\nn = float('nan')\nt = (1,)\nl = [{}]"
    await run(host, code)
    found = await variables(host)

    assert found["z"]["shape"] == "(3, 4)"
    assert found["z"]["size_bytes"] == 96
    assert (found["z"]["type"], found["z"]["is_table"]) == ("ndarray", True)
    assert (found["df"]["shape"], found["df"]["value"]) == ("(3, 2)", "a, b")
    assert (found["n"]["type"], found["n"]["value"]) == ("float", "nan")
    assert (found["t"]["value"], found["l"]["value"]) == ("(1,)", "[{}]")
    # Data first, then what is code.
    assert list(found)[-2:] == ["np", "pd"]


async def test_what_ipython_put_there_is_hidden(host):
    await run(host, "1 + 1")
    await run(host, "x = _; _mine = 2; _helper = lambda: 0\nimport os as _os\ndef f(): pass")

    assert list(await variables(host)) == ["_mine", "x", "f"]


async def test_asking_leaves_no_trace(host):
    await run(host, "x = 1")
    events = len(host.recorder.events)
    await host.list_variables(**NAMED)
    names = await run(host, "sorted(n for n in globals() if 'workbench' in n.lower())")
    count = await run(host, "1")

    assert fold(names["events"]).result == {"text/plain": "[]"}
    assert count["execution_count"] == 3
    assert host.recorder.events[events]["type"] == "execution_queued"


HOSTILE = """
class Lies:
    @property
    def __class__(self): raise SystemExit
    def __getattr__(self, name): raise KeyboardInterrupt
    def __repr__(self): print('printed'); return 'lies\\n\\x1b[31m' + 'y' * 1000
class Raises:
    def __repr__(self): raise SystemExit
class Hangs:
    def __repr__(self):
        while True: pass
lies, raises, zhangs, zz = Lies(), Raises(), Hangs(), 'after'
huge = 'x' * 10_000_000
number = 10 ** 100_000
deep = []
for _ in range(1000): deep = [deep]
globals()[3] = 4
"""


async def test_hostile_objects_harm_nothing(host):
    await run(host, HOSTILE)
    found = await variables(host)
    printed = [e for e in host.recorder.events if e["type"] == "stream"]
    after = await run(host, "zz")

    assert found["lies"]["type"] == "Lies"
    assert found["lies"]["value"].startswith("lies \\x1b[31my")
    assert max(len(each["value"]) for each in found.values()) <= 200
    assert found["raises"]["value"] == "cannot be shown: SystemExit"
    assert found["zhangs"]["value"] == "takes too long to show"
    assert found["zz"]["value"] == "'after'"
    assert found["number"]["value"].startswith("about 2**")
    assert found["deep"]["value"] == "[[[…]]]"
    assert printed == []
    assert fold(after["events"]).result == {"text/plain": "'after'"}


async def test_there_are_at_most_1000_variables(host):
    await run(host, "for n in range(1100): globals()[f'v{n}'] = n")
    answer = await host.list_variables(**NAMED)

    assert (len(answer["variables"]), answer["is_cut"]) == (1000, True)


async def test_asking_while_code_runs_does_not_disturb_it(host):
    code = (
        "import threading, time, matplotlib.pyplot as plt\n"
        "x = 5; plt.plot([1, 2]); print(input())\n"
    )
    running = asyncio.create_task(host.run(**run_arguments(code, allow_input=True)))
    await event_of_type(host, "input_request")
    during = await variables(host)
    await host.answer_input(**NAMED, text="typed")
    result = await running

    assert during["x"]["value"] == "5"
    assert fold(result["events"]).stdout == "typed\n"
    # The figure is shown by the code's end, whole, and not by the question.
    assert [e["type"] for e in result["events"]].count("display_data") == 1


async def test_a_threads_output_keeps_its_execution_when_somebody_asks(host):
    code = (
        "import threading\ngo = threading.Event()\n"
        "threading.Thread(target=lambda: (go.wait(), print('late', end=''))).start()"
    )
    first = await run(host, code)
    await host.list_variables(**NAMED)
    await host.complete(**NAMED, code="go.s", cursor=4)
    await run(host, "go.set()")
    event = await event_of_type(host, "stream")

    assert event["data"]["text"] == "late"
    assert event["execution"] is not None
    assert first["state"] == "succeeded"


async def test_code_that_answers_in_our_place_is_not_believed(host):
    code = (
        "import comm\n"
        "def lie(c, m): c.close(data={'result': {'variables': [{'name': 1}]}})\n"
        "comm.get_comm_manager().targets['workbench.question'] = lie"
    )
    await run(host, code)
    with pytest.raises(KernelBusy):
        await host.list_variables(**NAMED)
    await run(host, "comm.get_comm_manager().targets.clear()")
    with pytest.raises(KernelBusy):
        await host.list_variables(**NAMED)


async def test_other_languages_say_that_they_cannot(host):
    await host.open_session(**NAMED, origin="test", kernel_name="bash")

    with pytest.raises(NotSupported):
        await host.list_variables(**NAMED)


# Tables


async def test_a_frame_is_shown_sorted_and_searched(host):
    await run(host, FRAME)
    whole = await table(host)
    by_a = await table(host, sort="a", descending=True)
    found = await table(host, search="y")

    assert whole["columns"] == [
        {"name": "a", "type": "int64", "is_number": True},
        {"name": "b", "type": whole["columns"][1]["type"], "is_number": False},
    ]
    assert (whole["index"], whole["total_rows"]) == (["0", "1", "2"], 3)
    assert [row[0] for row in whole["rows"]] == ["3", "1", "2"]
    assert [row[0] for row in by_a["rows"]] == ["3", "2", "1"]
    assert (found["index"], found["total_rows"]) == (["1"], 1)


async def test_mixed_columns_sort_with_what_is_missing_last(host):
    await run(host, "import pandas as pd\ndf = pd.DataFrame({'a': ['b', None, 1, 'a']})")
    answer = await table(host, sort="a")

    assert answer["index"] == ["2", "3", "0", "1"]


async def test_series_arrays_and_lists_of_dicts_are_tables(host):
    code = (
        "import pandas as pd, numpy as np\n"
        "s = pd.Series([1.5, None], name='v'); a = np.arange(6).reshape(3, 2)\n"
        "d = [{'k': 1}, {'k': 2, 'm': 'x'}]"
    )
    await run(host, code)
    series, array = await table(host, "s"), await table(host, "a", sort="1", descending=True)
    dicts = await table(host, "d")

    assert [column["name"] for column in series["columns"]] == ["v"]
    assert series["rows"] == [["1.5"], ["nan"]]
    assert array["rows"] == [["4", "5"], ["2", "3"], ["0", "1"]]
    assert dicts["rows"] == [["1", ""], ["2", "x"]]


async def test_pages_are_limited_and_the_data_stays_as_it_was(host):
    code = "import pandas as pd\ndf = pd.DataFrame({f'c{n}': range(1000) for n in range(300)})\n"
    await run(host, code + "before = df.copy()")
    page = await table(host, offset=990, limit=5000)
    first = await table(host, limit=5000, sort="c1", search="99")
    same = await run(host, "df.equals(before)")

    assert page["index"] == [str(n) for n in range(990, 1000)]
    assert (len(page["columns"]), page["total_columns"]) == (100, 300)
    assert len(first["rows"]) <= 200
    assert fold(same["events"]).result == {"text/plain": "True"}


async def test_what_is_no_table_says_so(host):
    await run(host, "x = 1\n" + FRAME)

    for wrong in ({"name": "x"}, {"name": "gone"}, {"name": "df", "sort": "zz"}):
        with pytest.raises(InvalidValue):
            await table(host, **wrong)


# Resources


async def test_what_a_session_uses_is_seen_from_outside(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.SAMPLE_SECONDS", 0.1)
    await run(host, "1")
    before = (await until_sampled(host))[-1]["memory_bytes"]
    await run(host, "x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096])")

    def has_grown():
        samples = host._meter.samples(host._sessions.find(None, "s").record.id)
        return samples[-1]["memory_bytes"] > before + 150_000_000

    await until(has_grown)
    glance = next(iter((await host.list_resources(owner_id=None)).values()))

    assert glance["memory_bytes"] > before
    assert len(glance["memory_spark"]) <= 30


async def test_processor_time_and_processes_are_counted(host, monkeypatch):
    await run(host, "1")
    session = host._sessions.find(None, "s")
    sessions = {session.record.id: session.process_ids}
    host._meter.sample(sessions)
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    await run(host, code)
    host._meter.sample(sessions)
    last = host._meter.samples(session.record.id)[-1]

    assert last["cpu_percent"] > 5
    assert last["processes"] >= 1


async def test_a_look_at_all_processes_is_cheap(host):
    await run(host, "import pandas")
    session = host._sessions.find(None, "s")
    sessions = {session.record.id: session.process_ids}
    host._meter.sample(sessions)
    begin = time.process_time()
    for _ in range(10):
        host._meter.sample(sessions)

    assert (time.process_time() - begin) / 10 < 0.1


async def test_resources_of_nobody(host):
    with pytest.raises(SessionNotFound):
        await host.resources(**NAMED)


async def until_sampled(host):
    async with asyncio.timeout(20):
        while not (samples := (await host.resources(**NAMED))["samples"]):
            await asyncio.sleep(0.01)
    return samples
