"""The cluster as one process sees it: which hosts there are, and which are gone.

Ray knows the nodes, where their actors live, and when one has died. This looks once a second, in
a thread of its own, and sees to it that each node that offers slots has its host, that what is
known of free slots is new, and that hosts which do not come back are given up. Any number of
processes do so at once: actors are named, so that only one is made, and giving up happens once.

While Ray's head is away, the hosts that are known are asked as ever, for calls go to them without
it. When another head is there instead, this process joins its cluster.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import ray
from django.conf import settings
from django.db import connection
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sessions import hosts, models
from sessions.database import AWAY
from sessions.engines.process import end_at_once
from sessions.engines.ray_membership import NAMESPACE, Forgotten, HeadAway, join, leave, nodes
from sessions.exceptions import HostUnavailable
from sessions.kernels.needs import Needs
from sessions.kernels.trace import NOBODY
from sessions.states import HostState

SLOTS = "kernel_slots"  # the custom resource of nodes that offer kernels
LOOK_SECONDS = 1.0
OFFER_SECONDS = 2.0  # for hosts to say what they have; who takes longer is silent
# With a host that lives for Ray, but says nothing: then nobody waits for it any more.
PATIENCE_SECONDS = 10.0
FIRST_LOOK_SECONDS = 20.0  # for whoever asks before the first look
# For a host whose node died to come back, before it is given up.
GRACE_SECONDS = 4.0
# The same for one whose node lives: it is being made anew there.
RESTART_SECONDS = 45.0
# The same for one whose node ended while nobody looked, as all do without a head: it may join again.
# Unless told to look more often, Ray's processes there take a minute to notice that they have to.
REJOIN_SECONDS = 120.0
# For this process to join anew, before it ends: its supervisor may start Ray with it.
JOIN_SECONDS = 120.0
CALLS_AT_ONCE = 10_000  # of one host, most of which wait
STOP_SECONDS = 60.0  # for a host to end its kernels in order
WARN_SECONDS = 60.0  # that a problem is away before the log has it again
# The question what a host has, as arguments of its actor's ``call``.
OFFER: tuple[Any, ...] = ("offer", {}, "", tuple(NOBODY))

LEFT = "This server had to join the cluster anew while it waited for this. Try again in a moment."

Tell = Callable[[dict[str, int]], None]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Member:
    """A host that answers, or did so a moment ago."""

    name: str
    node: str
    actor: Any
    slots: int
    sessions: int
    # Of all that sessions may have there, how many nobody has.
    gpus: int
    free_gpus: int
    labels: Mapping[str, str]
    is_draining: bool
    # Set when this process leaves the cluster: no answer comes any more.
    left: threading.Event
    # Since when it owes an answer, on the monotonic clock; None while it gives them.
    silent_since: float | None = None
    # What its clock said when it last answered, and what ours said when that came, in seconds. None
    # for a host of before it told.
    clocks: tuple[float, float] | None = None

    def set_clock(self, answer: dict[str, Any]) -> None:
        """Take note of the time that it tells with each answer."""
        if "clock" in answer:
            self.clocks = (answer["clock"], time.monotonic())

    def deadline(self) -> tuple[float | None, float]:
        """Until when it may begin with a call, on its clock and on ours.

        Ours is never the earlier one, as its answer took a while: who waits until then knows that
        it has begun, or never will. None, and no time to wait, if its clock is not known.
        """
        if self.clocks is None:
            return None, 0.0
        its, ours = self.clocks
        return its + PATIENCE_SECONDS, ours + PATIENCE_SECONDS

    def hear(self, offer: dict[str, Any]) -> None:
        """What it says by the verb ``offer``."""
        self.slots, self.sessions = offer["slots"], offer["sessions"]
        self.free_gpus = offer["free_gpus"]
        self.is_draining = offer["is_draining"]
        self.silent_since = None

    @property
    def is_silent(self) -> bool:
        """Whether it takes long to answer: nothing new for it meanwhile."""
        return self.silent_since is not None

    @property
    def is_hung(self) -> bool:
        """Whether nobody should wait for it."""
        since = self.silent_since
        return since is not None and time.monotonic() - since > PATIENCE_SECONDS

    @property
    def free(self) -> int:
        """How many sessions more it may have, as far as is known here."""
        return self.slots - self.sessions

    @property
    def has_room(self) -> bool:
        """Whether sessions can be opened there, if they need nothing else."""
        return not self.is_draining and self.free > 0 and not self.is_silent

    def suits(self, needs: Needs) -> bool:
        """Whether a session with such needs can be opened there now."""
        return self.has_room and needs.are_met_by(self.free_gpus, self.labels)

    def could_suit(self, needs: Needs) -> bool:
        """The same, if no other session was there."""
        return needs.are_met_by(self.gpus, self.labels)


@dataclass
class _Node:
    """A node of Ray's with its host's actor, whether that answers yet or not."""

    about: dict[str, Any]
    # None until it is made, or made anew: that waits for Ray's head.
    actor: Any = None
    # The question that is under way, and since when; None between two.
    asked: Any = None
    asked_at: float = 0.0
    member: Member | None = None


@dataclass
class _Missing:
    life: UUID
    since: float = field(default_factory=time.monotonic)


class Cluster:
    """See ``cluster``. The methods may be called from any thread."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._problem = "The cluster has not answered yet. Try again in a moment."
        self._nodes: dict[str, _Node] = {}
        self._missing: dict[str, _Missing] = {}
        # Nodes whose hosts have answered since Ray's head was last away.
        self._seen: set[str] = set()
        self._first_look = threading.Event()
        self._look_soon = threading.Event()
        # One for as long as this process is in a cluster, and when it last left one for another;
        # None once it has joined.
        self._left = threading.Event()
        self._left_at: float | None = None
        # Held where a call is sent, and where the cluster is left: no call is sent by the next one.
        self._sending = threading.Lock()
        # Problems that the log has, and when they were last seen.
        self._warned: dict[str, float] = {}
        # Who tells readers of sessions that were lost, by the loop to do it on.
        self._tellers: WeakKeyDictionary[asyncio.AbstractEventLoop, Tell] = WeakKeyDictionary()
        self._telling = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more, and leave the cluster; its hosts go on. Blocks."""
        self._is_closed = True
        self._look_soon.set()
        self._thread.join()
        leave()

    # --- What is known ------------------------------------------------------------------

    def wait(self) -> None:
        """Return when there was a first look, or it takes too long: then nobody waits. Blocks."""
        self._first_look.wait(FIRST_LOOK_SECONDS)
        self._first_look.set()

    @property
    def has_looked(self) -> bool:
        """Whether ``wait`` would return at once."""
        return self._first_look.is_set()

    def members(self) -> list[Member]:
        """The hosts that answer. Raises HostUnavailable if there are none."""
        found = list(self._members.values())
        if not found:
            raise HostUnavailable(self._problem)
        return found

    def member(self, name: str) -> Member | None:
        """The host of that name, if it answers."""
        return self._members.get(name)

    def tell_by(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
        """Have ``tell`` called on this loop with the newest numbers of sessions that are lost."""
        with self._telling:
            self._tellers[loop] = tell

    def tell_no_more(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call nothing on this loop from now on."""
        with self._telling:
            self._tellers.pop(loop, None)

    def send(self, member: Member, *about: Any) -> Future[Any]:
        """Call a host's actor. Raises HostUnavailable if it is of a cluster that was left."""
        with self._sending:
            if member.left.is_set():
                raise HostUnavailable(LEFT)
            answer: Future[Any] = member.actor.call.remote(*about).future()
            return answer

    def lost(self, member: Member) -> None:
        """It did not answer because it has died: look now."""
        if self._members.get(member.name) is member:
            del self._members[member.name]
        self._look_soon.set()

    def stop_host(self, node: str, reason: str) -> bool:
        """End a node's host; False if it has none. Blocks.

        In order if it answers, otherwise with its kernels. The next look makes another, with the
        code of then. Raises HostUnavailable while Ray's head is away.
        """
        if not ray.is_initialized():
            raise HostUnavailable(self._problem)
        try:
            nodes()
            actor: Any = ray.get_actor(_actor_name(node), NAMESPACE)
        except (HeadAway, Forgotten) as error:
            raise HostUnavailable(f"{error} Try again in a moment.") from error
        except ValueError:
            return False
        try:
            ray.get(actor.call.remote(*OFFER), timeout=OFFER_SECONDS)
            ray.get(actor.stop.remote(reason), timeout=STOP_SECONDS)
        except GetTimeoutError:
            logger.warning("the host of node %s does not answer, and is killed", node)
        except RayActorError:
            pass  # it has ended otherwise
        ray.kill(actor)
        for member in [each for each in self._members.values() if each.node == node]:
            self.lost(member)
        return True

    # --- Looking ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._look()
            except (RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
                # Its head may be away: hosts that were there may still be.
                self._problem = f"The Ray cluster does not answer ({_first_line(error)})."
                self._warn(self._problem)
            except Exception:
                logger.exception("the cluster could not be looked at")
            self._first_look.set()
            self._end_if_alone()
            self._look_soon.wait(LOOK_SECONDS)
            self._look_soon.clear()
        connection.close()

    def _look(self) -> None:
        join()
        try:
            known = nodes()
        except Forgotten as why:
            self._leave(str(why))
            return
        except HeadAway as error:
            self._look_without_head(str(error))
            return
        self._left_at = None
        offering = {id_: each for id_, each in known.items() if _slots(each)}
        for id_ in self._nodes.keys() - offering.keys():
            del self._nodes[id_]
        for id_, about in offering.items():
            node = self._nodes.setdefault(id_, _Node(about))
            if node.actor is None:
                node.actor = _actor_on(about)
        self._ask_offers()
        self._seen = {each.node for each in self._members.values() if not each.is_silent} | (
            self._seen & known.keys()
        )
        if not self._members:
            self._problem = (
                "No kernel host of the cluster answers yet. Nodes offer kernels by the resource "
                f"{SLOTS}."
            )
        self._give_up_missing()

    def _look_without_head(self, problem: str) -> None:
        """Ask the hosts that are known. If none answers for long, the head may be elsewhere."""
        self._problem = f"{problem} Try again in a moment."
        self._warn(problem)
        self._ask_offers()
        self._seen -= {each.node for each in self._members.values() if each.is_silent}
        if all(each.is_hung for each in self._members.values()):
            self._leave("neither Ray's head nor any host answers")

    def _leave(self, why: str) -> None:
        """Forget all hosts, and have those told who wait for them. The next look joins anew."""
        logger.warning("%s: joining the cluster anew", why)
        self._problem = f"The server joins the cluster anew ({why}). Try again in a moment."
        with self._sending:
            self._left.set()
            self._left = threading.Event()
            self._members = {}
        self._left_at = self._left_at or time.monotonic()
        self._nodes.clear()
        self._missing.clear()
        self._seen.clear()
        _actor_class.cache_clear()
        leave()
        self._look_soon.set()

    def _end_if_alone(self) -> None:
        """End this process if it was in a cluster, and finds none any more."""
        if self._left_at and time.monotonic() - self._left_at > JOIN_SECONDS:
            logger.error("no cluster could be joined anew: this process ends, to be started again")
            # Not by a signal: as the first process of a container it may have no use for one.
            end_at_once()

    def _ask_offers(self) -> None:
        for node in self._nodes.values():
            if node.asked is None and node.actor is not None:
                node.asked = node.actor.call.remote(*OFFER)
                node.asked_at = time.monotonic()
        waiting = {node.asked: node for node in self._nodes.values() if node.asked is not None}
        late = sum(each.member is not None and each.member.is_silent for each in waiting.values())
        expected = max(1, len(waiting) - late)
        ray.wait([*waiting], num_returns=expected, timeout=OFFER_SECONDS)
        ready, silent = ray.wait([*waiting], num_returns=len(waiting), timeout=0)
        for asked in ready:
            node = waiting[asked]
            node.asked = None
            self._hear(node, asked)
        for asked in silent:
            if (node := waiting[asked]).member is not None:
                node.member.silent_since = node.asked_at
                self._warn(f"the kernel host {node.member.name!r} takes long to answer")
        members = [each.member for each in self._nodes.values() if each.member]
        self._members = {each.name: each for each in members}

    def _hear(self, node: _Node, asked: Any) -> None:
        try:
            answer = ray.get(asked)
        except ActorUnavailableError:
            # The way to it, for a moment; or it has died, and the next answer says so, unless
            # Ray's head is away.
            if node.member is not None and not node.member.is_silent:
                node.member.silent_since = node.asked_at
            return
        except RayActorError as error:
            if node.member is None:
                self._warn(f"a kernel host does not start: {_first_line(error)}")
            else:
                self._look_soon.set()
            node.member = node.actor = None
            return
        except RayError as error:
            node.member = None
            self._warn(f"a kernel host does not answer: {_first_line(error)}")
            return
        if "error" in answer:
            node.member = None
            self._warn(f"{node.about['NodeName']}: {answer['error']['message']}")
            return
        offer = answer["result"]
        if node.member is not None and node.member.name == offer["host"]:
            node.member.set_clock(answer)
            node.member.hear(offer)
            return
        node.member = Member(
            name=offer["host"],
            node=node.about["NodeID"],
            actor=node.actor,
            slots=offer["slots"],
            sessions=offer["sessions"],
            gpus=offer["gpus"],
            free_gpus=offer["free_gpus"],
            labels=offer["labels"],
            is_draining=offer["is_draining"],
            left=self._left,
        )
        node.member.set_clock(answer)

    def _give_up_missing(self) -> None:
        try:
            rows = list(models.Host.objects.filter(state=HostState.UP))
            missing = {
                row.name: row
                for row in rows
                if row.name not in self._members and row.node and self._is_dead(row.node)
            }
            self._missing = {
                name: before
                if (before := self._missing.get(name)) and before.life == row.life
                else _Missing(row.life)
                for name, row in missing.items()
            }
            for name, row in missing.items():
                grace = GRACE_SECONDS if row.node in self._seen else REJOIN_SECONDS
                if row.node in self._nodes:
                    grace = RESTART_SECONDS
                if time.monotonic() - self._missing[name].since >= grace:
                    self._give_up(row)
        except AWAY as error:
            self._warn(f"hosts that are gone cannot be given up: {error}")
            connection.close()

    def _is_dead(self, node: str) -> bool:
        """Whether nothing on a node can answer; a host that has died there is made anew."""
        here = self._nodes.get(node)
        return here is None or here.member is None

    def _give_up(self, row: models.Host) -> None:
        told = hosts.give_up(row.name, row.life)
        if told is None:
            return  # it is back, or another process was faster
        logger.warning("the kernel host %r is gone, and %d sessions with it", row.name, len(told))
        with self._telling:
            tellers = list(self._tellers.items())
        for loop, tell in tellers:
            with suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(tell, {**told, "sessions": 0})

    def _warn(self, text: str) -> None:
        """Once, as long as it lasts."""
        now = time.monotonic()
        if now - self._warned.get(text, -WARN_SECONDS) >= WARN_SECONDS:
            logger.warning("%s", text)
        self._warned[text] = now


@lru_cache(maxsize=1)
def cluster() -> Cluster:
    """The cluster, as this process sees it from the first call on."""
    return Cluster()


def _actor_on(about: dict[str, Any]) -> Any:
    """The host's actor of a node, made if there is none."""
    node = about["NodeID"]
    offer = {
        "node": node,
        "address": about["NodeManagerAddress"],
        "slots": _slots(about),
        "gpus": int(about["Resources"].get("GPU", 0)),
        "labels": _labels(about),
    }
    return (
        _actor_class()
        .options(
            name=_actor_name(node),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,
            max_concurrency=CALLS_AT_ONCE,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(str(Path(settings.BASE_DIR)), offer)
    )


def _actor_name(node: str) -> str:
    return f"host-{node}"


@lru_cache(maxsize=1)
def _actor_class() -> Any:
    # Within a function, so that Ray sends the class itself: only it knows where the code is.
    class Host:
        def __init__(self, code: str, offer: dict[str, Any]) -> None:
            import os
            import sys

            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
            if code not in sys.path:
                sys.path.insert(0, code)
            import django

            django.setup()
            from sessions.engines.ray_host import RayHost

            self._host = RayHost(offer)

        async def call(self, *about: Any) -> dict[str, Any]:
            return await self._host.call(*about)

        async def stop(self, reason: str) -> None:
            await self._host.stop(reason)

    return ray.remote(Host)


def _slots(about: dict[str, Any]) -> int:
    return int(about["Resources"].get(SLOTS, 0)) if about["Alive"] else 0


def _labels(about: dict[str, Any]) -> dict[str, str]:
    """Those that somebody gave the node, not Ray's own."""
    labels = about.get("Labels") or {}
    return {name: value for name, value in labels.items() if not name.startswith("ray.io/")}


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
