"""Outputs with scripts and widgets: alive in frames of their own, and able to harm nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Frame, FrameLocator, Page, expect

from tests.browser.notebook import Notebook
from tests.running import http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

WAIT_FOR_FILE = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
SHOW = "from IPython.display import display, HTML, Javascript\n"
WIDGETS = "import ipywidgets as w\nfrom IPython.display import display\n"
SAVED = "application/vnd.jupyter.widget-state+json"
LOOP = "<p>before the loop</p><script>while (true) {}</script>"


def frame(notebook: Notebook, place: int) -> FrameLocator:
    """The frame in the outputs of a cell."""
    return notebook.outputs(place).frame_locator("iframe")


async def window_of(notebook: Notebook, place: int) -> Frame:
    """The same, for questions to its scripts."""
    element = await notebook.outputs(place).locator("iframe").element_handle()
    found = await element.content_frame()
    assert found is not None
    return found


async def value_of(notebook: Notebook, expression: str) -> str:
    """What the kernel says of an expression, in a new cell."""
    cell = await notebook.run_to_end(f"print('<', {expression}, '>', sep='')")
    text = await cell.locator("[data-outputs]").inner_text()
    found = re.search(r"<(.*)>", text, re.DOTALL)
    assert found
    return found[1]


async def move(slider: FrameLocator, key: str = "ArrowRight") -> None:
    """Move a slider as a person does who has a keyboard."""
    await slider.locator(".noUi-handle").press(key)


def upload(notebook: Notebook, name: str) -> None:
    """Put an empty file into the workspace."""
    address = f"{notebook.server}/api/v1/sessions/{notebook.id}/files/content?path={name}"
    answer = http.put(address, content=b"")
    assert answer.is_success, answer.text


def open_file(notebook: Notebook, cells: list[dict[str, Any]], metadata: dict[str, Any]) -> None:
    """Replace the notebook by what an .ipynb file has."""
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    address = f"{notebook.server}/api/v1/sessions/{notebook.id}/notebook?mode=replace"
    answer = http.put(address, content=json.dumps(document))
    assert answer.is_success, answer.text


def requests_elsewhere(page: Page, server: str) -> list[str]:
    """Collects what a page asks of other servers."""
    found: list[str] = []
    ours = (server, server.replace("http", "ws", 1), "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(ours) or found.append(request.url))
    return found


def answers_to_frames(page: Page) -> list[str]:
    """Collects what the frames of a page asked for and got."""
    found: list[str] = []
    page.on(
        "requestfinished",
        lambda request: request.frame == page.main_frame or found.append(request.url),
    )
    return found


def files_of_default(server: str) -> str:
    """What is in the session that ``POST /execute`` uses; a refusal if there is none."""
    return http.get(f"{server}/api/v1/sessions/default/files").text


# Plots and pages


async def test_plots_are_drawn_without_internet(notebook):
    elsewhere = requests_elsewhere(notebook.page, notebook.server)
    await notebook.run_to_end(
        "import plotly.graph_objects as go\ngo.Figure(go.Bar(x=['a', 'b'], y=[2, 3]))"
    )
    await expect(frame(notebook, 0).locator(".js-plotly-plot .bars .point")).to_have_count(2)

    await notebook.run_to_end(
        "import altair as alt, pandas as pd\n"
        "alt.Chart(pd.DataFrame({'x': [1, 2], 'y': [3, 4]})).mark_bar().encode(x='x', y='y')"
    )
    await expect(frame(notebook, 1).locator(".vega-embed :is(canvas, svg.marks)")).to_be_visible()
    assert elsewhere == []


async def test_bokeh_draws_with_the_library_that_an_earlier_cell_loaded(notebook):
    await notebook.run_to_end(
        "from bokeh.io import output_notebook\nfrom bokeh.plotting import figure, show\n"
        "from bokeh.resources import INLINE\noutput_notebook(resources=INLINE)"
    )
    await notebook.run_to_end("p = figure(height=200)\np.line([1, 2, 3], [1, 4, 9])\nshow(p)")

    await expect(frame(notebook, 1).locator(".bk-Figure")).to_be_visible()


async def test_scripts_run_in_order_in_their_frame(notebook):
    await notebook.run_to_end(
        SHOW + "display(HTML('''<ol id=list></ol>"
        "<script>var seen = []; window.say = word => seen.push(word); say('first')</script>"
        "<script src='https://cdn.jsdelivr.net/npm/vega@6'></script>"
        "<script>say(typeof vega); addEventListener('load', () => list.textContent = seen)</script>'''))"
    )
    await expect(frame(notebook, 0).locator("#list")).to_have_text("first,object")
    assert await notebook.page.evaluate("window.seen") is None

    await notebook.run_to_end(SHOW + "Javascript('element.append(`six times ${7}`)')")
    await expect(frame(notebook, 1).locator(".output")).to_contain_text("six times 7")


async def test_a_display_that_is_updated_keeps_its_frame(notebook):
    shown = "HTML('<b onclick=x>one</b><script>window.mark ??= 0; mark++</script>')"
    await notebook.run_to_end(f"{SHOW}shown = display({shown}, display_id=True)")
    bold = frame(notebook, 0).locator("b")
    await expect(bold).to_have_text("one")
    window = await window_of(notebook, 0)
    await window.evaluate("window.mine = 'kept'")

    await notebook.run_to_end(f"shown.update({shown.replace('one', 'two')})")

    await expect(bold).to_have_text("two")
    assert await window.evaluate("[window.mine, window.mark]") == ["kept", 2]


async def test_a_frame_is_as_high_as_its_content_and_does_not_shrink_in_between(notebook):
    box = "HTML(f'<script></script><div style=\"height: {height}px\">{height}</div>')"
    await notebook.run_to_end(f"{SHOW}height = 400\nshown = display({box}, display_id=True)")
    element = notebook.outputs(0).locator("iframe")
    await expect(frame(notebook, 0).get_by_text("400")).to_be_visible()
    await expect(element).to_have_css("height", re.compile(r"^40[0-9]px"))
    await element.evaluate(
        "iframe => { window.heights = []; new ResizeObserver(() =>"
        " window.heights.push(iframe.offsetHeight)).observe(iframe) }"
    )

    await notebook.run_to_end(
        f"for height in [420, 440, 460, 480, 500]:\n    shown.update({box})\n"
    )

    await expect(element).to_have_css("height", re.compile(r"^50[0-9]px"))
    heights = await notebook.page.evaluate("window.heights")
    assert heights == sorted(heights)


async def test_the_theme_reaches_frames(notebook):
    await notebook.run_to_end(f"{WIDGETS}w.Text('seen')")
    shown = frame(notebook, 0).locator("input")
    await expect(shown).to_be_visible()
    for theme in ("dark", "light"):
        await notebook.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")

        await expect(frame(notebook, 0).locator("html")).to_have_attribute("data-theme", theme)
        colours = await notebook.page.evaluate(
            "['--surface', '--text'].map(name => {"
            " const probe = document.body.appendChild(document.createElement('i'));"
            " probe.style.color = `var(${name})`; const found = getComputedStyle(probe).color;"
            " probe.remove(); return found })"
        )
        await expect(shown).to_have_css("background-color", colours[0])
        await expect(shown).to_have_css("color", colours[1])


# Widgets


async def test_a_widget_and_its_kernel_follow_each_other(notebook):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\ns")
    readout = frame(notebook, 0).locator(".widget-readout")
    await expect(readout).to_have_text("3")

    await move(frame(notebook, 0))
    await expect(readout).to_have_text("4")
    assert await value_of(notebook, "s.value") == "4"

    await notebook.run_to_end("s.value = 8")
    await expect(readout).to_have_text("8")


async def test_what_a_widget_calls_is_shown(notebook):
    await notebook.run_to_end(
        f"{WIDGETS}def square(n): print(n, 'times', n, 'is', n * n)\nw.interact(square, n=(1, 9))"
    )
    shown = frame(notebook, 0)
    await expect(shown.locator(".widget-output")).to_contain_text("5 times 5 is 25")
    await move(shown)
    await expect(shown.locator(".widget-output")).to_contain_text("6 times 6 is 36")
    await expect(shown.locator(".widget-output")).not_to_contain_text("25")

    await notebook.run_to_end(
        f"{WIDGETS}button, out = w.Button(description='Press'), w.Output()\n"
        "def pressed(_):\n    with out: print('pressed')\n"
        "button.on_click(pressed)\nw.VBox([button, out])"
    )
    await frame(notebook, 1).get_by_role("button", name="Press").click()
    await expect(frame(notebook, 1).locator(".widget-output")).to_contain_text("pressed")


async def test_widgets_live_after_a_reload_and_in_two_browsers_at_once(notebook, new_page):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\ns")
    await move(frame(notebook, 0))
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("4")
    await notebook.page.reload()
    await notebook.is_ready()
    other = await notebook.in_another_browser(await new_page())
    ours, theirs = frame(notebook, 0), frame(other, 0)

    for there in (ours, theirs):
        await expect(there.locator(".widget-readout")).to_have_text("4")
    await move(theirs)
    for there in (ours, theirs):
        await expect(there.locator(".widget-readout")).to_have_text("5")
    await move(ours)
    for there in (ours, theirs):
        await expect(there.locator(".widget-readout")).to_have_text("6")
    assert await value_of(notebook, "s.value") == "6"


async def test_binary_data_goes_both_ways(notebook):
    await notebook.run_to_end(f"{WIDGETS}u = w.FileUpload()\nu")
    button = frame(notebook, 0).locator("button")
    async with notebook.page.expect_file_chooser() as choosing:
        await button.click()
    content = b"\x00\xff\x80ab"
    file = {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": content}
    await (await choosing.value).set_files(file)
    await expect(button).to_contain_text("(1)")
    assert await value_of(notebook, "bytes(u.value[0].content)") == repr(content)

    await notebook.run_to_end(
        f"{WIDGETS}import io, matplotlib.image as mpl, numpy as np\n"
        "file = io.BytesIO()\nmpl.imsave(file, np.zeros((7, 11, 3)))\nw.Image(value=file.getvalue())"
    )
    picture = frame(notebook, 2).locator("img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [11, 7]


async def test_a_widget_used_while_code_runs_is_heard_afterwards(notebook):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\ns")
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("3")
    running = await notebook.run(f"{WAIT_FOR_FILE}\nprint('until then', s.value)")
    await expect(running).to_have_attribute("data-state", "running")

    for _ in range(3):
        await move(frame(notebook, 0))
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("6")
    upload(notebook, "go")

    await expect(notebook.outputs(1)).to_contain_text("until then 3")
    assert await value_of(notebook, "s.value") == "6"
    await move(frame(notebook, 0))
    assert await value_of(notebook, "s.value") == "7"


async def test_a_widget_whose_kernel_has_gone_does_not_pretend_to_live(notebook):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\ns")
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("3")

    await notebook.page.locator("[data-command=restart]").first.click()
    await notebook.page.get_by_role("button", name="Restart kernel").click()

    note = frame(notebook, 0).get_by_text("The kernel of this widget has ended")
    await expect(note).to_be_visible()
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("3")
    await expect(frame(notebook, 0).locator(".widget-slider[inert]")).to_be_visible()
    await notebook.page.reload()
    await notebook.is_ready()
    await expect(note).to_have_count(1)
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("3")


async def test_a_widget_of_a_module_that_is_not_here_says_so(notebook):
    await notebook.run_to_end(
        f"{WIDGETS}from traitlets import Unicode\n"
        "class Globe(w.DOMWidget):\n"
        "    _model_name = Unicode('GlobeModel').tag(sync=True)\n"
        "    _model_module = Unicode('globes').tag(sync=True)\n"
        "    _view_name = Unicode('GlobeView').tag(sync=True)\n"
        "    _view_module = Unicode('globes').tag(sync=True)\n"
        "w.VBox([Globe(), w.Label('beside it')])"
    )

    await expect(frame(notebook, 0).get_by_text("needs the module globes")).to_be_visible()
    await expect(frame(notebook, 0).get_by_text("beside it")).to_be_visible()


async def test_outputs_of_a_file_never_speak_to_the_kernel(notebook):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\nprint(s.model_id)")
    name = (await notebook.outputs(0).inner_text()).strip()
    await notebook.run_to_end("s")
    await expect(frame(notebook, 1).locator(".widget-readout")).to_have_text("3")
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": name}}
    message = {"kind": "msg", "comm_id": name, "buffers": []}
    message["data"] = {"method": "update", "state": {"value": 9}, "buffer_paths": []}
    script = (
        f"parent.postMessage({{type: 'model', id: '{name}'}}, '*');"
        f"parent.postMessage({{type: 'comm', message: {json.dumps(message)}}}, '*');"
        "document.write('said it')"
    )
    saved: dict[str, Any] = {
        "model_name": "LabelModel",
        "model_module": "@jupyter-widgets/controls",
        "model_module_version": "2.0.0",
        "state": {"value": "as it was saved"},
    }
    states = {"version_major": 2, "version_minor": 0, "state": {"of-a-file": saved}}
    saved_view = {"application/vnd.jupyter.widget-view+json": {"model_id": "of-a-file"}}
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": data}
        for data in (view, saved_view, {"text/html": f"<script>{script}</script>"})
    ]
    cell = {"cell_type": "code", "id": "of-a-file", "source": "", "metadata": {}}
    open_file(
        notebook,
        [{**cell, "execution_count": None, "outputs": outputs}],
        {"widgets": {SAVED: states}},
    )
    await expect(notebook.cells).to_have_count(1)

    frames = notebook.outputs(0).locator("iframe")
    await expect(frames.nth(1).content_frame.get_by_text("as it was saved")).to_be_visible()
    await expect(frames.nth(2).content_frame.get_by_text("said it")).to_be_visible()
    await expect(frames.nth(0).content_frame.get_by_text("not in the session")).to_be_visible()
    assert await value_of(notebook, "s.value") == "3"


# Attacks

HOSTILE = """
<pre id="report"></pre>
<script>
const report = {};
const server = "SERVER";
const attempt = (name, act) => {
  try { report[name] = act() ?? "done" } catch (error) { report[name] = `refused: ${error.name}` }
};
const later = (name, promise) => promise.then(
  (value) => report[name] = value ?? "done", (error) => report[name] = `refused: ${error}`);
