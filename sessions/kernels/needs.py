"""What a session needs of its machine besides a place: GPUs of its own, and labels.

Pure: the same sentences on a single machine and in a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sessions.exceptions import InvalidValue

MAX_GPUS = 64
MAX_LABELS = 16
LABEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}"
LABEL_VALUE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
# Kinds of machines that a refusal names.
_KINDS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a session needs of its machine."""

    # To have to itself.
    gpus: int = 0
    # The machine must have all of them, each with that value.
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Needs:
        """Those in what a session asks for: "gpus" and "labels", both optional.

        Raises InvalidValue.
        """
        return cls(gpus=_gpus(asked.get("gpus")), labels=_labels(asked.get("labels")))

    def are_met_by(self, gpus: int, labels: Mapping[str, str]) -> bool:
        """Whether a machine with so many GPUs and such labels will do."""
        fits = all(labels.get(name) == value for name, value in self.labels.items())
        return gpus >= self.gpus and fits

    def to_wire(self) -> dict[str, Any]:
        """The needs as plain data."""
        return {"gpus": self.gpus, "labels": dict(self.labels)}


def gpus_text(count: int) -> str:
    """So many for people: "1 GPU", "2 GPUs"."""
    return f"{count} GPU{'s' * (count != 1)}"


def nobody_has(needs: Needs, machines: Iterable[tuple[int, Mapping[str, str]]]) -> InvalidValue:
    """The refusal where no machine has what a session needs, each given by its GPUs and labels.

    No limit that is reached: waiting does not help.
    """
    kinds = list(dict.fromkeys(_text(gpus, labels) for gpus, labels in machines))
    there = "; ".join([*kinds[:_KINDS_SHOWN], *(["…"] if len(kinds) > _KINDS_SHOWN else [])])
    return InvalidValue(
        f"No machine here has what this session needs: {_text(needs.gpus, needs.labels)}. "
        f"What there is: {there}. The operator sets it with WORKBENCH_GPUS and WORKBENCH_LABELS."
    )


def is_label(text: str) -> bool:
    """Whether ``text`` is a label as it is written: name=value."""
    return re.fullmatch(f"{LABEL_NAME}={LABEL_VALUE}", text) is not None


def _text(gpus: int, labels: Mapping[str, str]) -> str:
    named = [f"{name}={value}" for name, value in sorted(labels.items())]
    return ", ".join([*([gpus_text(gpus)] if gpus else []), *named]) or "no GPU and no label"


def _gpus(asked: object) -> int:
    if asked is None:
        return 0
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 <= asked <= MAX_GPUS:
        raise InvalidValue(f"The GPUs of a session are a whole number, 0 to {MAX_GPUS}.")
    return asked


def _labels(asked: object) -> dict[str, str]:
    if asked is None:
        return {}
    if not isinstance(asked, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) and is_label(f"{name}={value}")
        for name, value in asked.items()
    ):
        raise InvalidValue(
            "The labels of a session are an object of names and values, such as "
            '{"zone": "a"}: letters, digits, dots, dashes and underscores, in names slashes too.'
        )
    if len(asked) > MAX_LABELS:
        raise InvalidValue(f"A session can ask for at most {MAX_LABELS} labels.")
    return dict(asked)
