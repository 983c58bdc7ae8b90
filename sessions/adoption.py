"""Sessions from before a server was closed have no owner: how an account comes to own them."""

from __future__ import annotations

from itertools import count

from django.db import transaction

from sessions.kernels.roster import MAX_IDENTIFIER_LENGTH
from sessions.models import Session


@transaction.atomic
def adopt_sessions(owner_id: int) -> tuple[int, dict[str, str]]:
    """Give every session without an owner to an account: how many, and {old name: new name}.

    A live one gets a new name if the account has a live one of that name already. Hosts know the
    owners of their sessions by heart, so none may run.
    """
    taken = set(Session.objects.visible_to(owner_id).live().values_list("identifier", flat=True))
    orphans = Session.objects.visible_to(None)
    live = list(orphans.live().order_by("created_at"))
    taken_by_orphans = {session.identifier for session in live}
    renamed: dict[str, str] = {}
    for session in live:
        if session.identifier in taken:
            name = _free_name(session.identifier, taken | taken_by_orphans)
            renamed[session.identifier] = name
            taken.add(name)
            orphans.filter(pk=session.pk).update(identifier=name)
    return orphans.update(owner_id=owner_id), renamed


def _free_name(name: str, taken: set[str]) -> str:
    for number in count(2):
        ending = f"-{number}"
        free = name[: MAX_IDENTIFIER_LENGTH - len(ending)] + ending
        if free not in taken:
            return free
    raise AssertionError("numbers do not end")
