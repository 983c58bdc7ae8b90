"""The web server: daphne, with what it lacks for large bodies and slow readers.

Stock daphne parses posted forms a second time, queues a whole body in memory, never lets an
application wait for a slow client, and learns a body's size only when all of it has arrived.
"""

from __future__ import annotations

# First: daphne installs Twisted's asyncio reactor, which must precede any other use of Twisted.
from daphne.server import Server as DaphneServer  # isort: skip

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory as DaphneHTTPFactory
from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketFactory as DaphneWebSocketFactory
from daphne.ws_protocol import WebSocketProtocol as DaphneWebSocketProtocol
from twisted.internet import defer
from twisted.internet import reactor as twisted_reactor
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogBeginner

from sessions.engines.lifetime import ending_signals

# Its declared type, a zope interface, is unreadable without a plugin for the type checker.
reactor: Any = twisted_reactor

Message = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]
Address = tuple[str, int]  # host (name, IPv4 or IPv6 address), port

# Bytes of a request body handed to the application at a time.
BODY_CHUNK_BYTES = 64 * 1024
# Bytes of one message a client sends over a websocket: code, or an answer to input().
WEBSOCKET_MAX_MESSAGE_BYTES = 1024 * 1024
# How long a client may go on sending a body that has been refused, before it is cut off.
LINGER_SECONDS = 20
# How long applications may take to end when the server stops.
STOP_SECONDS = 5


