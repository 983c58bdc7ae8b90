"""The hosts of a Ray cluster: each call goes to the host that has the session."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from ray.exceptions import RayActorError, RayError

from sessions.engines import wakeups, wire
from sessions.engines.base import Notices
from sessions.engines.ray_cluster import LEFT, Cluster, Member, cluster
from sessions.engines.routes import (
    TO_ALL,
    TO_ANY,
    Target,
    may_open,
    needs_of,
    target_of,
)
from sessions.exceptions import (
    Conflict,
    HostUnavailable,
    InvalidValue,
    SessionLimitReached,
    SessionNotFound,
    WorkbenchError,
)
from sessions.hosts import node_of
from sessions.kernels import trace
from sessions.kernels.needs import Needs, gpus_text, nobody_has
from sessions.models import Session

HUNG_UP = "The kernel host ended while it worked on this. Try again in a moment."
NOT_THERE = "The machine of this session does not answer. Try again in a moment."
MAX_PLACES = 10_000  # remembered: a place that is not, costs a query
ASKED = 8  # hosts that are asked what they have before a session is opened on one of them
ASK_SECONDS = 1.0  # for each of several hosts that are asked; the others' answers do without it
LOOK_SECONDS = 1.0  # between two looks whether the host that somebody waits for still lives
ATTEMPTS = 5  # to find a session that moves while it is looked for


_at_random = random.SystemRandom()


class RayEngine:
    """Reaches the hosts of a cluster. What it remembers of where sessions are may be wrong."""

    def __init__(self) -> None:
        self._places: OrderedDict[Target, str] = OrderedDict()
        self._listener = wakeups.Listener()
        self._publisher = wakeups.Publisher()
        cluster().tell_by(asyncio.get_running_loop(), self._publisher.tell)

    async def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of the host that it is for, or of several."""
        _check_plain(verb, arguments)
        known = await _cluster()
        if verb in TO_ALL:
            return await self._call_all(known, verb, arguments)
        if verb in TO_ANY:
            return await self._call_any(known, verb, arguments)
        target = target_of(arguments)
        if verb == "rename_session":
            await self._check_free(target, arguments["name"])
        if verb == "announce":
            return await self._announce(known, target, arguments)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._call_at(known, target, verb, arguments)
            except WorkbenchError as error:
                if not error.data.get("elsewhere") or attempt == ATTEMPTS:
                    raise

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[Notices]:
        """Notices through Redis, whichever host they come from."""
        return self._listener.subscribe(topic)

    async def restart_host(self, name: str, reason: str) -> None:
        """See base.Engine. Every process that looks at the cluster makes the next one."""
        known = await _cluster()
        node = await sync_to_async(node_of)(name)
        if not await asyncio.to_thread(known.stop_host, node, reason):
            raise HostUnavailable(f"There is no kernel host named {name!r} now.")

    async def close(self) -> None:
        """The hosts go on, and so does the process's view of the cluster."""
        cluster().tell_no_more(asyncio.get_running_loop())
        await self._listener.close()
        await self._publisher.close()

    # --- Internal -----------------------------------------------------------------------

    async def _call_all(self, known: Cluster, verb: str, arguments: dict[str, Any]) -> Any:
        """The answers of all that answer, as one; those that die or hang have nothing."""
        told = await self._ask_each(known, known.members(), verb, arguments)
        if not told:
            raise HostUnavailable(HUNG_UP)
        return TO_ALL[verb]({member.name: answer for member, answer in told.items()})

    async def _call_any(self, known: Cluster, verb: str, arguments: dict[str, Any]) -> Any:
        member = max(known.members(), key=lambda each: (not each.is_silent, each.free))
        return await self._ask(known, member, verb, arguments)

    async def _check_free(self, target: Target, name: str) -> None:
        """Raise Conflict for the id of another live session: names and ids are one namespace.

        Each host knows its own; names are unique in the database.
        """
        other = await _row_of(Target(target.owner_id, name))
        if other is not None and other.is_live and str(other.id) == name:
            this = await _row_of(target)
            if this is None or this.id != other.id:
                raise Conflict(f"A session named {name!r} exists already.")

    async def _announce(self, known: Cluster, target: Target, arguments: dict[str, Any]) -> None:
        """Also of sessions that have ended, whose host may be gone."""
        try:
            await self._call_at(known, target, "announce", arguments)
        except (HostUnavailable, SessionNotFound):
            self._publisher.tell({arguments["topic"]: arguments["number"]})

    async def _call_at(
        self, known: Cluster, target: Target, verb: str, arguments: dict[str, Any]
    ) -> Any:
        """Call where the session is, or open it where there is room."""
        name = self._places.get(target)
        member = known.member(name) if name is not None else None
        if member is not None and not member.is_silent:
            try:
                if verb == "open_session":
                    named = {name: arguments[name] for name in ("owner_id", "identifier")}
                    found = await self._ask(known, member, "find_session", named, target)
                    return {**found, "created": False}
                return await self._ask(known, member, verb, _not_opening(arguments), target)
            except SessionNotFound:
                pass  # it has ended, or is elsewhere by now
            except HostUnavailable:
                if await _is_at(target, member):
                    raise
                # What is remembered is wrong: there was nothing that it could do.
        self._places.pop(target, None)
        row = await _row_of(target)
        if row is not None and (row.is_live or not may_open(verb, arguments)):
            member = known.member(row.host)
            if member is None:
                raise HostUnavailable(NOT_THERE) if row.is_live else SessionNotFound()
            answer = await self._ask(known, member, verb, arguments)
            self._remember(target, member)
            return answer
        if not may_open(verb, arguments):
            raise SessionNotFound
        return await self._place(known, target, verb, arguments)

    async def _place(
        self, known: Cluster, target: Target, verb: str, arguments: dict[str, Any]
    ) -> Any:
        """Open a session on the host with the most free slots that has what it needs."""
        needs, refused = needs_of(arguments), set[Member]()
        while True:
            members = [each for each in known.members() if each not in refused]
            suitable = [each for each in members if each.suits(needs)]
            # Of those that had no room, some may have it by now: sessions end.
            able = suitable or [each for each in members if each.could_suit(needs)]
            member = await self._freest(known, able, needs) if able else None
            if member is None or not (suitable or member.suits(needs)):
                raise _no_room(known, needs)
            try:
                answer = await self._ask(known, member, verb, arguments)
            except (SessionLimitReached, HostUnavailable) as error:
                if not error.data.get("elsewhere"):
                    raise
                refused.add(member)
                continue
            self._remember(target, member)
            return answer

    async def _freest(self, known: Cluster, members: list[Member], needs: Needs) -> Member:
        """The one with the most free slots, as it is now: what was known may be a second old."""
        likely = heapq.nlargest(ASKED, members, key=lambda each: (each.free, _at_random.random()))
        offers = await self._ask_each(known, likely, "offer", {})
        for member, offer in offers.items():
            member.hear(offer)
        return max(offers or likely, key=lambda each: (each.suits(needs), each.free))

    def _remember(self, target: Target, member: Member) -> None:
        self._places[target] = member.name
        self._places.move_to_end(target)
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    async def _ask_each(
        self, known: Cluster, members: list[Member], verb: str, arguments: dict[str, Any]
    ) -> dict[Member, Any]:
        """The answers of those that answer soon, or of the first if none does.

        Raises what the verb raises.
        """
        calls = {
            asyncio.create_task(self._ask(known, member, verb, arguments), name=verb): member
            for member in members
            if not member.is_silent
        }
        told: dict[Member, Any] = {}
        waiting = set(calls)
        how: dict[str, Any] = {"timeout": ASK_SECONDS}
        try:
            while waiting and not told:
                done, waiting = await asyncio.wait(waiting, **how)
                for call in done:
                    with suppress(HostUnavailable):
                        told[calls[call]] = call.result()
                how = {"return_when": asyncio.FIRST_COMPLETED}
        finally:
            for call in waiting:
                call.cancel()
        return told

    async def _ask(
        self,
        known: Cluster,
        member: Member,
        verb: str,
        arguments: dict[str, Any],
        doubted: Target | None = None,
    ) -> Any:
        """Raises what the verb raises, or HostUnavailable.

        ``doubted`` is a session that may be there no more: if the host is silent, and it is not,
        nobody waits.
        """
        answer: dict[str, Any] = {"is_late": True}
        while answer.get("is_late"):  # then it did nothing, and has told its time
            if member.is_hung:
                raise HostUnavailable(NOT_THERE)
            answer = await self._answer(known, member, verb, arguments, doubted)
            member.set_clock(answer)
        if "error" in answer:
            raise WorkbenchError.from_wire(answer["error"])
        return answer["result"]

    async def _answer(
        self,
        known: Cluster,
        member: Member,
        verb: str,
        arguments: dict[str, Any],
        doubted: Target | None,
    ) -> dict[str, Any]:
        """What RayHost.call returns. Raises HostUnavailable.

        As long as the host answers others, it may take as long as it likes. What it has not begun
        when it is given up, it does not begin.
        """
        about: tuple[Any, ...] = (trace.request_id.get(), tuple(trace.asker.get()))
        until, until_here = member.deadline()
        if until is not None:
            about = (*about, until)
        answered = asyncio.wrap_future(known.send(member, verb, arguments, *about))
        try:
            while not (await asyncio.wait({answered}, timeout=LOOK_SECONDS))[0]:
                if member.left.is_set():
                    raise HostUnavailable(LEFT)
                if member.is_hung and time.monotonic() > until_here:
                    raise HostUnavailable(NOT_THERE)
                if doubted is not None and member.is_silent:
                    if not await _is_at(doubted, member):
                        raise HostUnavailable(NOT_THERE)
                    doubted = None
            answer: dict[str, Any] = answered.result()
            return answer
        except RayActorError as error:
            known.lost(member)
            raise HostUnavailable(HUNG_UP) from error
        except RayError as error:
            raise HostUnavailable("The cluster does not pass this on. Try again.") from error
        finally:
            answered.cancel()


