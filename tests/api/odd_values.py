"""Values of any kind, as JSON, as text, and as the parts of a multipart body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

# With NUL, and with the halves of surrogate pairs that text of Python can hold.
TEXTS = st.text(st.characters(), max_size=12)
PATHS_OUT = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "/mnt/data/../../x",
    "%2e%2e",
    "*",
    "_",
    "create",
]
ODD_TEXTS = st.sampled_from(
    [
        *PATHS_OUT,
        "a\0b",
        "a\nb",
        "\ud800",
        "\u202e",
        "-1",
        "NaN",
        "é" * 200,
        "9" * 400,
        "x" * 70_000,
    ]
)
NUMBERS = ["0", "-0", "-1", "1.5", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-Infinity"]
NUMBERS += ["1" + "0" * 400, "9" * 5000, str(2**31), str(2**63), str(2**64), "1" + "0" * 18]
# So deep that reading fails, that writing does, that somebody on the way does.
DEPTHS = [300, 490, 520, 800, 960, 990, 100_000]

Json = st.SearchStrategy[str]


def as_json(value: Any) -> str:
    return json.dumps(value)


def _object(items: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{as_json(name)}:{value}" for name, value in items) + "}"


def _nested(depth: int) -> Json:
    return st.sampled_from(
        ["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth]
    )


LEAVES = st.sampled_from(["null", "true", "false", *NUMBERS]) | (TEXTS | ODD_TEXTS).map(as_json)
# JSON as text: what Python's own values cannot spell, such as a name that is there twice.
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(TEXTS, inner), max_size=3).map(_object)
    ),
    max_leaves=5,
) | st.sampled_from(DEPTHS).flatmap(_nested)


BOOLEANS = st.sampled_from(["true", "false"])


def usual(*values: Any) -> Json:
    """One of some values that a field may have, or that somebody might try."""
    return st.sampled_from([as_json(value) for value in values])


def objects(fields: dict[str, Json]) -> Json:
    """Objects of some of these fields."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda items: _object(items.items()))


def odd_objects(fields: dict[str, Json]) -> Json:
    """The same with something wrong: a value of another type, a field twice, one too many."""
    wrong = st.tuples(st.sampled_from(list(fields)) | TEXTS, JSON)
    return st.builds(
        lambda items, more: _object([*items.items(), *more]),
        st.fixed_dictionaries({}, optional=fields),
        st.lists(wrong, min_size=1, max_size=2),
    )


# --- Bodies ------------------------------------------------------------------------------------

PLAIN_NAMES = [b"a", b"a", b"a/b", b"a\tb", b" ", b"%ff", b"%2e%2e%2fx", b"a%00b", b"C:\\x\\y"]
FILE_NAMES = st.sampled_from(
    [*PLAIN_NAMES, b"", b".", b"..", b"../x", b"/etc/x", b"a\0b", b'a\\"b', b"n" * 300, b"x" * 5000]
) | st.sampled_from([b"\xff", b"\xed\xa0\x80"])
# Python knows charsets that are no text as well.
CHARSETS = [
    b"utf-8",
    b"utf-16",
    b"hex",
    b"idna",
    b"undefined",
    b"punycode",
    b"rot13",
    b"no",
    b"\xff",
]
# A parameter with a charset of its own, as RFC 2231 has it.
EXTENDED = st.builds(
    lambda charset, value: b"*=%s''%s" % (charset, value),
    st.sampled_from(CHARSETS),
    st.sampled_from([b"a%41", b"%ff", b"", b"%"]),
)
DISPOSITIONS = st.one_of(
    FILE_NAMES.map(lambda name: b'form-data; name="file"; filename="%s"' % name),
    FILE_NAMES.map(lambda name: b'form-data; name="file"; filename="%s"' % name),
    FILE_NAMES.map(lambda name: b'form-data; name="%s"' % name),
    EXTENDED.map(lambda value: b'form-data; name="file"; filename' + value),
    st.sampled_from(
        [b"", b"form-data; filename=a", b'attachment; filename="a"', b"a;b=c;;", b"a*"]
    ),
)
PART_HEADERS = st.one_of(
    st.just(b""),
    st.sampled_from([b"Content-Transfer-Encoding: base64", b"Content-Type: text/plain"]),
    st.sampled_from([b"Content-Length: x", b"no colon", b"\xff: \xff", b"Content-Encoding: gzip"]),
    EXTENDED.map(lambda value: b"Content-Type: text/plain; charset" + value),
)
PARTS = st.builds(
    lambda disposition, header, content: b"\r\n".join(
        [b"Content-Disposition: " + disposition, *([header] if header else []), b"", content, b""]
    ),
    DISPOSITIONS,
    PART_HEADERS,
    st.binary(max_size=20),
)
# Several limits are of the number of parts.
MANY_PARTS = st.lists(PARTS, min_size=1, max_size=4) | st.builds(
    lambda part, count: [part] * count, PARTS, st.sampled_from([0, 21, 101, 1001])
)
ENDS = st.sampled_from([b"--b--\r\n", b"--b--\r\n", b"--b--\r\n", b"--b--", b"", b"--b\r\n"])
MULTIPARTS = st.builds(
    lambda parts, end: b"".join(b"--b\r\n" + part for part in parts) + end, MANY_PARTS, ENDS
)

# --- Labels ------------------------------------------------------------------------------------

JSON_LABEL = b"application/json"
MULTIPART_LABEL = b"multipart/form-data; boundary=b"
TYPES = [
    JSON_LABEL,
    b"application/x-www-form-urlencoded",
    b"multipart/form-data",
    b"\xff/\xfe",
    b";",
]
LABELS = st.one_of(
    st.sampled_from([b"", b"text/plain", *TYPES]),
    st.builds(
        lambda kind, charset: b"%s; charset=%s" % (kind, charset),
        st.sampled_from(TYPES),
        st.sampled_from(CHARSETS),
    ),
    st.builds(lambda kind, value: b"%s; a%s" % (kind, value), st.sampled_from(TYPES), EXTENDED),
    st.sampled_from([b"", b"\xe9", b"b" * 300]).map(
        lambda b: b"multipart/form-data; boundary=" + b
    ),
)
MULTIPART_LABELS = st.one_of(
    st.just(MULTIPART_LABEL),
    st.sampled_from(CHARSETS).map(lambda charset: MULTIPART_LABEL + b"; charset=" + charset),
    EXTENDED.map(lambda value: b"multipart/form-data; boundary" + value),
    st.sampled_from([b"multipart/mixed; boundary=b", b"text/plain", b""]),
)