def serve(
    application: Application,
    addresses: list[Address],
    *,
    max_body_bytes: int | None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve until told to stop by a signal; to be called once, from the main thread.

    ``ready`` is called in the running loop, once every address accepts connections. A body of
    more than ``max_body_bytes`` is refused (None: any size is taken). If an address cannot be
    used, the process ends with code 1 and one sentence.
    """
    server = Server(application, addresses, max_body_bytes=max_body_bytes, ready=ready)
    server.run()


class Gate:
    """Open while the connection takes more data; a push producer in Twisted's words."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def pauseProducing(self) -> None:
        self._open.clear()

    def resumeProducing(self) -> None:
        self._open.set()

    def stopProducing(self) -> None:
        """The connection is done or gone: nobody has to wait for it any more."""
        self._open.set()

    async def passed(self) -> None:
        """Wait until there is room for more data, or nobody left to send it to."""
        await self._open.wait()


class Body:
    """The request as an application receives it: its body, read on demand, then a disconnect."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._more = True
        self._disconnected = asyncio.Event()

    def put_nowait(self, message: Message) -> None:
        """Daphne's way to say that the connection is done; it has nothing else to tell."""
        self._disconnected.set()

    async def receive(self) -> Message:
        # Twisted closes the file together with the request.
        if not self._more or self._content.closed:
            await self._disconnected.wait()
            return {"type": "http.disconnect"}
        chunk = self._content.read(BODY_CHUNK_BYTES)
        self._more = len(chunk) == BODY_CHUNK_BYTES
        if self._more:
            # A large body is many reads that are ready at once: let others have their turn.
            await asyncio.sleep(0)
        return {"type": "http.request", "body": chunk, "more_body": self._more}


class Request(WebRequest):  # type: ignore[misc]  # daphne is untyped
    """An HTTP request whose body stays in its temporary file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)
        self.gate = Gate()
        self.body: Body | None = None
        self._received_bytes = 0
        self._cut_off: Any = None  # the pending end of a refused request

    # --- Receiving

    def gotLength(self, length: int | None) -> None:
        """All headers are here; ``length`` is None for a chunked body."""
        limit = self.server.max_body_bytes
        too_large = limit is not None and length is not None and length > limit
        super().gotLength(0 if too_large else length)
        if too_large:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        if self._cut_off is not None:
            return
        limit = self.server.max_body_bytes
        self._received_bytes += len(data)
        if limit is not None and self._received_bytes > limit:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._cut_off is None:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        # Daphne would take anybody's word for the address that we are mounted at.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        # It knows that a header may hold anything, but not this one.
        protocols = self.requestHeaders.getRawHeaders(b"Sec-WebSocket-Protocol", [])
        if not all(value.isascii() for value in protocols):
            self.basic_error(HTTPStatus.BAD_REQUEST, b"Bad Request", "Invalid header value")
            return
        super().process()
        # Only now: what daphne finds here earlier, it would fill with the whole body.
        self.application_queue = self.body

    def _refuse(self) -> None:
        """Answer 413 and end the connection.

        Closing a connection that still receives resets it, and the client may lose the answer.
        So only our direction is closed, and what still comes is dropped.
        """
        self.requestHeaders.removeHeader(b"Expect")  # or Twisted would ask for the body
        self.content.truncate(0)
        self.channel.transport.write(_too_large(self.server.max_body_bytes))
        self.channel.transport.loseWriteConnection()
        self._cut_off = reactor.callLater(LINGER_SECONDS, self.channel.transport.abortConnection)

    # --- Answering

    def start(self) -> Body:
        """What the application receives from; from now on it waits for a slow client."""
        self.registerProducer(self.gate, streaming=True)
        self.body = Body(self.content)
        return self.body

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
        self.gate.stopProducing()
        super().finish()

    def handle_exception(self, exception: Exception) -> None:
        """Cut off an answer that has begun: it can neither be finished nor be replaced.

        Daphne would begin a second one, and fail at that in the loop that looks after all
        applications, which would then look after none any more.
        """
        if self._response_started:
            self.channel.transport.abortConnection()
        else:
            super().handle_exception(exception)

    def connectionLost(self, reason: Any) -> None:
        self.gate.stopProducing()
        if self._cut_off is not None and self._cut_off.active():
            self._cut_off.cancel()
        super().connectionLost(reason)


class HTTPFactory(DaphneHTTPFactory):  # type: ignore[misc]  # daphne is untyped
    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        return protocol

    def log(self, request: Request) -> None:
        """Nothing: Twisted would word a line for each request, and its log goes nowhere."""


class WebSocketProtocol(DaphneWebSocketProtocol):  # type: ignore[misc]  # daphne is untyped
    """A websocket whose application waits for a slow client."""

    maxMessagePayloadSize: int  # in bytes; set by the factory

    def connectionMade(self) -> None:
        super().connectionMade()
        self.gate = Gate()
        # The connection comes from an HTTP channel, which is still asked to pause in our place.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.gate, streaming=True)

    def sendMessage(self, *arguments: Any, **keywords: Any) -> None:
        # The limit is for what clients send us; autobahn applies it both ways.
        limit: int = self.maxMessagePayloadSize
        self.maxMessagePayloadSize = 0
        try:
            super().sendMessage(*arguments, **keywords)
        finally:
            self.maxMessagePayloadSize = limit

    def unregisterProducer(self) -> None:
        # The connection is being dropped, and nothing will resume us.
        super().unregisterProducer()
        self.gate.stopProducing()

    def connectionLost(self, reason: Any = None) -> None:
        self.gate.stopProducing()
        super().connectionLost(reason)


class WebSocketFactory(DaphneWebSocketFactory):  # type: ignore[misc]  # daphne is untyped
    protocol = WebSocketProtocol


class Server(DaphneServer):  # type: ignore[misc]  # daphne is untyped
    """Daphne's server on TCP addresses, with the protocols of this module."""

    def __init__(
        self,
        application: Application,
        addresses: list[Address],
        *,
        max_body_bytes: int | None = None,
        websocket_max_message_bytes: int = WEBSOCKET_MAX_MESSAGE_BYTES,
        ready: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            application,
            endpoints=addresses,
            websocket_max_message_size=websocket_max_message_bytes,
            websocket_max_frame_size=websocket_max_message_bytes,
            server_name="workbench",
        )
        self.max_body_bytes = max_body_bytes
        self.ready = ready

    # --- Life

    def run(self) -> None:
        """Listen on all addresses and serve until told to stop."""
        observers: list[Any] = [lambda event: None]  # Twisted's log, as daphne has it: nowhere
        globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = HTTPFactory(self)
        self.ws_factory = self._websocket_factory()
        for host, port in self.endpoints:
            self._listen(host, port)
        loop = reactor._asyncioEventloop
        asyncio.set_event_loop(loop)
        self._ending = ending_signals()
        for number in self._ending:
            loop.add_signal_handler(number, self._stop_for_signal)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        if self.ready:
            reactor.callWhenRunning(self.ready)
        reactor.run(installSignalHandlers=False)

    def _websocket_factory(self) -> WebSocketFactory:
        factory = WebSocketFactory(self, server=self.server_name)
        factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,  # workbench/asgi.py judges origins
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        return factory

    def _listen(self, host: str, port: int) -> None:
        try:
            listener = reactor.listenTCP(port, self.http_factory, interface=host.strip("[]"))
        except CannotListenError as error:
            raise SystemExit(_cannot_listen(host, port, error.socketError)) from None
        bound = listener.getHost()
        self.listening_addresses.append((bound.host, bound.port))

    def _stop_for_signal(self) -> None:
        # A second signal ends the process the hard way.
        for number in self._ending:
            reactor._asyncioEventloop.remove_signal_handler(number)
        self.stop()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Cancel what still runs. (Daphne's own fails on a connection without an application.)"""
        found = (details.get("application_instance") for details in self.connections.values())
        running = [application for application in found if application and not application.done()]
        for application in running:
            application.cancel()
        if not running:
            return defer.succeed(None)
        return defer.Deferred.fromFuture(
            asyncio.ensure_future(asyncio.wait(running, timeout=STOP_SECONDS))
        )

    # --- Applications

    def create_application(self, protocol: Any, scope: Message) -> Any:
        """Start the application; returns the queue that daphne fills, None if it need not."""
        if not isinstance(protocol, Request):
            return super().create_application(protocol, {**scope, **_address(protocol)})
        scope.setdefault("asgi", {"version": "3.0"})
        running = self.application(
            scope=scope,
            receive=protocol.start().receive,
            send=partial(self.handle_reply, protocol),
        )
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(running)
        return None

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        """An application's ``send``: returns once the client can take more, or is gone."""
        await super().handle_reply(protocol, message)
        await protocol.gate.passed()


def _address(protocol: WebSocketProtocol) -> Message:
    """Where a socket was asked for, as a request says it: to the letter.

    autobahn leaves out what it takes for another host (``//host/``, ``http://host/``) and for
    parameters (``;x``). So others before us, and who signs requests, would mean another address.
    """
    path = str(protocol.http_request_uri).partition("?")[0]
    return {"path": unquote(path), "raw_path": path.encode("ascii")}


def _cannot_listen(host: str, port: int, error: Any) -> str:
    where = f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return f"{where} is already used by another program. Stop it, or choose another port."
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number and number > 0 else str(error)
    return f"Cannot listen on {where}: {reason}."


def _too_large(limit: int) -> bytes:
    message = f"The request body is larger than the limit of {limit} bytes."
    body = json.dumps({"error": {"code": "RequestTooLarge", "message": message}}).encode()
    head = (
        "HTTP/1.1 413 Content Too Large\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
