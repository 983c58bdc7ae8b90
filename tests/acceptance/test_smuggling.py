"""Bytes that mean one thing to whoever stands before the server and another to the server.

To the socket of a closed server, as they are: clients' libraries would not send most of this.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.running import RunningServer, http, made_key

pytestmark = pytest.mark.acceptance

NAME = b"tell-nobody"  # a session of ada's
WAIT_SECONDS = 20.0
LIST = b"/ws/sessions/"
SESSION = b"/api/v1/sessions/" + NAME
KERNELS = b"/api/v1/kernelspecs"


@dataclass
class Closed:
    """A closed server, and two who may come in."""

    server: RunningServer
    ada: bytes
    bob: bytes
    # The id of ada's session.
    secret: bytes = b""

    @property
    def host(self) -> bytes:
        return b"Host: 127.0.0.1:%d" % self.server.port

    def send(self, data: bytes) -> bytes:
        """All that comes back, until the server hangs up."""
        address = ("127.0.0.1", self.server.port)
        received = b""
        with socket.create_connection(address, timeout=WAIT_SECONDS) as connection:
            connection.sendall(data)
            try:
                while piece := connection.recv(65536):
                    received += piece
                    head, _, rest = received.partition(b"\r\n\r\n")
                    # A socket stays open: until its first frame. So does one that is refused.
                    if b"Upgrade: websocket" in data and (
                        rest if b" 101 " in head else rest.endswith(b"\r\n0\r\n\r\n")
                    ):
                        break
            except ConnectionResetError:
                pass  # it had not read all of what it refused
        assert not self.secret or self.secret not in received or self.ada in data
        return received

    def ask(self, target: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
        lines = (method + b" " + target + b" HTTP/1.1", self.host, *headers, b"Connection: close")
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def shake(self, target: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
        """A websocket's handshake."""
        lines = (
            method + b" " + target + b" HTTP/1.1",
            self.host,
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        )
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n")


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    server = RunningServer(
        tmp_path_factory.mktemp("closed") / "data",
        WORKBENCH_ACCESS="closed",
        WORKBENCH_WARM_KERNELS="0",
        WORKBENCH_FORK_KERNELS="0",
    )
    ada, bob = (b"Authorization: Bearer " + made_key(server, name)["key"].encode() for name in "ab")
    with server:
        headers = dict([ada.decode().split(": ")])
        sessions = f"{server.url}/api/v1/sessions"
        opened = http.post(sessions, json={"identifier": NAME.decode()}, headers=headers)
        assert opened.status_code == 201
        yield Closed(server, ada, bob, opened.json()["id"].encode())


# --- Addresses -----------------------------------------------------------------------------------

# What some program takes for another address than the next one does.
ODD_TARGETS = [
    b"http://elsewhere.example" + SESSION,
    b"http://127.0.0.1" + SESSION,
    b"/" + SESSION,
    b"//127.0.0.1" + SESSION,
    b"/%2e%2e" + SESSION,
    b"/login/.." + SESSION,
    b"/login/..;" + SESSION,
    b"/login/;/.." + SESSION,
    b"/healthz%2f.." + SESSION,
    b"/static/.." + SESSION,
    b"/static/%2e%2e" + SESSION,
    b"/static/%2e%2e%2f" + SESSION[1:],
    b"/admin/.." + SESSION,
    SESSION.replace(b"/", b"%2f"),
    SESSION.replace(b"/", b"%252f"),
    SESSION.replace(b"/", b"\\"),
    SESSION + b"%00",
    SESSION + b"%00/../../../../healthz",
    SESSION + b";/healthz",
    SESSION + b"#/healthz",
    SESSION + b"?/healthz",
    SESSION + b"%3f/healthz",
    SESSION + b"%0d%0aX: y",
    SESSION + b"%20HTTP/1.1",
    SESSION[1:],
    b"*",
    b"?" + SESSION,
]
# What can be no address at all, and would cut a request in two for who reads it by lines.
IMPOSSIBLE_TARGETS = [
    b"",
    b"/\xff",
    b"/\x0b",
    b"/\x0cX: y",
    b"/?\x1cX: y",
    b"/?\x1d",
    b"/?\x1e",
    b"/?\x85",
    b"/\x00",
    b"/ /",
]


def is_refusal(received: bytes) -> bool:
    """Nothing but refusals, or the way to the login."""
    to_login = re.search(rb"\r\nlocation: /(admin/)?login/", received.lower())
    return all(
        status in (400, 401, 403, 404) or (status == 302 and to_login is not None)
        for status in statuses(received)
    ) and bool(statuses(received))


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_a_stranger_gets_in_by_no_address(closed: Closed, target: bytes) -> None:
    for method in (b"GET", b"POST", b"get", b"HEAD"):
        for accept in (b"Accept: */*", b"Accept: text/html"):
            assert is_refusal(closed.ask(target, accept, method=method))
    assert is_refusal(closed.shake(target))


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_somebody_else_gets_nothing_of_it(closed: Closed, target: bytes) -> None:
    # That nothing of ada's comes back, ``send`` looks at.
    assert statuses(closed.ask(target, closed.bob, b"Accept: text/html"))
    assert statuses(closed.shake(target, closed.bob))