const event = (target, good, bad) => new Promise((resolve, reject) => {
  target[good] = () => resolve(good); target[bad] = () => reject(bad); });
attempt("parent", () => parent.document.title);
attempt("top", () => top.document.title);
attempt("parent's memory", () => parent.localStorage.length);
attempt("cookies", () => document.cookie);
attempt("memory", () => localStorage.length);
attempt("session memory", () => sessionStorage.length);
attempt("sibling", () => parent.frames[0].document.title);
attempt("sibling's address", () => { parent.frames[0].location = "about:blank" });
attempt("top's address", () => { top.location = "about:blank" });
attempt("parent's address", () => { parent.location.href = "about:blank" });
attempt("frame element", () => frameElement.title);
parent.frames[0].postMessage({ type: "show", outputs: [{ data: { "text/html": "owned" } }] }, "*");
const body = JSON.stringify({ code: "open('owned', 'w')" });
const socket = new WebSocket(server.replace("http", "ws") + "/ws/sessions/IDENTIFIER/?since=0");
const image = new Image();
const form = document.createElement("form");
Object.assign(form, { action: server + "/execute", method: "post" });
const inner = document.createElement("iframe");
inner.src = server + "/workbench/IDENTIFIER/";
document.body.append(form, image, inner);
attempt("beacon", () => { navigator.sendBeacon(server + "/execute", body) });
attempt("form", () => { form.submit() });
Promise.all([
  later("fetch", fetch(server + "/api/v1/sessions").then((answer) => answer.text())),
  later("no-cors", fetch(server + "/execute", { method: "POST", mode: "no-cors", body })),
  later("socket", event(socket, "onopen", "onerror")),
  later("image", event(image, "onload", "onerror")),
  later("worker", new Promise((resolve) => resolve(new Worker(server + "/static/x.js")))),
  later("database", new Promise((resolve) => resolve(indexedDB.open("x").onsuccess))),
]).then(() => document.getElementById("report").textContent = JSON.stringify(report));
image.src = server + "/healthz?picture";
</script>
"""
# What is asked for without an answer is refused by the policy, and the server never hears of it.
UNANSWERED = {"beacon", "form"}


async def test_a_hostile_output_reaches_nothing(notebook, problems):
    problems.expect("")  # all that it tries and may not
    answered = answers_to_frames(notebook.page)
    await notebook.run_to_end(SHOW + "HTML('<script></script><b>neighbour</b>')")
    await expect(frame(notebook, 0).locator("b")).to_have_text("neighbour")
    html = HOSTILE.replace("SERVER", notebook.server).replace("IDENTIFIER", notebook.identifier)

    await notebook.run_to_end(f"{SHOW}HTML({html!r})")

    report = frame(notebook, 1).locator("#report")
    await expect(report).to_contain_text("parent")
    found = json.loads(await report.inner_text())
    assert len(found) > 15
    allowed = {name: said for name, said in found.items() if not said.startswith("refused")}
    assert set(allowed) == UNANSWERED
    public = tuple(notebook.server + path for path in ("/static/", "/output-frame/"))
    assert answered
    assert [url for url in answered if not url.startswith((*public, "blob:", "data:"))] == []
    await expect(frame(notebook, 0).locator("b")).to_have_text("neighbour")
    assert await value_of(notebook, "__import__('os').listdir()") == "[]"
    assert "owned" not in files_of_default(notebook.server)
    assert await notebook.page.evaluate("location.pathname") == f"/workbench/{notebook.identifier}/"
    await expect(notebook.page.locator("[data-notebook] [data-problem]")).to_be_hidden()


async def test_scripts_without_end_hold_up_frames_only_and_can_be_stopped_in_all_tabs(notebook):
    await notebook.run_to_end(f"{WIDGETS}s = w.IntSlider(value=3, max=9)\ns")
    await expect(frame(notebook, 0).locator(".widget-readout")).to_have_text("3")
    await notebook.run_to_end(f"from IPython.display import HTML\nHTML({LOOP!r})")

    assert await value_of(notebook, "6 * 7") == "42"
    other = await notebook.in_another_browser(await notebook.page.context.new_page())
    await notebook.outputs(1).get_by_role("button", name="Stop them").click(timeout=30_000)

    for tab in (notebook, other):
        await expect(tab.outputs(1)).to_contain_text("were stopped")
        await expect(tab.outputs(1).locator("iframe")).to_have_count(0)
        await expect(frame(tab, 0).locator(".widget-readout")).to_have_text("3")
    await move(frame(notebook, 0))
    for tab in (notebook, other):
        await expect(frame(tab, 0).locator(".widget-readout")).to_have_text("4")
    assert await value_of(notebook, "s.value") == "4"


async def test_a_frame_that_floods_or_grows_without_end_is_held(notebook):
    await notebook.run_to_end(
        f"{SHOW}HTML('<script>setInterval(() => {{ for (let i = 0; i < 5000; i++)"
        " parent.postMessage({type: `size`, height: i}, `*`) })</script>')"
    )
    await expect(notebook.outputs(0)).to_contain_text("more messages than the page can read")

    await notebook.run_to_end(
        f"{SHOW}HTML('<script>setInterval(() => {{ const more = document.createElement(`p`);"
        " more.style.height = `3000px`; element.append(more) }, 5)</script>'.replace('element',"
        " 'document.getElementById(`outputs`)'))"
    )
    await expect(notebook.outputs(1).locator("iframe")).to_have_css("height", "10000px")
    assert await value_of(notebook, "6 * 7") == "42"
