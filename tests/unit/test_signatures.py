"""Backend.AI's signatures, against values that its own client makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workbench.access import signatures
from workbench.access.signatures import BadSignature, Credential, Signed

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # the documentation's example
DATE = "2020-01-15T01:02:03.456789+00:00"
NOW = datetime(2020, 1, 15, 1, 2, 3, tzinfo=UTC)
IMPOSSIBLE = [
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "Mon, 1 Jan 99999999999 00:00:00 GMT",
    "Mon, 1 Jan 2020 00:00:00 +999999999",
]
KNOWN = [
    (
        "GET",
        "/session/mysess-01/files",
        "application/json",
        "4d30b20432bb023978959fed89ac3e387a702429392ffa942409b97819f97070",
    ),
    (
        "POST",
        "/session/mysess-01/upload",
        "multipart/form-data",
        "b922e84b06dc12c8a530e26a1ccf672238cd62794e9825ed22b45727581bbd39",
    ),
    (
        "GET",
        "/stream/session/mysess-01/execute",
        "application/octet-stream",
        "55e475bfef37f79e2912548cd8fbc18bb136511f710578025880f914ea5bc96c",
    ),
    (
        "DELETE",
        "/session/mysess-01?forced=true",
        "text/plain",
        "84cea1b4832802fe005e8c0ec3f3081ca89ffe12de3d856481fbc03911bd9de6",
    ),
]


def signed(
    method: str = "GET", path: str = "/", content_type: str = "a/b", date: str = DATE
) -> Signed:
    return Signed(
        method=method,
        path=path,
        date=date,
        host="127.0.0.1:8081",
        content_type=content_type,
        version="v5.20191215",
    )


@pytest.mark.parametrize(("method", "path", "content_type", "signature"), KNOWN)
def test_a_signature_is_the_clients(method, path, content_type, signature):
    request = signed(method, path, content_type)
    credential = Credential(hash_name="sha256", key_id="K", signature=signature)

    signatures.check(request, credential, SECRET, now=NOW)
    with pytest.raises(BadSignature):
        signatures.check(request, credential, SECRET + "x", now=NOW)
    with pytest.raises(BadSignature):
        signatures.check(signed(method, path + "x", content_type), credential, SECRET, now=NOW)


@pytest.mark.parametrize("minutes", [-16, 15, 16])
def test_a_date_that_is_off_proves_nothing(minutes):
    request = signed()
    credential = Credential(
        hash_name="sha256", key_id="K", signature=signatures.sign(request, SECRET)
    )

    now = signatures.parse_date(DATE) + timedelta(minutes=minutes)
    with pytest.raises(BadSignature, match="15 minutes"):
        signatures.check(request, credential, SECRET, now=now)


@pytest.mark.parametrize(
    "date",
    [
        "20200115T010203Z",
        "2020-01-15T01:02:03",
        "Wed, 15 Jan 2020 01:02:03 GMT",
        "2020-01-15 02:02:03+01:00",
    ],
)
def test_dates_are_read_in_the_formats_of_clients(date):
    assert signatures.parse_date(date) == NOW


@pytest.mark.parametrize("date", ["", "today", "99999999999", "2020-01-15T", "\ud800", *IMPOSSIBLE])
def test_other_dates_are_refused(date):
    with pytest.raises(BadSignature):
        signatures.check(
            signed(date=date),
            Credential(hash_name="sha256", key_id="K", signature="0"),
            SECRET,
            now=NOW,
        )


@pytest.mark.parametrize(
    "header",
    [
        "BackendAI",
        "BackendAI signMethod=HMAC-MD5, credential=K:00",
        "BackendAI signMethod=HMAC-SHA256, credential=K",
        "BackendAI signMethod=HMAC-SHA256, credential=K:zz",
        "BackendAI signMethod=HMAC-SHA256, credential=K:00, credential=L:00",
    ],
)
def test_headers_that_are_malformed(header):
    with pytest.raises(BadSignature):
        signatures.parse(header)
