"""Help while typing: from the live kernel, from the editor, and from the bar that finds."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

STREAM = (
    "import time\n"
    "while True:\n"
    "    for _ in range(100): print('streamed', flush=True)\n"
    "    time.sleep(0.05)"
)
# A kernel's first completion reads much about Python.
FIRST_MS = 30_000
# From the press of a key to the frame that shows it, in ms.
TYPE_AND_MEASURE = """async (count) => {
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    document.execCommand("insertText", false, "x");
    await new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
    times.push(performance.now() - start);
    await new Promise((rest) => setTimeout(rest, 40));
  }
  return times.sort((a, b) => a - b);
}"""


def options(page: Page) -> Locator:
    return page.locator(".cm-tooltip.completion li")


def box(page: Page) -> Locator:
    return page.locator(".cm-tooltip.inspection")


async def type_in(notebook, text: str) -> Locator:
    """A new cell with typed text, and the caret behind it."""
    cell = await notebook.add("")
    await notebook.page.keyboard.type(text)
    return cell


async def accept(page: Page) -> None:
    """Press Tab until the list takes it: not in the first moment, when nobody has read it yet."""
    while await options(page).count():
        await page.keyboard.press("Tab")


# Completion


async def test_tab_completes_names_of_the_live_kernel(notebook):
    await notebook.run_to_end("telescope_diameter = 3")
    cell = await type_in(notebook, "telesc")
    await notebook.page.keyboard.press("Tab")
    await expect(options(notebook.page)).to_contain_text(["telescope_diameter"], timeout=FIRST_MS)

    await accept(notebook.page)

    await expect(cell.locator(".cm-line")).to_have_text("telescope_diameter")
    await expect(cell.locator(".cm-content")).to_be_focused()


async def test_a_dot_offers_attributes_and_typing_narrows_them(notebook):
    await notebook.run_to_end("class Thing:\n    alpha = 1\n    beta = 2\nthing = Thing()")
    cell = await type_in(notebook, "thing.")
    await expect(options(notebook.page)).to_contain_text(["alpha", "beta"], timeout=FIRST_MS)

    await notebook.page.keyboard.type("be")
    await expect(options(notebook.page)).to_have_count(1)
    await accept(notebook.page)

    await expect(cell.locator(".cm-line")).to_have_text("thing.beta")


async def test_completion_answers_while_code_runs(notebook):
    running = await notebook.run("busy_name = 1\nwhile True: __import__('time').sleep(0.05)")
    await expect(running).to_have_attribute("data-state", "running")

    await type_in(notebook, "busy_na")
    await notebook.page.keyboard.press("Tab")

    await expect(options(notebook.page)).to_contain_text(["busy_name"], timeout=FIRST_MS)
    await expect(running).to_have_attribute("data-state", "running")


async def test_escape_closes_the_list_and_stays_in_the_cell(notebook):
    await type_in(notebook, "str.")
    await expect(options(notebook.page).first).to_be_visible(timeout=FIRST_MS)

    await notebook.page.keyboard.press("Escape")

    await expect(options(notebook.page)).to_have_count(0)
    await expect(notebook.cell(0).locator(".cm-content")).to_be_focused()
    await notebook.page.keyboard.press("Escape")
    await expect(notebook.cell(0)).to_be_focused()


async def test_enter_with_the_list_open_does_not_run_the_cell(notebook):
    await type_in(notebook, "str.")
    await expect(options(notebook.page).first).to_be_visible(timeout=FIRST_MS)

    await notebook.page.keyboard.press("Control+Enter")

    await expect(notebook.cell(0)).to_have_attribute(
        "data-state", re.compile("failed|queued|running")
    )


async def test_tab_at_the_beginning_of_a_line_indents(notebook):
    cell = await type_in(notebook, "")
    await notebook.page.keyboard.press("Tab")
    await notebook.page.keyboard.type("x")

    await expect(cell.locator(".cm-line")).to_have_text("    x", use_inner_text=False)


async def test_nothing_to_complete_is_said(notebook):
    await type_in(notebook, "no_such_name_anywhere_")

    await notebook.page.keyboard.press("Tab")

    await expect(box(notebook.page)).to_have_text("Nothing to complete here.", timeout=FIRST_MS)


async def test_a_slow_answer_is_announced_and_then_shown(notebook):
    await notebook.run_to_end(
        "import time\nclass Slow:\n"
        "    def __dir__(self): time.sleep(1.5); return ['harvest', 'harrow']\nslow = Slow()"
    )
    await type_in(notebook, "slow.har")

    await notebook.page.keyboard.press("Tab")

    await expect(box(notebook.page)).to_have_text("Asking the kernel…")
    await expect(notebook.page.locator(".completion")).to_contain_text("harvest", timeout=FIRST_MS)
    await expect(box(notebook.page)).to_have_count(0)


# Inspection


async def test_shift_tab_shows_what_a_name_is(notebook):
    await notebook.run_to_end(
        "def harvest(field, *, tons=3):\n    '''Bring it in before it rains.'''"
    )
    await type_in(notebook, "harvest")

    await notebook.page.keyboard.press("Shift+Tab")
    await expect(box(notebook.page)).to_contain_text("harvest(field, *, tons=3)")
    await expect(box(notebook.page)).to_contain_text("Bring it in before it rains.")
    await notebook.page.keyboard.press("Shift+Tab")
    await expect(notebook.page.locator(".inspection.pinned")).to_be_visible()

    await notebook.page.keyboard.press("Escape")
    await expect(box(notebook.page)).to_have_count(0)
    await expect(notebook.cell(1).locator(".cm-content")).to_be_focused()


async def test_the_second_box_is_larger_and_says_more(notebook):
    await notebook.run_to_end("def harvest():\n    '''Rain.'''\n    return 'the source itself'")
    await type_in(notebook, "harvest")
    await notebook.page.keyboard.press("Shift+Tab")
    await expect(box(notebook.page)).to_contain_text("Rain.")
    small = await box(notebook.page).bounding_box()

    await notebook.page.keyboard.press("Shift+Tab")
    await expect(box(notebook.page)).to_contain_text("the source itself")
    large = await box(notebook.page).bounding_box()

    assert large["width"] * large["height"] > small["width"] * small["height"]
    await notebook.page.keyboard.type("(")
    await expect(notebook.page.locator(".inspection.pinned")).to_be_visible()


async def test_the_small_box_goes_with_the_next_key(notebook):
    await type_in(notebook, "print(")
    await notebook.page.keyboard.press("Shift+Tab")
    await expect(box(notebook.page)).to_contain_text("sep")

    await notebook.page.keyboard.type("1")

    await expect(box(notebook.page)).to_have_count(0)


async def test_inspection_answers_while_code_runs(notebook):
    running = await notebook.run("while True: __import__('time').sleep(0.05)")
    await expect(running).to_have_attribute("data-state", "running")

    await type_in(notebook, "len")
    await notebook.page.keyboard.press("Shift+Tab")

    await expect(box(notebook.page)).to_contain_text("Return the number of items in a container")
    await expect(running).to_have_attribute("data-state", "running")


# The editor


async def test_brackets_and_quotes_close_themselves(notebook):
    await type_in(notebook, "print(['a")

    assert await notebook.source(0) == "print(['a'])"
    await notebook.page.keyboard.type("'])")
    assert await notebook.source(0) == "print(['a'])"
    await notebook.page.keyboard.type("(")
    await notebook.page.keyboard.press("Backspace")
    assert await notebook.source(0) == "print(['a'])"


async def test_typing_replaces_what_is_selected_and_can_be_undone(notebook):
    await notebook.add("print('old')")
    await notebook.page.keyboard.press("Control+A")
    await notebook.page.keyboard.type("new")
    assert await notebook.source(0) == "new"
    await notebook.page.keyboard.press("Control+Z")
    assert await notebook.source(0) == "print('old')"

    await notebook.page.keyboard.press("Control+A")
    await notebook.page.keyboard.type("(")

    assert await notebook.source(0) == "(print('old'))"


async def test_a_colon_indents_the_next_line(notebook):
    await type_in(notebook, "for i in range(3):\n")
    await notebook.page.keyboard.type("if i:\n")
    await notebook.page.keyboard.type("pass")

    assert await notebook.source(0) == "for i in range(3):\n    if i:\n        pass"


async def test_the_comment_key_comments_and_back(notebook):
    await notebook.add("a = 1\nb = 2")
    await notebook.page.keyboard.press("Control+A")
    await notebook.page.keyboard.press("Control+/")
    assert await notebook.source(0) == "# a = 1\n# b = 2"

    await notebook.page.keyboard.press("Control+/")

    assert await notebook.source(0) == "a = 1\nb = 2"


async def test_arrow_keys_walk_from_cell_to_cell(notebook):
    await notebook.add("one\ntwo")
    await notebook.add("three")
    press = notebook.page.keyboard.press
    text = [notebook.cell(place).locator(".cm-content") for place in range(2)]

    await press("ArrowUp")
    await expect(text[0]).to_be_focused()
    await press("ArrowUp")
    await expect(text[0]).to_be_focused()
    await press("ArrowUp")
    await expect(text[0]).to_be_focused()
    await press("ArrowDown")
    await press("ArrowDown")
    await expect(text[1]).to_be_focused()
    await notebook.page.keyboard.type("0")

    assert await notebook.source(1) == "0three"


async def test_a_large_text_is_pasted_whole(notebook):
    lines = [f"value_{number} = {number}  # äöü 🚜" for number in range(5_000)]
    await notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await notebook.page.evaluate("(text) => navigator.clipboard.writeText(text)", "\n".join(lines))
    await notebook.add("")

    await notebook.page.keyboard.press("Control+V")
    await notebook.page.keyboard.type("\nvalue_4999")
    await notebook.page.keyboard.press("Control+Enter")

    await expect(notebook.outputs(0)).to_contain_text("4999", timeout=30_000)
    await notebook.is_saved()


async def test_what_is_typed_shows_while_output_streams(notebook):
    idle = await measured(notebook, await notebook.add("idle = "))
    running = await notebook.run(STREAM)
    await expect(running.locator("[data-outputs]")).to_contain_text("streamed")

    cell = await notebook.add("busy = ")
    busy = await measured(notebook, cell)

    await expect(running).to_have_attribute("data-state", "running")
    assert await notebook.source(2) == "busy = " + "x" * 30
    print("from key to frame, in ms:", {"idle": idle, "streaming": busy})  # pytest -s shows it
    await notebook.command("i", "i")
    await expect(running).to_have_attribute("data-state", "interrupted")


async def measured(notebook, cell: Locator) -> dict[str, float]:
    """The median and the worst of 30 keys."""
    await expect(cell.locator(".cm-content")).to_be_focused()
    times = await notebook.page.evaluate(TYPE_AND_MEASURE, 30)
    return {"median": times[15], "worst": times[-1]}


# From the code that is only shown to the editor


@pytest.mark.parametrize("has_numbers", [False, True])
async def test_the_caret_goes_where_static_code_is_pressed(notebook, has_numbers):
    await notebook.add("first = 1\nsecond = 'zwei äöü'\n\nfourth = [4]")
    await notebook.add("below = 1\n" + "long = '" + "word " * 60 + "'")
    await notebook.add("last")
    await notebook.is_saved()
    await notebook.open()
    static = notebook.cell(1).locator(".static-code")
    await expect(static).to_be_visible()
    if has_numbers:
        await notebook.command("l")
    before = await layout(notebook)
    x, y = await place_of(static, line=1, column=158)

    await notebook.page.mouse.click(x + 1, y)

    await expect(notebook.cell(1).locator(".cm-content")).to_be_focused()
    assert await layout(notebook) == before
    await notebook.page.keyboard.type("|")
    source = await notebook.source(1)
    assert source.split("\n")[1].index("|") == 158


async def layout(notebook) -> list[list[float]]:
    """Where every cell, and every line of code, stands."""
    places: list[list[float]] = await notebook.page.evaluate("""() =>
      [...document.querySelectorAll(".cell, .cell .cm-line")].map((node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        const text = node.matches(".cm-line") && node.textContent ? range : node;
        const {left, top, height} = text.getBoundingClientRect();
        return [left, top + scrollY, height].map((each) => Math.round(each * 10) / 10);
      })""")
    return places


async def place_of(code: Locator, line: int, column: int) -> tuple[float, float]:
    """The middle of the left edge of a character."""
    x, y = await code.evaluate(
        """(code, {line, column}) => {
          const texts = document.createTreeWalker(code.children[line], NodeFilter.SHOW_TEXT);
          for (let left = column; texts.nextNode();) {
            const {length} = texts.currentNode;
            if (left >= length) { left -= length; continue; }
            const range = document.createRange();
            range.setStart(texts.currentNode, left);
            range.setEnd(texts.currentNode, left + 1);
            const {x, y, height} = range.getBoundingClientRect();
            return [x, y + height / 2];
          }
        }""",
        {"line": line, "column": column},
    )
    return x, y


# Finding


@pytest_asyncio.fixture(loop_scope="module")
async def found(notebook):
    """A notebook with the word apple four times, and the bar that looks for it."""
    await notebook.add("apple = 1\napple")
    await notebook.add("an Apple a day", "markdown")
    await notebook.add("pear = apple")
    await notebook.command("Control+f")
    await notebook.page.keyboard.type("apple")
    return notebook.page.locator(".find-bar")


async def test_finding_counts_over_cells_and_goes_round(notebook, found):
    count = found.locator("[data-find-count]")
    await expect(count).to_have_text(re.compile("of 4$"))
    await notebook.page.keyboard.press("Escape")
    await notebook.command("Control+Home", "Control+f")

    await expect(count).to_have_text("1 of 4")
    for expected in ("2 of 4", "3 of 4", "4 of 4", "1 of 4"):
        await notebook.page.keyboard.press("Enter")
        await expect(count).to_have_text(expected)
    await notebook.page.keyboard.press("Shift+Enter")
    await expect(count).to_have_text("4 of 4")

    await expect(notebook.page.locator(".match.current")).to_have_count(1)
    await expect(notebook.cell(2).locator(".match.current")).to_have_text("apple")


async def test_finding_begins_with_what_is_selected_in_the_text(notebook):
    await notebook.add("carrot = turnip")
    await notebook.page.keyboard.press("Control+Shift+ArrowLeft")

    await notebook.page.keyboard.press("Control+f")

    bar = notebook.page.locator(".find-bar")
    await expect(bar.get_by_label("Find", exact=True)).to_have_value("turnip")
    await expect(bar.locator("[data-find-count]")).to_have_text("1 of 1")


async def test_closing_the_bar_goes_on_at_the_match(notebook, found):
    await expect(found.locator("[data-find-count]")).to_have_text(re.compile("of 4$"))
    await notebook.page.keyboard.press("Escape")

    await expect(found).to_be_hidden()
    await expect(notebook.page.locator(".match")).to_have_count(0)
    await expect(notebook.page.locator(".cm-content:focus")).to_have_count(1)


async def test_a_wrong_pattern_is_explained(notebook, found):
    await found.get_by_role("button", name="Regular expression").click()
    field = found.get_by_label("Find", exact=True)
    await field.fill("(apple")

    await expect(found.locator("[data-find-count]")).to_have_text(
        re.compile(r"^This pattern is not valid: .+\.$")
    )
    await expect(field).to_have_attribute("aria-invalid", "true")
    await field.fill("^app..")
    await expect(found.locator("[data-find-count]")).to_have_text(re.compile("of 2$"))


async def test_case_and_whole_words_count_if_asked_for(notebook, found):
    count = found.locator("[data-find-count]")
    await found.get_by_role("button", name="Match case").click()
    await expect(count).to_have_text(re.compile("of 3$"))

    await found.get_by_label("Find", exact=True).fill("a")
    await found.get_by_role("button", name="Whole words").click()

    await expect(count).to_have_text(re.compile("of 1$"))


async def test_one_and_all_are_replaced_and_it_can_be_undone(notebook, found):
    before = ["apple = 1\napple", "an Apple a day", "pear = apple"]
    await notebook.page.keyboard.press("Control+h")
    replacement = found.get_by_label("Replace with")
    await replacement.fill("plum")
    await replacement.press("Enter")
    await expect(found.locator("[data-find-count]")).to_have_text(re.compile("of 3$"))

    await replacement.press("Control+Enter")

    await expect(found.locator("[data-find-count]")).to_have_text("Replaced 3 in 3 cells")
    assert await texts(notebook) == ["plum = 1\nplum", "an plum a day", "pear = plum"]
    await notebook.page.keyboard.press("Escape")
    await notebook.command("z")
    assert sum(text.lower().count("apple") for text in await texts(notebook)) == 3
    await notebook.command("z")
    assert await texts(notebook) == before


async def texts(notebook) -> list[str]:
    """What the cells hold, as the server has it once everything is saved."""
    await notebook.is_saved()
    answer = await notebook.page.request.get(
        f"{notebook.server}/api/v1/sessions/{notebook.id}/notebook.ipynb"
    )
    cells = (await answer.json())["cells"]
    return ["".join(cell["source"]) for cell in cells]
