"""A page of another site, in a real browser: it changes nothing here, and reads nothing.

The other site is a server of the test's own at another name and port of this machine, which is
nearer than any site of the internet can be: for cookies, other ports are the same site.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect
from playwright.async_api import Error as PlaywrightError

from tests.running import RunningServer, http, made_key

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

PASSWORD = "correct horse"
SESSION = "session-of-eves"
SECRET = "tell-nobody"
MAKE_ACCOUNT = (
    "from django.contrib.auth import get_user_model as m;"
    f"m().objects.filter(username='eve').update(is_staff=True, is_superuser=True);"
    f"u = m().objects.get(username='eve'); u.set_password('{PASSWORD}'); u.save()"
)
HOSTILE_FILES = {
    "page.html": "<script>document.title = 'ran'; parent.ran = 1</script><h1>ran</h1>",
    "picture.svg": (
        '<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "ran"</script></svg>'
    ),
    "page.xhtml": (
        '<html xmlns="http://www.w3.org/1999/xhtml"><script>document.title="ran"</script></html>'
    ),
    "script.js": "globalThis.ran = 1",
    "style.css": "body { color: red }",
}


class _OtherSite(BaseHTTPRequestHandler):
    """An empty page, which does what the test wants."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The other site's."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), _OtherSite)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    yield site.server_port
    site.shutdown()
    thread.join()
    site.server_close()


