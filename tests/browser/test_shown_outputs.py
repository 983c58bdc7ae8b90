"""Outputs: shown as what they are, folded as the protocol says, and never able to run here."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def test_a_table_is_a_table_and_sorts(notebook):
    await notebook.run_to_end(
        "import pandas as pd\npd.DataFrame({'city': ['Oslo', 'Lima'], 'people': [9, 10_000]})"
    )

    table = notebook.outputs(0).locator("table")
    await expect(table.locator("tbody tr").first).to_contain_text("Oslo")
    await table.get_by_role("columnheader", name="people").click()
    await table.get_by_role("columnheader", name="people").click()
    await expect(table.locator("tbody tr").first).to_contain_text("Lima")
    await expect(table.locator("th[aria-sort=descending]")).to_contain_text("people")


async def test_a_plot_is_a_picture_with_a_name(notebook):
    await notebook.run_to_end("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3]); plt.show()")

    picture = notebook.outputs(0).locator("img.picture")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.naturalWidth") > 200
    assert await picture.get_attribute("alt")


async def test_markdown_formulas_and_data_are_shown(notebook):
    await notebook.run_to_end(
        "from IPython.display import display, JSON, Latex, Markdown\n"
        "display(Markdown('**bold** and $x^2$'))\n"
        "display(Latex(r'$$\\int_0^1 x\\,dx$$'))\n"
        "display(JSON({'name': 'ada', 'born': [1815, 12]}))"
    )

    outputs = notebook.outputs(0)
    await expect(outputs.locator("strong")).to_have_text("bold")
    await expect(outputs.locator(".katex").nth(1)).to_be_visible()
    await expect(outputs).to_contain_text("ada")


async def test_a_display_is_updated_in_every_cell_that_shows_it(notebook):
    await notebook.run_to_end("shown = display('before', display_id='it')")
    await notebook.run_to_end(
        "from IPython.display import update_display\nupdate_display('after', display_id='it')"
    )

    await expect(notebook.outputs(0)).to_contain_text("'after'")
    await expect(notebook.outputs(0)).not_to_contain_text("'before'")


async def test_clear_output_that_waits_replaces_in_one_step(notebook):
    await notebook.run_to_end(
        "from IPython.display import clear_output\n"
        "for i in range(20):\n    clear_output(wait=True)\n    print('step', i)"
    )

    await expect(notebook.outputs(0).locator("pre")).to_have_text("step 19")


async def test_a_progress_bar_stays_on_its_line(notebook):
    await notebook.run_to_end(
        "from tqdm import tqdm\nfor i in tqdm(range(40), ncols=60): pass\nprint('done')"
    )

    shown = await notebook.outputs(0).locator("pre").all_inner_texts()
    assert sum(text.count("%|") for text in shown) == 1
    assert "40/40" in "".join(shown)


async def test_terminal_colours_are_shown(notebook):
    await notebook.run_to_end(r"print('\x1b[1;31mred\x1b[0m plain')")

    await expect(notebook.outputs(0).locator("span.ansi-bold")).to_have_text("red")


async def test_an_error_says_what_it_is_first_and_folds_what_is_not_yours(notebook):
    await notebook.run_to_end("import json\njson.loads('{')", state="failed")

    error = notebook.outputs(0)
    await expect(error).to_contain_text("JSONDecodeError")
    await expect(error.locator("details")).to_have_count(1)


async def test_long_output_is_shortened_and_can_be_seen_whole(notebook):
    await notebook.run_to_end("for i in range(5000): print('line', i)")
    outputs = notebook.outputs(0)
    await expect(outputs).to_contain_text("line 4999")
    height = (await outputs.bounding_box())["height"]
    assert height < 900

    await outputs.get_by_role("button", name=re.compile("earlier lines")).click()

    await expect(outputs).to_contain_text("line 0")


async def test_a_hundred_thousand_lines_arrive_and_the_page_lives(notebook):
    await notebook.run_to_end("for i in range(100_000): print('line', i)")

    await expect(notebook.outputs(0)).to_contain_text("line 99999")
    assert await notebook.page.evaluate("document.querySelectorAll('*').length") < 20_000
    await notebook.run_to_end("'next'")


HOSTILE = [
    "<script>parent.hacked = top.hacked = 1</script>",
    "<img src=x onerror='top.hacked = hacked = 1'>",
    "<svg onload='hacked = 1'><script>hacked = 1</script></svg>",
    "<a href='javascript:hacked = 1'>press</a>",
    "<iframe srcdoc='<script>top.hacked = 1</script>'></iframe>",
    "<form action='/workbench/'><input name=x></form><base href='//example.com/'>",
    "<style>body { display: none }</style><p>text",
    "<math><mtext><table><mglyph><style><img src onerror='hacked = 1'>",
    "<template><img src onerror='hacked = 1'></template><details open ontoggle='hacked = 1'>",
]


@pytest.mark.parametrize("mime", ["text/html", "text/markdown", "image/svg+xml", "text/latex"])
async def test_no_output_runs_in_our_origin(notebook, problems, mime):
    # What the policy and the frames' walls stop is what they are for.
    problems.expect("Content Security Policy", "sandboxed", "SecurityError", "cross-origin frame")
    bundles = [{mime: payload, "text/plain": "hostile"} for payload in HOSTILE]
    await notebook.run_to_end(
        f"from IPython.display import display\nfor bundle in {bundles!r}:\n"
        "    display(bundle, raw=True)\nprint('all shown')"
    )
    await expect(notebook.outputs(0)).to_contain_text("all shown")
    for link in await notebook.outputs(0).locator("a").all():
        assert not re.match(r"\s*(javascript|data):", await link.get_attribute("href") or "", re.I)

    assert await notebook.page.evaluate("window.hacked") is None
    assert await notebook.outputs(0).locator("script, base, form, iframe[srcdoc]").count() == 0
    await expect(notebook.page.locator("body")).to_be_visible()


async def test_text_is_never_markup(notebook):
    await notebook.run_to_end("print('<img src=x onerror=alert(1)>')\n'<b>bold</b>'")

    outputs = notebook.outputs(0)
    await expect(outputs).to_contain_text("<img src=x onerror=alert(1)>")
    assert await outputs.locator("img, b").count() == 0
