"""The files of a session: in and out, as code writes them, looked at, renamed and deleted."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import CDPSession, Locator, Page, expect

from tests.browser.notebook import Notebook
from tests.running import RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

HOSTILE_NAMES = [
    "<img src=x onerror=document.title='broken'>.txt",
    "\"'><script>document.title='broken'<script>.csv",
    "два слова ☃ 日本語.txt",
    "%2e%2e%2f?a=b&c#d.txt",
    "line\nbreak.txt",
    "javascript:alert(1)",
    "-rf *",
    "x" * 250 + ".txt",
]
ATTACK = "top.broken = window.broken = true; document.title = 'broken'"
SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="{ATTACK}">
<script>{ATTACK}</script>
<foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml"><script>{ATTACK}</script></body></foreignObject>
<rect width="40" height="30" fill="teal"/></svg>"""


class FilesPanel:
    """The panel beside a notebook."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.element = self.page.locator("#panel-files")
        self.rows = self.element.get_by_role("treeitem")
        self.uploads = self.element.locator(".upload")
        self.preview = self.page.locator("dialog.file-preview")

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.locator(f"[data-name]:text-is({quoted(name)})"))

    def upload(self, name: str) -> Locator:
        return self.uploads.filter(has=self.page.locator(f"[data-name]:text-is({quoted(name)})"))

    async def names(self) -> list[str]:
        return await self.element.locator("[role=treeitem] [data-name]").all_text_contents()

    async def choose(self, *files: Path | dict[str, object]) -> None:
        """Upload with the button's field."""
        await self.element.locator("[data-files-field]").set_input_files(list(files))

    async def menu(self, name: str, item: str) -> None:
        """Choose from the menu of a file."""
        await self.row(name).click(button="right")
        await self.page.get_by_role("menuitem", name=item, exact=True).click()

    async def open(self, name: str) -> Locator:
        await self.row(name).click()
        await expect(self.preview).to_be_visible()
        return self.preview

    # Through another door: the panel sees by itself what became of it

    def write(self, path: str, content: bytes | str) -> None:
        self._answer("PUT", "files/content", path=path, overwrite="1", content=content)

    def move(self, path: str, target: str) -> None:
        self._answer("PATCH", "files", path=path, content=json.dumps({"path": target}))

    def delete(self, path: str) -> None:
        self._answer("DELETE", "files", path=path)

    def read(self, path: str) -> bytes:
        return self._answer("GET", "files/content", path=path).content

    def _answer(
        self, method: str, route: str, content: bytes | str = b"", **query: str
    ) -> httpx.Response:
        url = f"{self.notebook.server}/api/v1/sessions/{self.notebook.id}/{route}"
        is_json = {"Content-Type": "application/json"} if method == "PATCH" else {}
        answer = http.request(method, url, params=query, content=content, headers=is_json)
        answer.raise_for_status()
        return answer


@pytest.fixture
def files(notebook: Notebook) -> FilesPanel:
    return FilesPanel(notebook)