class Server:
    """A server, open or closed, what it knows, and how its own API is asked."""

    def __init__(self, running: RunningServer, headers: dict[str, str]) -> None:
        self.url, self.port, self.headers = running.url, running.port, headers
        self.cookie = self._log_in()

    def _log_in(self) -> str:
        """Eve's cookie."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            client.get("/login/")
            fields = {"username": "eve", "password": PASSWORD}
            token = {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
            assert client.post("/login/", data=fields | token).status_code == 302
            return client.cookies["sessionid"]

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = http.request(method, self.url + path, headers=self.headers, timeout=60, **more)
        answer.raise_for_status()
        return answer

    def known(self) -> list[Any]:
        """All sessions, and of the one there is its files and what ran in it."""
        below = f"/api/v1/sessions/{SESSION}"
        events = self.ask("GET", f"{below}/events?limit=1000").json()["events"]
        return [
            self.ask("GET", "/sessions/list").json(),
            self.ask("GET", f"{below}/files?recursive=1").json(),
            self.ask("GET", f"{below}/executions").json(),
            [event for event in events if event["type"] != "session_state"],
        ]


both = pytest.mark.parametrize("hardened", ["open", "closed"], indirect=True, scope="module")
closed = pytest.mark.parametrize("hardened", ["closed"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def hardened(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = RunningServer(
        tmp_path_factory.mktemp("sites") / "data",
        WORKBENCH_ACCESS=request.param,
        WORKBENCH_WARM_KERNELS="0",
        WORKBENCH_FORK_KERNELS="0",
    )
    key = made_key(running, "eve")["key"]
    headers = {"Authorization": f"Bearer {key}"} if request.param == "closed" else {}
    assert running.manage("shell", "-c", MAKE_ACCOUNT).wait(60) == 0
    with running:
        server = Server(running, headers)
        server.ask("POST", "/api/v1/sessions", json={"identifier": SESSION})
        ran = server.ask(
            "POST",
            f"/api/v1/sessions/{SESSION}/executions?wait=60",
            json={"code": f"print('{SECRET}')"},
        )
        assert ran.json()["state"] == "succeeded"
        for name, content in HOSTILE_FILES.items():
            where = f"/api/v1/sessions/{SESSION}/files/content?path={name}"
            server.ask("PUT", where, content=content.encode())
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Any, hardened: Server) -> AsyncIterator[BrowserContext]:
    """A browser whose owner has logged in, by every name of the server."""
    context = await browser.new_context()
    for name in ("127.0.0.1", "localhost"):
        cookie = {"name": "sessionid", "value": hardened.cookie, "domain": name, "path": "/"}
        await context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Lax"}])
    yield context
    await context.close()


@asynccontextmanager
async def nothing_changes(server: Server) -> AsyncIterator[None]:
    before = server.known()
    yield
    assert server.known() == before


# Another site, and another port of the same name: the cookies are sent to the latter's requests.
@pytest_asyncio.fixture(loop_scope="module", params=["localhost", "127.0.0.1"])
async def elsewhere(request: Any, context: BrowserContext, port: int) -> Page:
    page = await context.new_page()
    await page.goto(f"http://{request.param}:{port}/")
    return page


FETCHES = """async ({ url, targets }) => {
  const types = [undefined, "text/plain", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b", "application/json"];
  const read = [];
  const ask = async (target, options) => {
    try {
      const answer = await fetch(url + target, { credentials: "include", ...options });
      read.push(`${answer.type} ${answer.status} ${await answer.text()}`);
    } catch (error) { read.push(""); }
  };
  for (const [target, body] of targets) {
    for (const mode of ["no-cors", "cors"]) {
      await ask(target, { mode });
      for (const type of types)
        await ask(target, { mode, method: "POST", body, headers: type ? { "Content-Type": type } : {} });
    }
    for (const method of ["PUT", "PATCH", "DELETE"]) await ask(target, { mode: "cors", method, body });
    await ask(target, { mode: "cors", headers: { Authorization: "Bearer x" } });
    navigator.sendBeacon(url + target, body);
    navigator.sendBeacon(url + target, new Blob([body], { type: "text/plain" }));
  }
  return read;
}"""
RUN = "{\"code\": \"open('evil', 'w')\"}"
TARGETS = [
    ("/api/v1/sessions", '{"identifier": "evil"}'),
    (f"/api/v1/sessions/{SESSION}", ""),
    (f"/api/v1/sessions/{SESSION}/executions", RUN),
    (f"/api/v1/sessions/{SESSION}/restart", ""),
    (f"/api/v1/sessions/{SESSION}/files/content?path=evil", "x"),
    (f"/api/v1/sessions/{SESSION}/events", ""),
    (f"/executions?api-version=2025-10-02-preview&identifier={SESSION}", RUN),
    ("/files?api-version=2025-10-02-preview&identifier=evil", ""),
    ("/execute", RUN),
    (f"/sandbox/{SESSION}/files/upload/-/evil", "x"),
    ("/sessions/create", "{}"),
    ("/sessions/execute", RUN.replace("{", f'{{"session_id": "{SESSION}", ')),
    ("/session", '{"name": "evil-evil", "image": "python"}'),
    (f"/session/{SESSION}", RUN.replace("{", '{"mode": "query", ')),
    (f"/.management/stopSession?identifier={SESSION}", ""),
    ("/workbench/", ""),
    (f"/workbench/{SESSION}/", ""),
    ("/logout/", ""),
    ("/admin/workbench_sessions/session/", "action=close&_selected_action=1"),
]


@both
async def test_scripts_change_nothing_and_read_nothing(hardened: Server, elsewhere: Page) -> None:
    async with nothing_changes(hardened):
        for name in ("127.0.0.1", "localhost"):
            where = {"url": f"http://{name}:{hardened.port}", "targets": TARGETS}
            read = await elsewhere.evaluate(FETCHES, where)

            # What a page may not read is opaque: no status, no text.
            assert len(read) > 200
            assert {text.strip() for text in read} <= {"", "opaque 0"}
    still = await elsewhere.context.new_page()
    await still.goto(f"{hardened.url}/workbench/")
    await expect(still).to_have_url(f"{hardened.url}/workbench/")  # nobody was logged out


FORM_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
FORM = """({ url, target, type, body }) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: url + target, enctype: type });
  const field = document.createElement("input");
  // As text this is JSON: {"code": "…", "x": "=…"}
  field.name = body.replace(/}$/, ', "x": "');
  field.value = '"}';
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


