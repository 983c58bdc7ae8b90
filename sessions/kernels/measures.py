"""What a host counts and measures, as Prometheus reads it. docs/operations.md lists it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sessions.kernels.quotas import NAMES
from sessions.kernels.records import ExecutionRecord
from sessions.states import (
    LIVE_SESSION_STATES,
    UNFINISHED_EXECUTION_STATES,
    EventType,
    ExecutionState,
)

# When a series began says nothing that its process's start does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From what a waiting kernel takes to what a full machine takes for one.
START_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# From a line of code to an hour of it.
RUN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
# How a kernel comes to be.
WAYS = ("warm", "forked", "started")


@dataclass(frozen=True, kw_only=True)
class Present:
    """How things are with a host now."""

    sessions: Mapping[str, int]  # by state
    running: int  # executions
    waiting: int
    warm_kernels: int
    gpus: int
    free_gpus: int
    memory_bytes: int  # of all sessions, when they were last looked at
    processes: int
    unwritten_characters: int
    is_flow_open: bool
    flow_closures: int  # since the host's start
    written: Mapping[str, int]  # events since then, by type


class HostMetrics:
    """Counts from the host's start to its end; ``exposition`` tells."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._now = _PresentCollector()
        self._registry.register(self._now)
        ProcessCollector(namespace="workbench_host", registry=self._registry)
        self._starts = Histogram(
            "workbench_kernel_start_seconds",
            "Time from asking for a kernel until it can run code.",
            ["way"],
            buckets=START_BUCKETS,
            registry=self._registry,
        )
        self._ended = Counter(
            "workbench_executions",
            "Executions that have ended, by how.",
            ["state"],
            registry=self._registry,
        )
        self._waits = Histogram(
            "workbench_execution_wait_seconds",
            "Time executions waited before they ran.",
            buckets=RUN_BUCKETS,
            registry=self._registry,
        )
        self._runs = Histogram(
            "workbench_execution_seconds",
            "Time executions ran.",
            buckets=RUN_BUCKETS,
            registry=self._registry,
        )
        self._quotas = Counter(
            "workbench_quotas_reached",
            "How often an owner's quota refused or interrupted something.",
            ["quota"],
            registry=self._registry,
        )
        # A rate is known from the first event on only if there was a zero before it.
        for way in WAYS:
            self._starts.labels(way)
        for state in sorted(set(ExecutionState) - UNFINISHED_EXECUTION_STATES):
            self._ended.labels(state)
        for name in NAMES:
            self._quotas.labels(name)

    def kernel_started(self, way: str, seconds: float) -> None:
        """A kernel is ready; ``way`` is one of WAYS."""
        self._starts.labels(way).observe(seconds)

    def execution_ended(self, record: ExecutionRecord) -> None:
        """An execution has ended, whether it ran or not."""
        self._ended.labels(record.state).inc()
        if record.started_at is not None:
            self._waits.observe((record.started_at - record.queued_at).total_seconds())
            self._runs.observe(record.duration_seconds or 0.0)

    def quota_reached(self, name: str) -> None:
        """A quota has refused or interrupted something; ``name`` is one of quotas.NAMES."""
        self._quotas.labels(name).inc()

    def exposition(self, present: Present) -> str:
        """All of it, in Prometheus's text format."""
        self._now.present = present
        return generate_latest(self._registry).decode()


class _PresentCollector(Collector):
    # None before the first question.
    present: Present | None = None

    def collect(self) -> Iterator[Metric]:
        now = self.present
        if now is None:
            return
        states = {str(state): 0 for state in sorted(LIVE_SESSION_STATES)} | dict(now.sessions)
        yield _gauges("workbench_sessions", "Live sessions.", "state", states)
        yield _gauge("workbench_executions_running", "Executions that run.", now.running)
        yield _gauge("workbench_executions_waiting", "Executions that wait.", now.waiting)
        yield _gauge("workbench_warm_kernels", "Kernels that wait for a session.", now.warm_kernels)
        yield _gauge("workbench_gpus", "GPUs that sessions may have.", now.gpus)
        yield _gauge("workbench_gpus_in_use", "GPUs that sessions have.", now.gpus - now.free_gpus)
        yield _gauge(
            "workbench_sessions_memory_bytes",
            "Memory of all processes of all sessions; what they share counts once.",
            now.memory_bytes,
        )
        yield _gauge("workbench_sessions_processes", "Processes of all sessions.", now.processes)
        yield _gauge(
            "workbench_events_waiting_characters",
            "Characters of events that wait to be written.",
            now.unwritten_characters,
        )
        yield _gauge(
            "workbench_flow_closed",
            "1 while kernels have to wait, because too much waits to be written.",
            not now.is_flow_open,
        )
        yield _counter(
            "workbench_flow_closures", "How often kernels had to wait for that.", now.flow_closures
        )
        events = CounterMetricFamily(
            "workbench_events_written", "Events that are in the database.", labels=["type"]
        )
        for type_ in EventType:
            events.add_metric([type_], now.written.get(type_, 0))
        yield events


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
