"""Sessions, what they can run, and health. None of these calls opens a session."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from sessions import operations
from sessions.exceptions import SessionNotFound, WorkbenchError
from sessions.operations import SessionInfo
from workbench.access.callers import owner_of
from workbench.dialects.azure.metadata import metadata_body, read_environment
from workbench.dialects.azure.views import AzureView, no_session, skip_of, timestamp
from workbench.dialects.base import json_response

PAGE_LENGTH = 300


class SessionView(AzureView):
    """One session."""

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Describe it."""
        ref = await self.session_ref(request)
        try:
            return json_response(_session(await operations.find_session(ref)))
        except SessionNotFound:
            status = HTTPStatus.NOT_FOUND
            raise no_session(ref.identifier, status, "NoSessionFoundError") from None

    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """End it; the same identifier afterwards names a fresh one."""
        ref = await self.session_ref(request)
        try:
            await operations.close_session(ref)
        except SessionNotFound:
            status = HTTPStatus.NOT_FOUND
            raise no_session(ref.identifier, status, "NoSessionFoundError") from None
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        del response.headers["Content-Type"]
        return response


class SessionsView(AzureView):
    """The caller's sessions, in pages."""

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """One page, from the ``skip``-th session on."""
        page, next_link = await _page(request)
        body: dict[str, Any] = {"sessions": [_session(session) for session in page]}
        return json_response(body | ({"nextLink": next_link} if next_link else {}))


class MetadataView(AzureView):
    """What a session offers."""

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Kernels, and what is installed for them."""
        specs = await operations.kernelspecs()
        prefix = settings.WORKBENCH_KERNEL_PREFIX
        environment = await asyncio.to_thread(read_environment, prefix)
        return json_response(metadata_body(environment, specs))


class GetSessionView(AzureView):
    """``/.management/getSession``."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Describe a session."""
        ref = await self.session_ref(request)
        try:
            return json_response(_managed(await operations.find_session(ref)))
        except SessionNotFound:
            raise _unmanaged(ref.identifier) from None


class StopSessionView(AzureView):
    """``/.management/stopSession``."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """End a session."""
        ref = await self.session_ref(request)
        try:
            await operations.close_session(ref)
        except SessionNotFound:
            raise _unmanaged(ref.identifier) from None
        pool = self.kwargs.get("pool", "default")
        text = f"Session {ref.identifier} in session pool {pool} stopped."
        return HttpResponse(text, content_type="text/plain; charset=utf-8")


class ListManagedSessionsView(AzureView):
    """``/.management/listSessions``."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """One page of the caller's sessions."""
        page, next_link = await _page(request)
        value = [_managed(session) for session in page]
        return json_response({"value": value, "count": len(value), "nextLink": next_link})


class HealthView(AzureView):
    """``/health`` and ``/health/startup``: whether code can be run."""

    needs_version = False

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """200 if the kernel host answers, else 500, as the container documents."""
        try:
            await operations.kernelspecs()
        except WorkbenchError as error:
            return json_response({"message": f"unhealthy: {error.message}"}, 500)
        return HttpResponse(b'{"message": "healthy"}', content_type="application/json")


async def _page(request: Request) -> tuple[list[SessionInfo], str | None]:
    """The sessions of a page, and the address of the next; None on the last."""
    skip = skip_of(request)
    sessions = await operations.list_sessions(await owner_of(request._request))
    page = sessions[skip : skip + PAGE_LENGTH]
    if skip + PAGE_LENGTH >= len(sessions):
        return page, None
    query = dict(request.query_params.items()) | {"skip": str(skip + PAGE_LENGTH)}
    return page, request.build_absolute_uri(f"{request.path}?{urlencode(query)}")


def _session(session: SessionInfo) -> dict[str, Any]:
    return {
        "identifier": session.identifier,
        "createdAt": timestamp(session.created_at),
        "lastAccessedAt": timestamp(session.last_active_at),
        "expireAt": _expiry(session),
        "etag": str(session.id),
    }


def _managed(session: SessionInfo) -> dict[str, Any]:
    return {
        "identifier": session.identifier,
        "etag": str(session.id),
        "expiresAt": _expiry(session),
        "createdAt": timestamp(session.created_at),
        "lastAccessedAt": timestamp(session.last_active_at),
    }


def _expiry(session: SessionInfo) -> str | None:
    """When it ends unless it is used; None: never."""
    if session.idle_timeout_seconds is None:
        return None
    return timestamp(session.last_active_at + timedelta(seconds=session.idle_timeout_seconds))


def _unmanaged(identifier: str) -> Exception:
    return no_session(identifier, HTTPStatus.BAD_REQUEST, "SessionWithIdentifierNotFound")
