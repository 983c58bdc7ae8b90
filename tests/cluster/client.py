"""Django's test client, but for real: its requests go to several web processes in turn."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
from django.http import HttpResponse
from django.test import AsyncClient

from tests.running import NO_CERTIFICATES

# What httpx says by itself, and what an empty jar has.
NOT_SENT = {b"content-length", b"cookie", b"written-target"}
# Where a scope has the address as it was written, on its way through Django's client.
TARGET = "written-target"


class Answer(HttpResponse):
    """An answer from afar, as tests read those of Django's client."""

    def __init__(self, answer: httpx.Response) -> None:
        is_read = answer.is_stream_consumed
        super().__init__(answer.content if is_read else b"", status=answer.status_code)
        del self.headers["Content-Type"]
        for name, value in answer.headers.items():
            self.headers[name] = value
        self._answer = answer

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def streaming_content(self) -> AsyncIterator[bytes]:
        return self.__aiter__()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._answer.is_stream_consumed:
            yield self.content
            return
        async for piece in self._answer.aiter_bytes():
            yield piece


class ClusterClient(AsyncClient):
    """Sends each request to the next of the web processes, as a load balancer would."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self._urls = itertools.cycle(urls)
        self._http = httpx.AsyncClient(trust_env=False, verify=NO_CERTIFICATES, timeout=60)

    def generic(self, method: str, path: str, *args: Any, **more: Any) -> Any:
        """As Django's client, which forgets how the address was written."""
        # Links in answers name a server, as if there were only one.
        written = quote(path.removeprefix("http://testserver"), safe="%/:?#[]@!$&'()*+,;=~")
        return super().generic(method, path, *args, **{**more, TARGET: written})

    # Django's stubs promise an answer of Django's own, with the view that gave it.
    async def request(self, **request: Any) -> Any:  # type: ignore[override]
        """One request, by the scope that Django's client has made of it."""
        scope = self._base_scope(**request)
        body = sent.read() if (sent := scope.pop("_body_file", None)) else b""
        headers = [(name, value) for name, value in scope["headers"] if name not in NOT_SENT]
        (target,) = (value for name, value in scope["headers"] if name == TARGET.encode())
        question = self._http.build_request(
            scope["method"],
            next(self._urls),
            headers=headers,
            content=body or None,
            extensions={"target": target},
        )
        answer = await self._http.send(question, stream=True)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            await answer.aread()
        return Answer(answer)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
