"""Running code and commands: /executions of the new generation, /code/execute of the old."""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlencode

from django.http import HttpResponse
from rest_framework.request import Request

from sessions import operations
from sessions.exceptions import ExecutionNotFound
from sessions.operations import ExecutionInfo, SessionRef
from workbench.dialects.azure import ORIGIN
from workbench.dialects.azure.bodies import RunRequest, parse_run_request
from workbench.dialects.azure.errors import unsupported
from workbench.dialects.azure.results import report_of
from workbench.dialects.azure.views import AzureView, checked_id
from workbench.dialects.base import json_object, json_response


class ExecutionsView(AzureView):
    """Submit to a session, opened if need be."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Run, and answer when it has ended; asynchronous ones are answered at once."""
        times = Times()
        wanted = parse_run_request(
            json_object(request), self.version, shell_type=request.headers.get("X-Shell-Type")
        )
        ref = await self.session_ref(request, wanted.identifier)
        client_id = _client_id(request)
        times.prepared()
        execution = await _run(ref, wanted, client_id)
        times.ran()
        body = report_of(execution).new_body(ref.identifier, is_pool=self.is_pool)
        headers = times.headers(execution)
        if wanted.is_asynchronous:
            headers["Operation-Location"] = self._location(request, ref, execution)
            return json_response(body, HTTPStatus.ACCEPTED, headers)
        return json_response(body, self.version.finished_status, headers)

    def _location(self, request: Request, ref: SessionRef, execution: ExecutionInfo) -> str:
        """Where to poll, absolute: pollers of several languages resolve nothing."""
        query = {"api-version": self.version.text} if self.version.text else {}
        query["identifier"] = ref.identifier
        path = f"{quote(request.path.rstrip('/'))}/{quote(execution.public_id, safe='')}"
        return request.build_absolute_uri(f"{path}?{urlencode(query)}")


class ExecutionView(AzureView):
    """One execution, to be polled until its status is final."""

    async def get(self, request: Request, *, execution_id: str, **where: Any) -> HttpResponse:
        """What is known of it now; also after its session has ended."""
        ref = await self.session_ref(request)
        try:
            execution = await operations.get_execution(ref, execution_id)
        except ExecutionNotFound:
            message = f"No execution available for operation Id: {execution_id[:256]}"
            raise ExecutionNotFound(message) from None
        body = report_of(execution).new_body(ref.identifier, is_pool=self.is_pool)
        return json_response(body, headers={"Operation-Id": execution.public_id})


class OldExecuteView(AzureView):
    """The first generation: always synchronous, always code."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Run, and answer when it has ended; failing code is no failing request."""
        times = Times()
        wanted = parse_run_request(json_object(request), self.version)
        if wanted.command is not None:
            message = "Shell execution is not supported by /code/execute; use /executions."
            raise unsupported(message, "shellCommand")
        if wanted.is_asynchronous:
            message = "Asynchronous execution is not supported by /code/execute; use /executions."
            raise unsupported(message, "executionType")
        ref = await self.session_ref(request, wanted.identifier)
        client_id = _client_id(request)
        times.prepared()
        execution = await _run(ref, wanted, client_id)
        times.ran()
        body = report_of(execution).old_body(is_pool=self.is_pool)
        status = HTTPStatus.OK if self.is_pool else HTTPStatus.ACCEPTED
        return json_response(body, status, times.headers(execution))


class Times:
    """What the x-ms-* headers say of one request, in milliseconds; made when it begins."""

    def __init__(self) -> None:
        self._began = self._prepared = self._ran = perf_counter()

    def prepared(self) -> None:
        """The request is understood."""
        self._prepared = perf_counter()

    def ran(self) -> None:
        """The session has answered."""
        self._ran = perf_counter()

    def headers(self, execution: ExecutionInfo) -> dict[str, str]:
        """The headers of the answer, which is ready to be sent."""
        now = perf_counter()
        started = execution.started_at or execution.finished_at or execution.queued_at
        allocation = (started - execution.queued_at).total_seconds()
        ended = execution.finished_at or execution.queued_at
        return {
            "Operation-Id": execution.public_id,
            "x-ms-session-guid": str(execution.session_id),
            "x-ms-allocation-retries": "0",
            "x-ms-new-allocation": str(execution.session_created).lower(),
            "x-ms-allocation-time": _ms(allocation),
            "x-ms-container-execution-duration": str(round(execution.duration_seconds * 1000)),
            "x-ms-execution-read-response-time": _ms(now - self._ran),
            "x-ms-execution-request-time": _ms(self._ran - self._prepared),
            "x-ms-overall-execution-time": _ms((ended - execution.queued_at).total_seconds()),
            "x-ms-preparation-time": _ms(self._prepared - self._began),
            "x-ms-total-execution-service-time": _ms(now - self._began),
        }


async def _run(ref: SessionRef, wanted: RunRequest, client_id: str) -> ExecutionInfo:
    options: dict[str, Any] = {
        "origin": ORIGIN,
        "create": True,
        "client_id": client_id,
        "timeout_seconds": wanted.timeout_seconds,
        "request": wanted.to_remember(),
    }
    if wanted.command is not None:
        run_command = (
            operations.submit_command if wanted.is_asynchronous else operations.run_command
        )
        return await run_command(ref, wanted.command, stdin=wanted.stdin, **options)
    run_code = operations.submit if wanted.is_asynchronous else operations.run_code
    return await run_code(ref, wanted.code, **options)


def _client_id(request: Request) -> str:
    """The client's own id for the execution; empty if it leaves the choice to us."""
    given = request.headers.get("operation-id")
    return "" if given is None else checked_id(given, "operation-id")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.4f}"