async def _cluster() -> Cluster:
    found = cluster()
    if not found.has_looked:
        await asyncio.to_thread(found.wait)
    return found


async def _row_of(target: Target) -> Session | None:
    """The session's row, the likeliest if several may be meant."""
    sessions: QuerySet[Session] = Session.objects.only("id", "host", "state")
    if target.session_id is not None:
        return await sessions.filter(id=target.session_id).afirst()
    mine = Session.objects.visible_to(target.owner_id).named(target.identifier)
    return await mine.only("id", "host", "state").afirst()


async def _is_at(target: Target, member: Member) -> bool:
    row = await _row_of(target)
    return row is not None and row.is_live and row.host == member.name


def _check_plain(verb: str, arguments: dict[str, Any]) -> None:
    """Refuse what the local engine could not send either, before a database is asked for it.

    Raises InvalidValue for half a character, too large a number, what is too deep.
    """
    try:
        wire.pack({"verb": verb, "arguments": arguments})
    except ValueError as error:
        raise InvalidValue(f"The request cannot be passed on: {error}.") from error


def _not_opening(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "create": False} if "create" in arguments else arguments


def _no_room(known: Cluster, needs: Needs) -> WorkbenchError:
    """Why no host can open a session now, or ever."""
    members = known.members()
    able = [each for each in members if each.could_suit(needs)]
    if not able:
        return nobody_has(needs, [(each.gpus, each.labels) for each in members])
    if any(each.is_silent for each in able):
        return HostUnavailable("Machines of the cluster do not answer. Try again in a moment.")
    if needs.gpus and any(each.has_room for each in able):
        return SessionLimitReached(
            f"The session needs {gpus_text(needs.gpus)}, and no machine has so many that are not in "
            "use. Close a session that has some, or try again later.",
            maximum=max(each.gpus for each in able),
        )
    slots = sum(each.slots for each in able)
    run = "cluster runs as many sessions as it may"
    if needs != Needs():
        run = "machines that have what this session needs run as many sessions as they may"
    return SessionLimitReached(
        f"The {run} ({slots}). Close one, or try again later.", maximum=slots
    )
