"""The web server under large bodies and slow readers, in a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.running import free_port

pytestmark = pytest.mark.acceptance

MIB = 1024 * 1024
LIMIT = 128 * MIB
FLOOD_BYTES = 256 * MIB
APP = Path(__file__).with_name("server_app.py")
DEADLINE_SECONDS = 20


@dataclass
class Running:
    """The server's process, and where it listens."""

    process: subprocess.Popen[str]
    port: int

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def progress(self) -> dict[str, Any]:
        connection = self.connection()
        connection.request("GET", "/progress")
        value: dict[str, Any] = json.load(connection.getresponse())
        connection.close()
        return value


def start(*addresses: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(APP), str(LIMIT), *addresses]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """End the server as an init system does; returns its exit code and what it complained of."""
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, complaints


def eventually(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not question():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def settled(value: Callable[[], int]) -> int:
    """The value once it has not changed for a quarter of a second."""
    seen: list[int] = []

    def is_settled() -> bool:
        seen.append(value())
        return len(seen) > 12 and len(set(seen[-12:])) == 1 and seen[-1] > 0

    eventually(is_settled)
    return seen[-1]


def multipart(size: int) -> Iterator[bytes]:
    """A multipart body with one file of ``size`` bytes, in parts of 1 MiB."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    for _ in range(size // MIB):
        yield bytes(MIB)
    yield b"\r\n--b--\r\n"


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(MIB):
        received += chunk
    return received


def count_to_end(connection: socket.socket) -> int:
    received = 0
    while chunk := connection.recv(MIB):
        received += len(chunk)
    return received


@pytest.fixture
def server() -> Iterator[Running]:
    port = free_port()
    process = start(f"127.0.0.1:{port}")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        running = Running(process, port)
        running.progress()
        yield running
        if process.poll() is None:
            assert stop(process) == (0, "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_an_upload_stays_out_of_memory_and_holds_nobody_up(server: Running) -> None:
    idle = server.peak_bytes()
    size = sum(map(len, multipart(64 * MIB)))
    answers: list[dict[str, Any]] = []

    def upload() -> None:
        connection = server.connection()
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(size)}
        connection.request("POST", "/upload", multipart(64 * MIB), headers)
        answers.append(json.load(connection.getresponse()))
        connection.close()

    thread = threading.Thread(target=upload)
    thread.start()
    answered = 0
    while thread.is_alive():
        server.progress()
        answered += 1
    thread.join()

    assert [answer["bytes"] for answer in answers] == [size]
    assert server.peak_bytes() - idle < 32 * MIB
    assert answered > 1


def test_a_chunked_body_arrives_whole(server: Running) -> None:
    connection = server.connection()
    connection.request("POST", "/upload", multipart(2 * MIB), encode_chunked=True)

    answer = json.load(connection.getresponse())
    connection.close()

    assert answer["bytes"] == sum(map(len, multipart(2 * MIB)))
    assert answer["messages"] == 33


@pytest.mark.parametrize("size", [0, 1, 65536, 131072])
def test_a_disconnect_follows_the_body(server: Running, size: int) -> None:
    connection = server.connection()
    connection.request("POST", "/upload", bytes(size))

    assert json.load(connection.getresponse())["bytes"] == size
    eventually(lambda: server.progress()["disconnects"] == 1)
    connection.close()


def test_a_vanished_client_is_noticed(server: Running) -> None:
    connection = server.connection()
    connection.request("GET", "/wait")
    connection.close()

    eventually(lambda: server.progress()["disconnects"] == 1)


def test_an_unread_response_waits_for_its_reader(server: Running) -> None:
    idle = server.peak_bytes()
    client = server.socket()
    client.sendall(b"GET /flood HTTP/1.0\r\nHost: localhost\r\n\r\n")
    sent = settled(lambda: server.progress()["sent"])
    grown = server.peak_bytes() - idle

    received = count_to_end(client)
    client.close()

    assert sent < 32 * MIB
    assert grown < 32 * MIB
    assert received > FLOOD_BYTES
    eventually(lambda: server.progress()["ended"] == 1)


def test_an_unread_socket_waits_for_its_reader(server: Running) -> None:
    idle = server.peak_bytes()
    client = server.socket()
    client.sendall(
        b"GET /flood HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    sent = settled(lambda: server.progress()["sent"])
    grown = server.peak_bytes() - idle

    received = 0
    while received < FLOOD_BYTES:
        received += len(client.recv(MIB))
    client.close()

    assert sent < 32 * MIB
    assert grown < 32 * MIB
    eventually(lambda: server.progress()["ended"] == 1)


@pytest.mark.parametrize("upgrade", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_an_application_is_not_left_waiting_for_a_client_that_left(
    server: Running, upgrade: bytes
) -> None:
    client = server.socket()
    client.sendall(
        b"GET /flood HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    settled(lambda: server.progress()["sent"])
    client.close()

    eventually(lambda: server.progress()["ended"] == 1)


def test_an_answer_that_fails_midway_is_cut_off(server: Running) -> None:
    for _ in range(2):  # the second time as well: whoever ends applications still lives
        client = server.socket()
        client.sendall(b"GET /break HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
        client.close()
    code, complaints = stop(server.process)

    assert code == 0
    assert complaints.count("Exception inside application") == 2


def test_a_too_large_body_is_refused_by_its_header(server: Running) -> None:
    client = server.socket()
    client.sendall(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % (LIMIT + 1)
    )

    head, body = read_to_end(client).split(b"\r\n\r\n", 1)
    client.close()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {
        "error": {
            "code": "RequestTooLarge",
            "message": "The request body is larger than the limit of 134217728 bytes.",
        }
    }


def test_a_client_that_sends_on_still_reads_the_refusal(server: Running) -> None:
    idle = server.peak_bytes()
    connection = server.connection()
    connection.request("POST", "/upload", bytes(LIMIT + 1))

    assert connection.getresponse().status == 413
    connection.close()
    assert server.peak_bytes() - idle < 32 * MIB


def test_a_too_large_chunked_body_is_refused_by_counting(server: Running) -> None:
    idle = server.peak_bytes()
    connection = server.connection()
    connection.request("POST", "/upload", multipart(LIMIT), encode_chunked=True)

    response = connection.getresponse()

    assert response.status == 413
    assert json.load(response)["error"]["code"] == "RequestTooLarge"
    connection.close()
    assert server.peak_bytes() - idle < 32 * MIB


@pytest.mark.parametrize("where", [b"/x", b"/\xff"])
def test_no_client_says_where_the_server_is_mounted(server: Running, where: bytes) -> None:
    """Daphne has a header for it; one that is not ASCII was a fault of the server's."""
    client = server.socket()
    client.sendall(
        b"GET /progress HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Daphne-Root-Path: %s\r\n\r\n" % where
    )

    head, body = read_to_end(client).split(b"\r\n\r\n", 1)
    client.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b'"mounted_at": ""' in body


def test_a_handshake_that_cannot_be_read_is_refused(server: Running) -> None:
    client = server.socket()
    client.sendall(
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: \xff\r\n\r\n"
    )

    assert client.recv(MIB).startswith(b"HTTP/1.1 400 ")
    client.close()


def test_what_we_send_may_be_larger_than_what_clients_may(server: Running) -> None:
    """autobahn's limit for messages would apply both ways: a large plot could never be sent."""
    with connect(f"ws://127.0.0.1:{server.port}/echo", max_size=None) as client:
        client.send("x" * 900_000)

        assert len(client.recv()) == 1_800_000


def test_every_address_is_served() -> None:
    first, second = free_port(), free_port()
    process = start(f"127.0.0.1:{first}", f"[::1]:{second}")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    for address in (("127.0.0.1", first), ("::1", second)):
        with socket.create_connection(address, timeout=DEADLINE_SECONDS) as client:
            client.sendall(b"GET /progress HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.0 200"

    assert stop(process) == (0, "")


def test_stopping_ends_open_requests(server: Running) -> None:
    waiting = server.connection()
    waiting.request("GET", "/wait")
    server.progress()

    assert stop(server.process) == (0, "")  # within its deadline
    waiting.close()


def test_a_taken_port_is_one_clear_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = start(f"127.0.0.1:{port}")
        output, complaints = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 1
    assert output == ""
    assert complaints == (
        f"127.0.0.1:{port} is already used by another program. Stop it, or choose another port.\n"
    )
