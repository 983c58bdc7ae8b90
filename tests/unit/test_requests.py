"""When an execution at a kernel has finished: two signs, of which a kernel may lose one."""

from __future__ import annotations

import asyncio

import pytest

from sessions.kernels import kernel
from sessions.kernels.flow import Flow
from sessions.kernels.kernel import Request

WAIT_SECONDS = 30.0
REPLY = {"status": "ok"}


@pytest.fixture
async def request_() -> Request:
    return Request("id", Flow(), allow_input=False)


@pytest.mark.parametrize("first", ["reply", "idle"])
async def test_both_signs_finish_it_in_either_order(request_: Request, first: str) -> None:
    signs = {"reply": lambda: request_.reply.set_result(REPLY)}
    signs["idle"] = lambda: request_.idle.set_result(None)
    signs.pop(first)()
    await asyncio.sleep(0)
    assert not request_.finished.done()

    (other,) = signs.values()
    other()
    async with asyncio.timeout(WAIT_SECONDS):
        assert await request_.finished == REPLY


async def test_a_reply_alone_counts_after_a_while(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "STRAGGLER_SECONDS", 0.01)
    request_.reply.set_result(REPLY)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await request_.finished == REPLY


async def test_without_a_reply_it_is_lost_after_a_while(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "STRAGGLER_SECONDS", 0.01)
    request_.idle.set_result(None)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await request_.finished == {"status": "lost"}
    assert request_.reply.cancelled()


async def test_a_dead_kernel_finishes_nothing(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "STRAGGLER_SECONDS", 0)
    request_.reply.cancel()
    for _ in range(5):
        await asyncio.sleep(0)

    assert not request_.finished.done()