@pytest.mark.parametrize("target", IMPOSSIBLE_TARGETS)
def test_an_address_that_cannot_be_is_refused(closed: Closed, target: bytes) -> None:
    assert statuses(closed.ask(target, closed.ada)) == [400]
    assert statuses(closed.shake(target, closed.ada)) == [400]


@pytest.mark.parametrize(
    "target",
    [b"http://elsewhere.example" + LIST, b"//elsewhere.example" + LIST, LIST + b";x", b"/" + LIST],
)
def test_a_socket_is_where_it_was_asked_for(closed: Closed, target: bytes) -> None:
    """As for requests: nothing of an address is left out before we look at it."""
    nowhere = (4404).to_bytes(2, "big")  # the close code

    assert nowhere in closed.shake(target, closed.ada)
    assert closed.secret in closed.shake(LIST, closed.ada)
    assert statuses(closed.ask(target, closed.ada)) == [404]


# --- Headers -------------------------------------------------------------------------------------

# What some server believes of some proxy. We believe none of it.
BELIEVED_ELSEWHERE = [
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-Host: localhost",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Prefix: /login",
    b"X-Forwarded-User: a",
    b"X-Real-IP: 127.0.0.1",
    b"Forwarded: for=127.0.0.1;host=localhost;proto=https",
    b"X-Original-URL: /healthz",
    b"X-Rewrite-URL: /healthz",
    b"X-Original-Method: GET",
    b"X-HTTP-Method-Override: GET",
    b"X-Method-Override: OPTIONS",
    b"Daphne-Root-Path: /api",
    b"Daphne_Root_Path: /api",
    b"Script-Name: /api",
    b"Remote-User: a",
    b"REMOTE_USER: a",
    b"Wsgi-Url-Scheme: https",
    b"Sec-Fetch-Site: same-origin",
]


@pytest.mark.parametrize("header", BELIEVED_ELSEWHERE)
def test_a_header_lets_nobody_in(closed: Closed, header: bytes) -> None:
    for method in (b"GET", b"POST", b"DELETE"):
        assert statuses(closed.ask(SESSION, header, method=method)) == [401]
    assert statuses(closed.shake(LIST, header)) == [403]
    assert statuses(closed.ask(SESSION, header, closed.bob)) == [404]


def test_one_host_and_it_is_ours(closed: Closed) -> None:
    def heads(host: bytes) -> tuple[bytes, bytes]:
        asked = b"GET " + KERNELS + b" HTTP/1.1\r\n" + host + closed.ada + b"\r\n"
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        return asked + b"Connection: close\r\n\r\n", asked + upgrade + key

    ours = closed.host + b"\r\n"
    for host in (
        ours + b"Host: elsewhere.example\r\n",
        b"Host: elsewhere.example\r\n" + ours,
        ours + ours,
        b"Host: elsewhere.example\r\n",
        b"Host: 127.0.0.1@elsewhere.example\r\n",
        b"Host: elsewhere.example:127.0.0.1\r\n",
        b"Host: 127.0.0.1.elsewhere.example\r\n",
        b"Host: 127.0.0.1,elsewhere.example\r\n",
        b"Host: \r\n",
        b"Host : 127.0.0.1\r\n",
    ):
        request, handshake = heads(host)
        assert statuses(closed.send(request)) == [400], host
        assert statuses(closed.send(handshake)) in ([400], [403]), host
    assert statuses(closed.send(heads(ours)[0])) == [200]


def test_a_key_counts_only_as_it_should_be_sent(closed: Closed) -> None:
    name, _, value = closed.ada.partition(b": ")
    key = value.removeprefix(b"Bearer ")
    for right in (closed.ada, closed.ada.lower()[:22] + key, name + b":Bearer  " + key + b" "):
        assert statuses(closed.ask(KERNELS, right)) == [200]
    for wrong in (
        name + b": " + key,
        name + b": Bearer\t" + key,
        name + b": Bearer: " + key,
        name + b": Bearer " + key + b", " + value,
        name + b": Bearer " + key.lower(),
        name + b": Bearer " + key[:-1],
        name + b": Bearer " + key + b"x",
        name + b": Bearer " + key + b"\xff",
        name + b": Bearer \xe2\x80\x8b" + key,
        name + b": Bearer =?utf-8?q?" + key + b"?=",
        name + b": Bearer%20" + key,
        name + b": Basic " + key,
        name + b": Token " + key,
        name + b": " + b"x" * 8000,
        name + b": " + b"BackendAI " * 500,
        b"Proxy-" + closed.ada,
        b"X-" + closed.ada,
        b"Authorization_: " + value,
    ):
        assert statuses(closed.ask(KERNELS, wrong)) in ([401], [429]), wrong
        assert statuses(closed.shake(LIST, wrong)) == [403], wrong
    for broken in (
        b" " + closed.ada,
        name + b" : " + value,
        closed.ada + b"\0",
        closed.ada + b"\r",
        b"X: y\n" + closed.ada,
        b"X: y\r" + closed.ada,
        b"X: y\x0b" + closed.ada,
        b"X: y\x85" + closed.ada,
        b"\x0b" + closed.ada,
    ):
        assert statuses(closed.ask(KERNELS, broken)) == [400], broken
        assert statuses(closed.shake(LIST, broken)) == [400], broken


