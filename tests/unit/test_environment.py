"""Settings: what each reader takes, and the sentence for what it does not."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from workbench import settings as workbench_settings
from workbench.environment import READY_FD_VARIABLE, Environment

ROOT = Path(__file__).resolve().parents[2]
NAME = "WORKBENCH_IT"

GPUS_RULE = "be numbers of GPUs with commas between, like 0,1"
LABELS_RULE = "be names and values with commas between, each name once, like zone=a,disk=fast"

Read = Callable[[Environment], Any]


def words(env: Environment) -> list[str]:
    return env.words(NAME, [], separator=",", rule="be words", accepts=str.isalpha)


READERS: dict[str, Read] = {
    "text": lambda env: env.text(NAME, "d"),
    "flag": lambda env: env.flag(NAME, default=True),
    "choice": lambda env: env.choice(NAME, "a", ["a", "b", "c"]),
    "integer": lambda env: env.integer(NAME, 7, least=-1, most=9, unit="seconds"),
    "port": lambda env: env.optional_port(NAME, 80),
    "size": lambda env: env.size(NAME, 5, least=1024),
    "size_limit": lambda env: env.size_limit(NAME, 5, least=1024),
    "count_limit": lambda env: env.count_limit(NAME, 5, least=2, most=9),
    "words": words,
    "gpus": lambda env: env.gpus(NAME),
    "labels": lambda env: env.labels(NAME),
    "directory": lambda env: env.directory(NAME, Path("/d"), must_exist=True),
    "new directory": lambda env: env.directory(NAME, Path("/d"), must_exist=False),
    "database": lambda env: env.database(NAME, "sqlite:////d")["NAME"],
    "redis": lambda env: env.redis(NAME),
}


@pytest.mark.parametrize(
    ("reader", "default"),
    [
        ("text", "d"),
        ("flag", True),
        ("choice", "a"),
        ("integer", 7),
        ("port", 80),
        ("size", 5),
        ("size_limit", 5),
        ("count_limit", 5),
        ("words", []),
        ("gpus", ()),
        ("labels", {}),
        ("directory", Path("/d")),
        ("database", "/d"),
        ("redis", None),
    ],
)
def test_without_the_variable_it_is_the_default(reader, default):
    assert READERS[reader](Environment({})) == default


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        ("text", " some text ", "some text"),
        ("flag", "0", False),
        ("flag", "True", True),
        ("choice", "B", "b"),
        ("integer", "-1", -1),
        ("integer", " 9 ", 9),
        ("port", "65535", 65_535),
        ("port", "", None),
        ("size", "1024", 1024),
        ("size", "1.5 KiB", 1536),
        ("size", "2g", 2 * 1024**3),
        ("size_limit", "512m", 512 * 1024**2),
        ("size_limit", "none", None),
        ("size_limit", "0", None),
        ("count_limit", "2", 2),
        ("count_limit", "None", None),
        ("words", "a, b,,c", ["a", "b", "c"]),
        ("words", "", []),
        ("gpus", "0, 3,1", (0, 3, 1)),
        ("gpus", "0,0", (0,)),
        ("gpus", "", ()),
        ("labels", "zone=a, example.com/disk=fast", {"zone": "a", "example.com/disk": "fast"}),
        ("labels", "", {}),
        ("directory", "/tmp", Path("/tmp")),
        ("new directory", "/tmp/not/there", Path("/tmp/not/there")),
        ("database", "postgres://u:p@h:5432/db", "db"),
        ("redis", "", None),
        ("redis", "redis://h", "redis://h"),
        ("redis", " rediss://u:p@[::1]:6380/15 ", "rediss://u:p@[::1]:6380/15"),
        ("redis", "rediss://h/?ssl_ca_certs=/etc/ca.pem", "rediss://h/?ssl_ca_certs=/etc/ca.pem"),
    ],
)
def test_what_a_reader_takes(reader, text, value):
    assert READERS[reader](Environment({NAME: text})) == value


@pytest.mark.parametrize(
    ("reader", "text", "rule"),
    [
        ("text", "", "not be empty"),
        ("flag", "maybe", "be 1 or 0"),
        ("flag", "", "be 1 or 0"),
        ("choice", "d", "be a, b or c"),
        ("choice", "", "be a, b or c"),
        ("integer", "many", "be a whole number of seconds, -1 to 9"),
        ("integer", "10", "be a whole number of seconds, -1 to 9"),
        ("integer", "-2", "be a whole number of seconds, -1 to 9"),
        ("integer", "1_0", "be a whole number of seconds, -1 to 9"),
        ("integer", "٣", "be a whole number of seconds, -1 to 9"),
        ("integer", "9" * 5000, "be a whole number of seconds, -1 to 9"),
        ("port", "0", "be a whole number, 1 to 65535"),
        ("port", "65536", "be a whole number, 1 to 65535"),
        ("size", "1023", "be a size like 512m or 2g, 1 KiB to 1024 TiB"),
        ("size", "none", "be a size like 512m or 2g, 1 KiB to 1024 TiB"),
        ("size", "0", "be a size like 512m or 2g, 1 KiB to 1024 TiB"),
        ("size", "-1g", "be a size like 512m or 2g, 1 KiB to 1024 TiB"),
        ("size", "9" * 400 + "t", "be a size like 512m or 2g, 1 KiB to 1024 TiB"),
        ("size_limit", "2 zebras", "be a size like 512m or 2g, 1 KiB to 1024 TiB, or none"),
        ("size_limit", "2000t", "be a size like 512m or 2g, 1 KiB to 1024 TiB, or none"),
        ("count_limit", "1", "be a whole number, 2 to 9, or none"),
        ("count_limit", "10", "be a whole number, 2 to 9, or none"),
        ("count_limit", "9" * 5000, "be a whole number, 2 to 9, or none"),
        ("words", "a,1", "be words"),
        ("gpus", "all", GPUS_RULE),
        ("gpus", "-1", GPUS_RULE),
        ("gpus", "0 1", GPUS_RULE),
        ("labels", "zone", LABELS_RULE),
        ("labels", "zone=", LABELS_RULE),
        ("labels", "zone=a b", LABELS_RULE),
        ("labels", "zone=a,zone=b", LABELS_RULE),
        ("directory", "/not/there", "name a directory that exists"),
        ("directory", "", "name a directory that exists"),
        ("new directory", __file__, "name a directory"),
        ("new directory", "/" + "d" * 300, "name a directory"),
    ],
)
def test_a_refusal_names_the_variable_the_value_and_what_is_allowed(reader, text, rule):
    with pytest.raises(ImproperlyConfigured) as refusal:
        READERS[reader](Environment({NAME: text}))

    assert str(refusal.value) == f"{NAME} is {text!r}; it must {rule}."


@pytest.mark.parametrize(
    "url", ["", "garbage", "nothing://there/", "postgres://u:geh@eim@host:port/db"]
)
def test_a_database_is_refused_without_its_password(url):
    with pytest.raises(ImproperlyConfigured, match=rf"^{NAME} is .*; it must be a database") as no:
        READERS["database"](Environment({NAME: url}))

    assert "geh" not in str(no.value)
    assert "eim" not in str(no.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("garbage", "…"),
        (":geheim@h:6379", "…"),
        ("http://:geheim@h", "http://…"),
        ("redis://", "redis://…"),
        ("redis://:geheim:6379", "redis://…"),
        ("redis://:geheim@h:port", "redis://…"),
        ("redis://:geheim@h:0", "redis://…"),
        ("redis://:geheim@h:65536", "redis://…"),
        ("redis://:geheim@[h/0", "redis://…"),
        ("redis://:geheim@h/name", "redis://…"),
        ("redis://h?password=geheim", "redis://…"),
        ("redis://:geheim@h?ssl_ca_certs=/etc/ca.pem", "redis://…"),
        ("rediss://:geheim@h?socket_tiemout=1", "rediss://…"),
        ("rediss://:geheim@h?nonsense", "rediss://…"),
        ("redis://:ge#heim@h", "redis://…"),
    ],
)
def test_a_redis_is_refused_without_its_password(url, told):
    with pytest.raises(ImproperlyConfigured) as refusal:
        READERS["redis"](Environment({NAME: url}))

    rule = "be a Redis server's URL, like redis://:password@host:6379/0 or rediss://host"
    assert str(refusal.value) == f"{NAME} is {told!r}; it must {rule}."


def test_a_variable_that_is_no_setting_is_named_with_the_nearest(caplog):
    env = Environment({"WORKBENCH_PROT": "1", "WORKBENCH_PORT": "1", "PORT": "1"})
    env.text("WORKBENCH_PORT", "")
    env.text("WORKBENCH_HOST", "")

    with caplog.at_level(logging.WARNING):
        env.warn_of_unknown()

    assert [record.getMessage() for record in caplog.records] == [
        "There is no setting WORKBENCH_PROT; the nearest is WORKBENCH_PORT."
    ]


def test_a_supervisors_children_do_not_say_it_again(caplog):
    env = Environment({"WORKBENCH_PROT": "1", READY_FD_VARIABLE: "5"})
    env.text("WORKBENCH_PORT", "")

    env.warn_of_unknown()

    assert not caplog.records


def test_the_settings_are_those_that_the_documentation_lists():
    text = (ROOT / "docs/settings.md").read_text()

    documented = re.findall(r"^\| `(WORKBENCH_\w+)` \|", text, re.MULTILINE)

    assert sorted(documented) == sorted(workbench_settings.env.known)