# From where the cookies are sent along: on to a request's own checks.
@pytest.mark.parametrize("elsewhere", ["127.0.0.1"], indirect=True)
@closed
async def test_forms_change_nothing(hardened: Server, elsewhere: Page) -> None:
    start = elsewhere.url
    async with nothing_changes(hardened):
        for type_, (target, body) in product(FORM_TYPES, TARGETS):
            async with elsewhere.expect_navigation() as gone:
                details = {"url": hardened.url, "target": target, "type": type_, "body": body}
                await elsewhere.evaluate(FORM, details)
            answer = await gone.value
            assert answer is not None
            # Our own pages' forms have a token; the native API wants JSON or says where from.
            assert answer.status in (401, 403, 405), (target, answer.status)
            await elsewhere.goto(start)


ELEMENTS = """async ({ url, names }) => {
  const told = {};
  const load = (make) => new Promise((resolve) => {
    const element = make();
    element.onload = () => resolve("load");
    element.onerror = () => resolve("error");
    setTimeout(() => resolve("nothing"), 3000);
    document.body.append(element);
  });
  const made = (tag, fields) => () => Object.assign(document.createElement(tag), fields);
  for (const name of names) {
    const page = `${url}/workbench/${name}/`, api = `${url}/api/v1/sessions/${name}`;
    const events = `${api}/events?format=sse`;
    for (const [kind, make] of Object.entries({
      picture: made("img", { src: page }), pictureApi: made("img", { src: api }),
      script: made("script", { src: page }), scriptApi: made("script", { src: api }),
      style: made("link", { rel: "stylesheet", href: page }),
      prefetch: made("link", { rel: "prefetch", href: page }),
      prefetchApi: made("link", { rel: "prefetch", href: api }),
      preload: made("link", { rel: "preload", as: "script", href: page }),
      object: made("object", { data: page }), objectApi: made("object", { data: api }),
      file: made("img", { src: `${api}/files/content?path=picture.svg&inline=1` }),
      video: made("video", { src: page }),
      code: made("script", { src: `${api}/files/content?path=script.js` }),
    })) (told[name] ??= {})[kind] = await load(make);
    told[name].events = await new Promise((resolve) => {
      const source = new EventSource(events, { withCredentials: true });
      source.onmessage = source.onopen = () => resolve("open");
      source.onerror = () => { source.close(); resolve("error"); };
    });
    const sockets = { list: "sessions", session: `sessions/${name}`, cells: `notebooks/${name}` };
    for (const [kind, path] of Object.entries(sockets))
      told[name][`socket ${kind}`] = await new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}/ws/${path}/`);
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("error");
      });
  }
  told.ran = globalThis.ran === 1;
  return told;
}"""


@both
async def test_elements_do_not_tell_what_there_is(hardened: Server, elsewhere: Page) -> None:
    """Pictures, scripts, styles, prefetching, streams, sockets: the same for what is there and not."""
    names = [SESSION, "none"]
    async with nothing_changes(hardened):
        told = await elsewhere.evaluate(ELEMENTS, {"url": hardened.url, "names": names})

    assert not told["ran"]
    assert told[SESSION] == told["none"]
    assert told[SESSION]["events"] == "error"
    sockets = {kind: how for kind, how in told[SESSION].items() if kind.startswith("socket")}
    assert set(sockets.values()) == {"error"}


FRAME = """(url) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  const look = () => {
    let text = "";
    try { text = frame.contentDocument?.body.innerText ?? ""; } catch { text = ""; }
    resolve([frame.contentWindow.length, text]);
  };
  frame.onload = look;
  frame.src = url;
  document.body.append(frame);
})"""


