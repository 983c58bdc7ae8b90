"""What a client is told of errors that are not ours."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError

from workbench.errors import problem_of


@pytest.mark.parametrize("error", [OperationalError("locked"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_no_bug(error):
    problem = problem_of(error)

    assert problem.status == 503
    assert "Try again" in problem.message
    assert str(error) not in problem.message


def test_a_database_that_contradicts_is_one():
    assert problem_of(IntegrityError("unique")).status == 500
