"""Where a verb goes when there are several hosts: to a session's own, to any, or to all of them.

Pure: no I/O, no cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from sessions.exceptions import InvalidValue
from sessions.kernels.needs import Needs
from sessions.topics import announced_session

# Verbs that are everybody's, and how the hosts' answers make one.
TO_ALL: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
# Verbs that each host answers alike.
TO_ANY = frozenset({"kernelspecs", "usage"})
# Verbs that open their session if there is none and they are asked to.
OPENING = frozenset({"submit", "run"})


@dataclass(frozen=True)
class Target:
    """A session as a call names it."""

    # None: whosever it is.
    owner_id: int | None = None
    # Empty: by its id alone.
    identifier: str = ""
    session_id: UUID | None = None


def target_of(arguments: Mapping[str, Any]) -> Target:
    """The session that a call is about. Raises InvalidValue if it names none."""
    if "session_id" in arguments:
        return Target(session_id=_uuid(arguments["session_id"]))
    if "topic" in arguments:
        return Target(session_id=announced_session(arguments["topic"]))
    return Target(arguments["owner_id"], arguments["identifier"])


def may_open(verb: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call opens its session if there is none."""
    return verb == "open_session" or (verb in OPENING and bool(arguments.get("create")))


def needs_of(arguments: Mapping[str, Any]) -> Needs:
    """What a call wants of the host that it opens its session on. Raises InvalidValue."""
    return Needs.of(arguments.get("policy") or {})


def _joined(key: str) -> Callable[[Mapping[str, Any]], Any]:
    def join(answers: Mapping[str, Any]) -> dict[str, Any]:
        return {key: [each for answer in answers.values() for each in answer[key]]}

    return join


def _health(answers: Mapping[str, Any]) -> dict[str, Any]:
    hosts = sorted(host for answer in answers.values() for host in answer["hosts"])
    return {
        "hosts": hosts,
        "sessions": sum(answer["sessions"] for answer in answers.values()),
        "started_at": min(answer["started_at"] for answer in answers.values()),
    }


def _sessions(answers: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    sessions = [each for answer in answers.values() for each in answer]
    return sorted(sessions, key=lambda each: str(each["created_at"]))


def _by_session(answers: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {id_: about for answer in answers.values() for id_, about in answer.items()}


class _Together(Collector):
    """The metrics of several hosts, each sample with the name of its host."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for host, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families(text):
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {"host": host, **sample.labels}
                    whole.add_sample(sample.name, labels, sample.value)
        return families.values()


def _metrics(answers: Mapping[str, str]) -> str:
    registry = CollectorRegistry()
    registry.register(_Together(answers))
    return generate_latest(registry).decode()


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidValue(f"{text[:50]!r} is not a UUID.") from None


TO_ALL |= {
    "health": _health,
    "list_resources": _by_session,
    "list_sessions": _sessions,
    "metrics": _metrics,
    "survey": _joined("hosts"),
}