def quoted(text: str) -> str:
    """The text as CSS has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ")
    return f'"{escaped}"'


def file(name: str, content: bytes) -> dict[str, object]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


async def drop(page: Page, target: Locator, *paths: Path) -> None:
    """Drop files of this machine, as a file manager does."""
    box = await target.bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    client = await page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        await client.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


# In


async def test_chosen_files_are_there_for_code(files):
    await files.choose(file("a.txt", b"alpha"), file("b.txt", b"beta"))

    await expect(files.row("a.txt")).to_be_visible()
    await expect(files.row("b.txt")).to_contain_text("4 bytes")
    await files.notebook.run_to_end("open('a.txt').read() + open('/mnt/data/b.txt').read()")
    await expect(files.notebook.outputs(0)).to_contain_text("'alphabeta'")
    await expect(files.uploads).to_have_count(0)


async def test_the_button_asks_for_files(files):
    async with files.page.expect_file_chooser() as chooser:
        await files.element.get_by_role("button", name="Upload").click()
    await (await chooser.value).set_files([file("chosen.txt", b"x")])

    await expect(files.row("chosen.txt")).to_be_visible()


async def test_a_chosen_folder_comes_with_all_that_is_in_it(files, tmp_path):
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "project" / "deep" / "inner.txt").write_text("inner")
    (tmp_path / "project" / "outer.txt").write_text("outer")

    await files.element.locator("[data-folder-field]").set_input_files(tmp_path / "project")
    await files.row("project").click()
    await files.row("deep").click()

    await expect(files.row("inner.txt")).to_be_visible()
    assert files.read("project/outer.txt") == b"outer"
    assert files.read("project/deep/inner.txt") == b"inner"


async def test_what_is_dropped_is_uploaded_folders_too(files, tmp_path):
    (tmp_path / "tree" / "empty").mkdir(parents=True)
    (tmp_path / "tree" / "leaf.txt").write_text("leaf")
    (tmp_path / "single.txt").write_text("single")

    await drop(
        files.page,
        files.page.locator("[data-notebook]"),
        tmp_path / "tree",
        tmp_path / "single.txt",
    )

    await expect(files.row("single.txt")).to_be_visible()
    await files.row("tree").click()
    await expect(files.row("empty")).to_be_visible()
    await expect(files.row("leaf.txt")).to_be_visible()
    assert files.read("tree/leaf.txt") == b"leaf"


async def test_a_drop_on_a_folder_goes_into_it(files, tmp_path):
    await files.notebook.run_to_end("import os; os.mkdir('target')")
    await expect(files.row("target")).to_be_visible()
    (tmp_path / "into.txt").write_text("x")

    await drop(files.page, files.row("target"), tmp_path / "into.txt")
    await files.row("target").click()

    await expect(files.row("into.txt")).to_have_attribute("aria-level", "2")
    await expect(files.page.locator(".drop-curtain")).to_be_hidden()


async def test_an_upload_shows_how_far_it_is_and_can_be_cancelled(files):
    await limit_uploads(await network(files.page), bytes_per_second=400_000)
    await files.choose(file("slow.bin", bytes(20_000_000)))

    upload = files.upload("slow.bin")
    await expect(upload.locator("[data-fact]")).to_have_text(re.compile(r"[KM]B of 20 MB · .*B/s"))
    bar = upload.get_by_role("progressbar")
    assert 0 < await bar.evaluate("(bar) => bar.value") < 1
    await upload.get_by_role("button", name="Cancel").click()

    await expect(upload).to_contain_text("Cancelled")
    await expect(files.element.locator("[data-summary]")).to_have_text("1 file was not uploaded")
    await files.element.get_by_role("button", name="Look again").click()
    await expect(files.element.locator("[data-empty]")).to_be_visible()


async def test_a_cancelled_upload_is_tried_again(files):
    client = await network(files.page)
    await limit_uploads(client, bytes_per_second=100_000)
    await files.choose(file("again.bin", bytes(3_000_000)))
    await files.upload("again.bin").get_by_role("button", name="Cancel").click()
    await limit_uploads(client, bytes_per_second=-1)

    await files.upload("again.bin").get_by_role("button", name="Try again").click()

    await expect(files.row("again.bin")).to_contain_text("3.0 MB")


async def test_a_taken_name_is_replaced_only_if_the_person_says_so(files, problems):
    problems.expect("status of 409")
    files.write("taken.txt", "old")
    await files.choose(file("taken.txt", b"new"))
    upload = files.upload("taken.txt")
    await expect(upload).to_contain_text("taken.txt")
    await expect(upload.get_by_role("button", name="Replace")).to_be_visible()
    assert files.read("taken.txt") == b"old"

    await upload.get_by_role("button", name="Replace").click()

    await expect(files.uploads.and_(files.page.locator("[data-state=done]"))).to_have_count(1)
    assert files.read("taken.txt") == b"new"


async def test_several_taken_names_are_replaced_at_once(files, problems):
    problems.expect("status of 409")
    for name in ("a", "b"):
        files.write(name, "old")
    await files.choose(file("a", b"new"), file("b", b"new"))

    await files.element.get_by_role("button", name="Replace all").click()

    await expect(files.uploads).to_have_count(0)
    assert (files.read("a"), files.read("b")) == (b"new", b"new")


@pytest_asyncio.fixture(loop_scope="module")
async def narrow_files(page: Page, tmp_path: Path):
    """The panel of a server that takes files of up to 1,000 bytes."""
    with RunningServer(tmp_path, WORKBENCH_MAX_UPLOAD_BYTES="1000") as server:
        answer = http.post(f"{server.url}/api/v1/sessions", json={"identifier": "narrow"})
        notebook = Notebook(page, server.url, answer.json()["id"], "narrow")
        yield FilesPanel(notebook)
        await page.goto("about:blank")


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(narrow_files):
    await narrow_files.notebook.open()
    await expect(narrow_files.element.locator("[data-empty]")).to_be_visible()

    await narrow_files.choose(file("large.bin", bytes(1001)), file("small.bin", bytes(1000)))

    await expect(narrow_files.row("small.bin")).to_be_visible()
    upload = narrow_files.upload("large.bin")
    await expect(upload).to_contain_text("larger than an upload may be: 1.0 KB")


async def test_the_servers_refusal_of_a_large_file_is_told(narrow_files, problems):
    problems.expect("status of 413")

    async def without_limit(route) -> None:
        answer = await route.fetch()
        await route.fulfill(json={**await answer.json(), "max_upload_bytes": 10**12})

    await narrow_files.page.route(re.compile(r"/files\?path="), without_limit)
    await narrow_files.notebook.open()
    await expect(narrow_files.element.locator("[data-empty]")).to_be_visible()

    await narrow_files.choose(file("large.bin", bytes(3_000_000)))

    fact = narrow_files.upload("large.bin").locator("[data-fact]")
    await expect(fact).to_contain_text(re.compile("large|1,?000"))
    await expect(narrow_files.row("large.bin")).to_have_count(0)


# As code writes them


async def test_files_that_code_writes_appear_while_it_runs(files):
    code = "open('early.txt', 'w').write('x')\nwhile True: __import__('time').sleep(0.05)"
    cell = await files.notebook.run(code)

    await expect(files.row("early.txt")).to_be_visible()
    await expect(cell).to_have_attribute("data-state", "running")
    await files.notebook.command("i", "i")
    await expect(cell).to_have_attribute("data-state", "interrupted")


async def test_what_code_changes_and_deletes_is_seen_in_open_folders(files, problems):
    problems.expect("status of 404")
    await files.notebook.run_to_end("import os; os.mkdir('d'); open('d/f', 'w').write('1')")
    await files.row("d").click()
    await expect(files.row("f")).to_contain_text("1 byte")

    await files.notebook.run_to_end("open('d/f', 'w').write('1' * 2500)")
    await expect(files.row("f")).to_contain_text("2.5 KB")
    await files.notebook.run_to_end("import shutil; shutil.rmtree('d')")

    await expect(files.element.locator("[data-empty]")).to_be_visible()


async def test_what_others_do_is_seen_without_asking(files):
    files.write("d/a.txt", "1")
    await files.row("d").click()
    await expect(files.row("a.txt")).to_contain_text("1 byte")
    await expect(files.row("a.txt")).to_have_attribute("aria-level", "2")

    files.write("d/a.txt", "1" * 2500)
    await expect(files.row("a.txt")).to_contain_text("2.5 KB")
    files.move("d/a.txt", "b.txt")
    await expect(files.row("b.txt")).to_have_attribute("aria-level", "1")
    await expect(files.row("a.txt")).to_have_count(0)
    files.delete("b.txt")
    await expect(files.row("b.txt")).to_have_count(0)


async def test_what_was_refused_is_read_also_when_files_change(files, problems):
    problems.expect("status of 404")
    files.write("gone", "")
    await files.row("gone").focus()
    await files.page.keyboard.press("Delete")
    files.delete("gone")
    await files.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    refusal = files.element.locator("[data-problem]")
    await expect(refusal).to_contain_text("no file or directory")

    files.write("new", "")
    await expect(files.row("new")).to_be_visible()
    await expect(refusal).to_contain_text("no file or directory")
    await files.element.get_by_role("button", name="Look again").click()

    await expect(refusal).to_be_hidden()


async def test_a_folder_of_thousands_shows_its_beginning(files):
    await files.notebook.run_to_end("for i in range(700): open(f'{i:04}', 'w').close()")

    await expect(files.rows).to_have_count(301)
    await files.element.get_by_text("Show more (400 left)").click()

    await expect(files.rows).to_have_count(601)


# Renamed, deleted, out


async def test_a_file_is_renamed_in_its_place(files):
    files.write("before.txt", "same")
    await files.row("before.txt").click(button="right")
    await files.page.keyboard.press("Escape")
    await expect(files.row("before.txt")).to_be_focused()

    await files.page.keyboard.press("F2")
    field = files.row("before.txt").get_by_label("New name")
    await expect(field).to_be_focused()
    await files.page.keyboard.type("after")
    await files.page.keyboard.press("Enter")

    await expect(files.row("after.txt")).to_be_focused()
    assert await files.names() == ["after.txt"]
    assert files.read("after.txt") == b"same"


async def test_a_taken_name_is_refused_and_escape_gives_up(files, problems):
    problems.expect("status of 409")
    files.write("mine", "mine")
    files.write("theirs", "theirs")
    await files.menu("mine", "Rename F2")
    await files.page.keyboard.press("Control+A")
    await files.page.keyboard.type("theirs")
    await files.page.keyboard.press("Enter")

    row = files.row("mine")
    await expect(row.locator("[data-row-problem]")).to_contain_text("exists already")
    await files.page.keyboard.press("Escape")

    await expect(row.get_by_label("New name")).to_be_hidden()
    assert files.read("theirs") == b"theirs"


async def test_a_file_is_deleted_after_a_question(files):
    for name in ("a", "b", "c"):
        files.write(name, name)
    await expect(files.rows).to_have_count(3)
    await files.row("b").focus()
    await files.page.keyboard.press("Delete")
    dialog = files.page.get_by_role("dialog", name="Delete b?")
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(files.row("b")).to_be_focused()

    await files.page.keyboard.press("Delete")
    await dialog.get_by_role("button", name="Delete").click()

    await expect(files.row("b")).to_have_count(0)
    await expect(files.row("c")).to_be_focused()
    assert await files.names() == ["a", "c"]


async def test_a_question_is_not_answered_by_the_one_before(files):
    files.write("kept", "")
    await files.row("kept").focus()
    # Faster than a person: the first question is taken back and the second asked in one go.
    await files.row("kept").evaluate(
        """async (row) => {
            const press = () => row.dispatchEvent(
                new KeyboardEvent("keydown", { key: "Delete", bubbles: true, cancelable: true }));
            const dialog = document.querySelector("#confirm");
            press();
            while (!dialog.open) await Promise.resolve();
            dialog.close("no");
            press();
        }"""
    )
    dialog = files.page.get_by_role("dialog", name="Delete kept?")
    await dialog.get_by_role("button", name="Delete").click()

    await expect(files.row("kept")).to_have_count(0)


async def test_a_new_folder_asks_for_its_name(files):
    await files.element.get_by_role("button", name="New folder").click()
    await expect(files.row("New folder").get_by_label("New name")).to_be_focused()
    await files.page.keyboard.type("results")
    await files.page.keyboard.press("Enter")

    await expect(files.row("results")).to_be_focused()


async def test_a_folder_goes_out_as_a_zip(files):
    files.write("out/one.txt", "1")
    files.write("out/deep/two.txt", "2")
    files.write("beside.txt", "3")
    await expect(files.row("out")).to_be_visible()

    async with files.page.expect_download() as download:
        await files.menu("out", "Download as zip")
    saved = await download.value

    assert saved.suggested_filename == "out.zip"
    archive = zipfile.ZipFile(io.BytesIO(Path(await saved.path()).read_bytes()))
    contents = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert {name.split("/")[-1]: text for name, text in contents.items()} == {
        "one.txt": b"1",
        "two.txt": b"2",
    }


async def test_a_file_is_downloaded_as_it_is(files):
    files.write("raw.bin", bytes(range(256)))

    async with files.page.expect_download() as download:
        await files.menu("raw.bin", "Download")
    saved = await download.value

    assert saved.suggested_filename == "raw.bin"
    assert Path(await saved.path()).read_bytes() == bytes(range(256))


# Looked at


async def test_text_is_shown_with_line_numbers(files):
    files.write("notes.txt", "first\n<b>second</b>\n")

    preview = await files.open("notes.txt")

    await expect(preview.locator("[data-text]")).to_have_text("first\n<b>second</b>\n")
    await expect(preview.locator("[data-numbers]")).to_have_text("1\n2", use_inner_text=True)
    await files.page.keyboard.press("Escape")
    await expect(preview).to_be_hidden()
    await expect(files.row("notes.txt")).to_be_focused()


async def test_a_picture_is_shown_with_its_size(files):
    await files.notebook.run_to_end(
        "from PIL import Image; Image.new('RGB', (64, 32), 'teal').save('p.png')"
    )

    preview = await files.open("p.png")

    await expect(preview.locator("img")).to_have_js_property("naturalWidth", 64)
    await expect(preview.locator("[data-note]")).to_have_text(re.compile("^64 . 32 pixels$"))


async def test_a_broken_picture_says_so(files):
    files.write("broken.png", "not a picture")

    preview = await files.open("broken.png")

    await expect(preview).to_contain_text("This picture is broken")


async def test_a_table_is_sorted_by_its_columns(files):
    files.write("t.csv", 'name,size\nb,10\na,9\n"c, d",\n')
    preview = await files.open("t.csv")
    column = preview.locator("tbody td:last-child")
    await expect(column).to_have_text(["10", "9", ""])

    size = preview.get_by_role("columnheader", name="size")
    await size.get_by_role("button").click()
    await expect(column).to_have_text(["9", "10", ""])
    await expect(size).to_have_attribute("aria-sort", "ascending")
    await size.get_by_role("button").click()
    await expect(column).to_have_text(["10", "9", ""])
    await preview.get_by_role("columnheader", name="name").get_by_role("button").click()

    await expect(preview.locator("tbody td:nth-child(2)")).to_have_text(["a", "b", "c, d"])


async def test_what_cannot_be_shown_can_still_be_had(files):
    files.write("data.bin", bytes(range(256)) * 4)
    preview = await files.open("data.bin")
    await expect(preview.locator(".preview-none")).not_to_be_empty()

    async with files.page.expect_download() as download:
        await preview.get_by_role("button", name="Download").click()

    assert Path(await (await download.value).path()).read_bytes() == bytes(range(256)) * 4


# Hostile


async def test_names_are_text_whatever_they_say(files):
    title = await files.page.title()
    await files.notebook.run_to_end(
        f"names = {HOSTILE_NAMES!r}\nfor name in names: open(name, 'w').write('harmless')"
    )
    await expect(files.rows).to_have_count(len(HOSTILE_NAMES))
    assert sorted(await files.names()) == sorted(HOSTILE_NAMES)

    for name in HOSTILE_NAMES:
        preview = await files.open(name)
        await expect(preview).to_contain_text("harmless")
        await expect(preview.get_by_role("heading")).to_have_text(name)
        await files.page.keyboard.press("Escape")
        await expect(preview).to_be_hidden()

    assert await files.page.title() == title
    assert await files.page.locator("#panel-files img, #panel-files script").count() == 0
    width = await files.element.evaluate("(panel) => [panel.scrollWidth, panel.clientWidth]")
    assert width[0] <= width[1]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_every_name_can_be_deleted_and_uploaded(files, name):
    if "/" not in name and "\n" not in name:
        await files.choose(file(name, b"up"))
    else:
        files.write(name, b"up")
    await expect(files.row(name)).to_be_visible()
    assert files.read(name) == b"up"

    await files.row(name).focus()
    await files.page.keyboard.press("Delete")
    await files.page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    await expect(files.element.locator("[data-empty]")).to_be_visible()


async def test_an_svg_is_a_picture_and_runs_nothing(files):
    files.write("drawing.svg", SVG)

    preview = await files.open("drawing.svg")

    await expect(preview.locator("img")).to_have_js_property("naturalWidth", 40)
    assert await files.page.evaluate("window.broken") is None
    assert "broken" not in await files.page.title()


async def test_an_svg_opened_by_its_address_runs_nothing(files, problems):
    problems.expect("")  # the browser says what it refuses to run
    files.write("drawing.svg", SVG)
    await files.open("drawing.svg")
    address = await files.preview.locator("img").get_attribute("src")

    await files.page.goto(f"{files.notebook.server}{address}")

    assert await files.page.evaluate("window.broken") is None
    assert "broken" not in await files.page.title()


# The keyboard


async def test_the_tree_is_walked_with_the_keyboard(files):
    for path in ("alpha/deep/x", "alpha/y", "beta", "gamma"):
        files.write(path, "content")
    await expect(files.rows).to_have_count(3)
    await files.row("alpha").focus()
    press = files.page.keyboard.press

    await expect(files.row("alpha")).to_have_attribute("aria-expanded", "false")
    await press("ArrowRight")
    await expect(files.row("deep")).to_be_visible()
    assert await files.names() == ["alpha", "deep", "y", "beta", "gamma"]
    await press("ArrowRight")
    await expect(files.row("deep")).to_be_focused()
    await press("ArrowDown")
    await expect(files.row("y")).to_be_focused()
    await press("ArrowLeft")
    await expect(files.row("alpha")).to_be_focused()
    await press("ArrowLeft")
    await expect(files.row("deep")).to_have_count(0)
    await press("End")
    await expect(files.row("gamma")).to_be_focused()
    await press("b")
    await expect(files.row("beta")).to_be_focused()
    await press("Enter")
    await expect(files.preview).to_contain_text("content")
    await press("Escape")
    await expect(files.row("beta")).to_be_focused()
    await expect(files.notebook.cells).to_have_count(0)


async def test_tab_enters_the_tree_once(files):
    for name in ("a", "b", "c"):
        files.write(name, name)
    await expect(files.rows).to_have_count(3)
    await files.row("b").focus()

    stops = await files.element.locator("[role=tree] [tabindex='0']").all()

    assert len(stops) == 1
    await files.page.keyboard.press("Tab")
    await expect(files.element.get_by_role("tree").locator(":focus")).to_have_count(0)


async def network(page: Page) -> CDPSession:
    return await page.context.new_cdp_session(page)


async def limit_uploads(client: CDPSession, bytes_per_second: int) -> None:
    """Let the browser send no faster; -1: as fast as it can."""
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    await client.send(
        "Network.emulateNetworkConditions", {**limits, "uploadThroughput": bytes_per_second}
    )