def test_several_who_ask_at_once_are_nobody(closed: Closed) -> None:
    wrong = b"Authorization: Bearer wb_x"
    for headers in (
        (closed.ada, closed.ada),
        (closed.ada, closed.bob),
        (closed.bob, closed.ada),
        (closed.ada, wrong),
        (wrong, closed.ada),
    ):
        assert statuses(closed.ask(SESSION, *headers)) in ([401], [429])
        assert statuses(closed.shake(LIST, *headers)) == [403]


# --- Where a request ends ------------------------------------------------------------------------

UNCLEAR = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde",
    "the same twice": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a list": b"Content-Length: 5, 5\r\n\r\nabcde",
    "a sign": b"Content-Length: +5\r\n\r\nabcde",
    "negative": b"Content-Length: -1\r\n\r\n",
    "hexadecimal": b"Content-Length: 0x5\r\n\r\nabcde",
    "underscored": b"Content-Length: 1_0\r\n\r\nabcdeabcde",
    "not ASCII": b"Content-Length: \xb2\r\n\r\nab",
    "nothing": b"Content-Length: \r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "not the last coding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a chunk with a prefix": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk with a space": b"Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
    "a chunk with an underscore": b"Transfer-Encoding: chunked\r\n\r\n1_0\r\n\r\n",
    "more than the chunk says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "line feeds": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
}


@pytest.mark.parametrize("how", UNCLEAR)
def test_what_ends_nowhere_for_sure_is_the_last(closed: Closed, how: str) -> None:
    """What follows may be the next request, or more of this one: nobody answers it."""
    first = b"POST /api/v1/sessions HTTP/1.1\r\n" + closed.host + b"\r\n"
    lines = (b"GET " + SESSION + b" HTTP/1.1", closed.host, closed.ada, b"Connection: close")
    second = b"\r\n".join(lines) + b"\r\n\r\n"

    received = closed.send(first + UNCLEAR[how] + second)

    assert statuses(received) == [400]
    assert closed.secret not in received


def test_a_trailer_is_no_header(closed: Closed) -> None:
    start = b"POST /api/v1/sessions HTTP/1.1\r\n" + closed.host + b"\r\nConnection: close\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n0;name=value\r\n" + closed.ada + b"\r\n\r\n"

    assert statuses(closed.send(start + chunked)) == [401]


def test_who_asked_first_says_nothing_of_who_asks_next(closed: Closed) -> None:
    """On one connection, one after the other, as a proxy uses it for many."""
    start = b"GET " + SESSION + b" HTTP/1.1\r\n" + closed.host + b"\r\n"
    last = start + b"Connection: close\r\n\r\n"

    received = closed.send(
        start + closed.ada + b"\r\n\r\n" + start + closed.bob + b"\r\n\r\n" + last
    )

    assert statuses(received) == [200, 404, 401]


# --- Sockets -------------------------------------------------------------------------------------


def test_a_handshake_for_two_pages_is_for_none(closed: Closed) -> None:
    ours = b"Origin: http://127.0.0.1:%d" % closed.server.port
    for headers in (
        (ours, b"Origin: http://elsewhere.example"),
        (b"Origin: http://elsewhere.example", ours),
        (ours + b", http://elsewhere.example",),
        (b"Origin: null",),
    ):
        assert statuses(closed.shake(LIST, closed.ada, *headers)) in ([400], [403])
    assert statuses(closed.shake(LIST, closed.ada, ours)) == [101]


def test_a_handshake_has_one_way(closed: Closed) -> None:
    for method in (b"POST", b"HEAD", b"CONNECT", b"Odd"):
        assert statuses(closed.shake(LIST, closed.ada, method=method)) in ([400], [405])
    # autobahn would lead who asks like this elsewhere.
    received = closed.shake(LIST + b"?redirect=http://elsewhere.example&after=1")
    assert statuses(received) == [403]
    assert b"elsewhere" not in received
