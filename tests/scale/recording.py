"""A process that records executions as a host does, as fast as it can: URL, seconds, how many at once.

Prints executions, transactions and seconds of CPU. Makes its own session, in a database that has
the tables.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from uuid import uuid4


def main(seconds: float, at_once: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
    import django

    django.setup()
    print(json.dumps(asyncio.run(_record(seconds, at_once))))


async def _record(seconds: float, at_once: int) -> dict[str, float]:
    from sessions.kernels.records import AuditRecord, ExecutionRecord, SessionRecord, now
    from sessions.recorder import DatabaseRecorder
    from sessions.states import EventType, ExecutionState, SessionState

    transactions = 0

    def tell(numbers: dict[str, int]) -> None:
        nonlocal transactions
        transactions += 1

    recorder = DatabaseRecorder(tell)
    name = f"scale-{uuid4()}"
    await recorder.start(name)

    async def one(number: int) -> int:
        session = SessionRecord(
            identifier=f"{name}-{number}", owner_id=None, kernel_name="python3", origin="api",
            host=name, idle_timeout_seconds=None, state=SessionState.IDLE,
        )  # fmt: skip
        await recorder.create_session(session)
        done = 0
        while time.monotonic() < end:
            # As many rows as a short execution makes, in one transaction as there.
            execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="api")
            execution.state, execution.execution_count = ExecutionState.SUCCEEDED, done
            execution.started_at = execution.finished_at = now()
            recorder.changed(execution)
            for type_, data in EVENTS:
                recorder.append(session, EventType(type_), dict(data), execution.id)
            recorder.audit(AuditRecord.of_execution(session, execution))
            await recorder.commit()
            done += 1
        session.state, session.ended_at = SessionState.CLOSED, now()
        recorder.changed(session)
        return done

    cpu = _cpu()
    end = time.monotonic() + seconds
    done = await asyncio.gather(*(one(number) for number in range(at_once)))
    cpu = _cpu() - cpu
    await recorder.stop()
    return {"executions": sum(done), "transactions": transactions, "cpu": cpu, "seconds": seconds}


# What print('hi') leads to.
EVENTS = (
    ("execution_queued", {"code": "print('hi')", "kind": "code", "origin": "api"}),
    ("execution_started", {"execution_count": 1}),
    ("stream", {"name": "stdout", "text": "hi\n"}),
    ("execution_finished", {"state": "succeeded", "reason": "", "duration_seconds": 0.004}),
)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