@closed
async def test_our_pages_are_in_nobodys_frame(hardened: Server, elsewhere: Page) -> None:
    for path in ("/workbench/", f"/workbench/{SESSION}/", "/login/", "/output-frame/", "/admin/"):
        assert await elsewhere.evaluate(FRAME, hardened.url + path) == [0, ""], path
    for frame in elsewhere.frames[1:]:
        assert SECRET not in await frame.content()
        assert SESSION not in await frame.content()


@closed
async def test_who_opens_our_page_has_no_hold_of_it(hardened: Server, elsewhere: Page) -> None:
    async with elsewhere.context.expect_page() as opened:
        await elsewhere.evaluate(
            "(url) => { globalThis.held = open(url, 'held') }",
            f"{hardened.url}/workbench/{SESSION}/",
        )
    ours = await opened.value
    await expect(ours.get_by_text(SECRET).first).to_be_visible()

    assert await ours.evaluate("opener") is None
    assert await elsewhere.evaluate("held.closed")
    assert await elsewhere.evaluate("held.length") == 0


@both
async def test_another_name_for_this_address_is_refused(hardened: Server, browser: Any) -> None:
    """DNS rebinding: their page's own origin, but it is we who answer."""
    from tests.browser.conftest import CHROMIUM

    rules = f"--host-resolver-rules=MAP elsewhere.example 127.0.0.1:{hardened.port}"
    rebound = await browser.browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", rules]
    )
    page = await rebound.new_page()
    async with nothing_changes(hardened):
        for path in ("/workbench/", "/api/v1/kernelspecs", "/login/", "/", "/metrics"):
            answer = await page.goto(f"http://elsewhere.example:{hardened.port}{path}")
            assert answer is not None
            assert answer.status == 400, path
        posted = await page.evaluate(
            """async (body) => (await fetch("/api/v1/sessions", { method: "POST", body,
              headers: { "Content-Type": "application/json" } })).status""",
            '{"identifier": "evil"}',
        )
        socket = await page.evaluate(
            """() => new Promise((resolve) => {
              const socket = new WebSocket(`ws://${location.host}/ws/sessions/`);
              socket.onopen = () => resolve("open"); socket.onerror = () => resolve("error");
            })"""
        )
    assert (posted, socket) == (400, "error")
    await rebound.close()


ADDRESSES_OF_A_FILE = (
    "/api/v1/sessions/{session}/files/content?path={name}",
    "/files/{name}/content?api-version=2025-02-02-preview&identifier={session}",
    "/sandbox/{session}/files/download/-/{name}",
    "/session/{session}/download_single?file={name}",
)
FRAME_ONLY = """(url) => {
  const frame = document.createElement("iframe");
  frame.src = url;
  document.body.append(frame);
}"""


@closed
async def test_a_file_never_runs_as_a_page_of_ours(
    hardened: Server, context: BrowserContext
) -> None:
    """By each of its addresses, opened by a person, in a frame of our own page, as its script."""
    page, ours = await context.new_page(), await context.new_page()
    await ours.goto(f"{hardened.url}/login/")
    for name, address in product(HOSTILE_FILES, ADDRESSES_OF_A_FILE):
        where = address.format(session=SESSION, name=quote(name))
        shown = hardened.ask("GET", where).headers
        assert shown["x-content-type-options"] == "nosniff"
        assert shown["content-disposition"].startswith("attachment")
        with suppress(PlaywrightError):  # it is saved, and nothing is shown
            await page.goto(hardened.url + where)
        assert await page.title() != "ran"
        await ours.evaluate(FRAME_ONLY, where)
    # As long as any of the frames may have taken, since the last was begun after all others.
    await expect(ours.locator("iframe")).to_have_count(
        len(HOSTILE_FILES) * len(ADDRESSES_OF_A_FILE)
    )
    await ours.evaluate("() => fetch('/livez').then((answer) => answer.text())")
    assert await ours.evaluate("globalThis.ran") is None
