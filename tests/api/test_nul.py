"""NUL, which is text to Python and to SQLite, and none to PostgreSQL: never a fault of the server's."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.api.sockets import APPLICATION, Socket

pytestmark = pytest.mark.django_db(transaction=True)
# A quoted cookie may have any character.
COOKIE = f'{settings.SESSION_COOKIE_NAME}="abcdefgh\\000"'


@pytest.mark.parametrize("path", ["/workbench/a%00b/", "/api/v1/sessions/a%00b", "/session/a%00b"])
async def test_no_session_has_such_a_name(api, path):
    assert (await api.get(path)).status_code in (400, 404)


@pytest.mark.parametrize("path", ["/login/", "/workbench/", "/admin/", "/api/v1/sessions"])
async def test_no_login_has_such_a_key(api, closed, path):
    answer = await api.get(path, headers={"Cookie": COOKIE, "Accept": "text/html"})

    assert answer.status_code in (200, 302, 401)


async def test_no_login_has_such_a_key_at_a_socket(closed):
    socket = Socket(APPLICATION, "/ws/sessions/", headers=[(b"cookie", COOKIE.encode())])
    await socket.connect()

    assert (await socket.receive_output())["code"] == 4401


@pytest.mark.parametrize("query", ["q=%00", "state=%00", "owner__id__exact=%00", "o=%00", "p=%00"])
async def test_lists_of_the_admin_take_it_for_nothing(api, admin_user, query):
    await api.aforce_login(admin_user)
    api.raise_request_exception = False  # it is answered, and the client would raise it again
    for name in ("session", "execution", "event", "auditentry"):
        answer = await api.get(f"/admin/workbench_sessions/{name}/?{query}")

        assert answer.status_code in (200, 302, 400), name
