"""Requests with something odd in them, at any address of a contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

from tests.api.doors import Question, Route
from tests.api.odd_values import (
    JSON,
    JSON_LABEL,
    LABELS,
    MULTIPART_LABEL,
    MULTIPART_LABELS,
    MULTIPARTS,
    ODD_TEXTS,
    PARTS,
    TEXTS,
    objects,
    odd_objects,
)
from tests.api.vocabularies import NAME, Face

WHAT_IS_ODD = ["method", "path", "query", "headers", "body"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "Odd"]

# --- Bodies ------------------------------------------------------------------------------------

Labelled = st.SearchStrategy[tuple[bytes, bytes]]  # a label and its body


def _usual_bodies(face: Face) -> Labelled:
    wanted = st.one_of(*(objects(fields) for fields in face.bodies)).map(str.encode)
    upload = PARTS.map(lambda part: b"--b\r\n" + part + b"--b--\r\n")
    in_json = st.tuples(st.just(JSON_LABEL), wanted)
    return st.one_of(in_json, in_json, st.tuples(st.just(MULTIPART_LABEL), upload))


def _odd_bodies(face: Face) -> Labelled:
    wanted = st.one_of(*(odd_objects(fields) for fields in face.bodies)).map(str.encode)
    odd = st.one_of(
        JSON.map(str.encode),
        # Not UTF-8, where it has half of a surrogate pair.
        TEXTS.map(lambda text: f'{{"code":"{text}"}}'.encode("utf-8", "surrogatepass")),
        st.binary(max_size=30),
        st.sampled_from([b"", b" ", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"a=1&b=%ff&c"]),
        MULTIPARTS,
    )
    in_json = st.tuples(st.just(JSON_LABEL), wanted)
    labelled = st.tuples(LABELS, odd | wanted)
    return st.one_of(in_json, in_json, labelled, st.tuples(MULTIPART_LABELS, MULTIPARTS))


# --- Requests ----------------------------------------------------------------------------------

ODD_SEGMENTS = st.one_of(
    st.builds(
        quote_from_bytes,
        (TEXTS | ODD_TEXTS).map(lambda text: text.encode("utf-8", "surrogatepass"))
        | st.binary(max_size=8),
        st.sampled_from(["/", ""]),
    ),
    st.sampled_from(
        ["%", "%zz", "%2", "..", ".", "%00", "%2F", "%252e%252e", "upload", "a;b", "+"]
    ),
)
# What follows "files/", or an execution's id.
RESTS = st.sampled_from(["a", "d", "a/content", "content/a", "upload", "one"])
TAILS = st.sampled_from(["", "", "", "/", "//", "/x", "%0a", "%00", "content", "\\", ";a"])
ODD_HEADERS = st.sampled_from(
    [
        (b"accept", b"text/html"),
        (b"cookie", b"sessionid=\xff; csrftoken=a\0b; ;="),
        (b"host", b"evil.example"),
        (b"host", b"localhost:x"),
        (b"host", b""),
        (b"origin", b"null"),
        (b"origin", b"http://[bad"),
        (b"sec-fetch-site", b"cross-site"),
        (b"range", b"bytes=0-0"),
        (b"range", b"bytes=9-"),
        (b"if-modified-since", b"never"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-host", b"\xff"),
        (b"authorization", b"Bearer \xff"),
        (b"accept-encoding", b"gzip;q=x"),
    ]
)


def questions(face: Face, chosen: list[Route]) -> st.SearchStrategy[Question]:
    """Requests at these routes: each with something odd, and the rest as it should be.

    One wrong thing hides all others: what is refused at the door never meets what is behind it.
    """
    own = [(name, value) for name, values in face.headers.items() for value in values]
    own_headers: st.SearchStrategy[tuple[bytes, bytes]] = (
        st.sampled_from(own) if own else st.nothing()
    )
    headers = {
        False: st.lists(own_headers, max_size=1) if own else st.just([]),
        True: st.lists(own_headers | ODD_HEADERS, max_size=2),
    }
    bodies = {False: _usual_bodies(face), True: _odd_bodies(face)}
    odd_queries = _odd_queries(face)

    @st.composite
    def question(draw: Any) -> Question:
        odd = draw(st.sets(st.sampled_from(WHAT_IS_ODD), max_size=2))
        route = draw(st.sampled_from(chosen))
        method = draw(st.sampled_from(METHODS if "method" in odd else route.methods))
        path = draw(_odd_paths(route) if "path" in odd else _usual_paths(route))
        query = draw(odd_queries if "query" in odd else _usual_queries(face, route))
        label, body = draw(bodies["body" in odd])
        labels = [(b"content-type", label)] if label else []
        others = draw(headers["headers" in odd])
        return Question(method, f"/{path}?{query}", (*labels, *others), body)

    return question()


def _usual_paths(route: Route) -> st.SearchStrategy[str]:
    usual = {
        part: RESTS if part in ("rest", "execution_id") else st.just(NAME) for part in route.parts
    }
    return st.fixed_dictionaries(usual).map(lambda parts: route.template % parts)


def _odd_paths(route: Route) -> st.SearchStrategy[str]:
    odd = st.fixed_dictionaries(dict.fromkeys(route.parts, ODD_SEGMENTS))
    return st.builds(lambda parts, tail: route.template % parts + tail, odd, TAILS)


def _usual_queries(face: Face, route: Route) -> st.SearchStrategy[str]:
    known = getattr(getattr(route.view, "view_class", None), "parameters", face.query)
    found = {name: st.sampled_from(face.query[name]) for name in face.query if name in known}
    return st.fixed_dictionaries({}, optional=found).map(lambda items: _query(items.items()))


def _odd_queries(face: Face) -> st.SearchStrategy[str]:
    names = st.sampled_from([*face.query, "a"])
    return st.one_of(
        st.lists(st.tuples(names, TEXTS | ODD_TEXTS), max_size=4).map(_query),
        st.just(_query([(name, values[0]) for name, values in face.query.items()] * 2)),
        st.sampled_from(["", "?", "%ff=%ff&&=", "a&" * 1001, "a=" + "%00" * 4000]),
    )


def _query(items: Iterable[tuple[str, str]]) -> str:
    return "&".join(
        "=".join(quote_from_bytes(text.encode("utf-8", "surrogatepass")) for text in item)
        for item in items
    )
