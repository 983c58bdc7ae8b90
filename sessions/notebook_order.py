"""The order of a notebook's cells, those that executions make by themselves among them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef

from sessions import positions
from sessions.exceptions import CellNotFound, Conflict, LimitReached
from sessions.models import Cell, Event, Session
from sessions.notebook_edits import AtEnd, Place
from sessions.states import EventType

NO_ROOM = "There is no room for another cell at this place. Put it somewhere else."


@dataclass(frozen=True, order=True)
class Spot:
    """Where a cell stands: of two at one position, the smaller id comes first."""

    position: str
    key: str


# Behind whatever stands at a position.
_LAST_KEY = "~"


def spots(session_id: UUID, *, after: Spot | None = None, limit: int) -> list[Spot]:
    """Where the next cells stand, in order; deleted ones are left out."""
    rows = Cell.objects.filter(session_id=session_id)
    places = rows.filter(is_deleted=False).values_list("position", "key")
    # Not sorted by the database, which may do so by the rules of some language.
    found = [Spot(position, str(key)) for position, key in places.iterator()]
    made = Event.objects.filter(
        ~Exists(rows.filter(key=OuterRef("execution_id"))),
        session_id=session_id,
        type=EventType.EXECUTION_QUEUED,
        execution__isnull=False,
        execution__cell=None,
        number__gte=positions.first_event(after.position) if after else 0,
    )
    numbers = made.order_by("number").values_list("number", "execution_id")
    found += [Spot(positions.of_event(number), str(id_)) for number, id_ in numbers[: limit + 1]]
    return sorted(spot for spot in found if after is None or spot > after)[:limit]


def spot_of(session_id: UUID, key: UUID) -> Spot:
    """Where a cell stands, or stood before it was deleted. Raises CellNotFound."""
    rows = Cell.objects.filter(session_id=session_id, key=key)
    position = rows.values_list("position", flat=True).first()
    if position is None:
        made = Event.objects.filter(
            session_id=session_id,
            type=EventType.EXECUTION_QUEUED,
            execution_id=key,
            execution__cell=None,
        )
        number = made.values_list("number", flat=True).first()
        if number is None:
            raise CellNotFound
        position = positions.of_event(number)
    return Spot(position, str(key))


def position_at(session_id: UUID, place: Place, key: UUID) -> str:
    """The position of the cell ``key`` at a place, whether it is new or stands elsewhere.

    Raises CellNotFound if the one before it is not there, Conflict if there is no room.
    """
    if isinstance(place, AtEnd):
        return _at_end(session_id)
    if place.key == key:
        return spot_of(session_id, key).position
    after = None
    if place.key is not None:
        after = Spot(spot_of(session_id, place.key).position, _LAST_KEY)
        if Cell.objects.filter(session_id=session_id, key=place.key, is_deleted=True).exists():
            raise CellNotFound
    others = [spot for spot in spots(session_id, after=after, limit=2) if spot.key != str(key)]
    try:
        return positions.between(
            after.position if after else "", others[0].position if others else None
        )
    except (LimitReached, ValueError):  # nothing is before the first position there is
        raise Conflict(NO_ROOM) from None


def _at_end(session_id: UUID) -> str:
    rows = Cell.objects.filter(session_id=session_id, is_deleted=False)
    last = max(rows.values_list("position", flat=True), default="")
    number = Session.objects.values_list("last_event_number", flat=True).get(id=session_id)
    try:
        return positions.at_end(last, number)
    except LimitReached:
        raise Conflict(NO_ROOM) from None
