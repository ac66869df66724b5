"""Errors: typed by what the caller can do, and sentences for a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import ConfigError, MessnetzError, PermanentError, Position, TransientError, exit_for

WRONG = ConfigError(Position(Path("gateways/gw-1.yaml"), 12, 5), "'Gym'", "lower-case letters")


def test_a_config_error_says_where_what_and_what_would_be_right() -> None:
    """In the form that editors make a link of."""
    assert str(WRONG) == "gateways/gw-1.yaml:12:5: found 'Gym'; expected lower-case letters"


def test_a_transient_error_may_know_when_to_try_again() -> None:
    """Where the other side said so."""
    assert TransientError("the database is busy", retry_after_s=30.0).retry_after_s == 30.0
    assert TransientError("the database is busy").retry_after_s is None


@pytest.mark.parametrize("error", [WRONG, TransientError("later"), PermanentError("never")])
def test_every_error_is_one_that_a_user_may_meet(error: Exception) -> None:
    """One `except` at the top catches them all."""
    assert isinstance(error, MessnetzError)


@pytest.mark.parametrize(("error", "code"), [(WRONG, 2), (TransientError("later"), 1), (PermanentError("never"), 1)])
def test_a_command_leaves_with_the_code_of_its_error(
    error: MessnetzError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 where a person must edit a file; the sentence goes where errors go."""
    with pytest.raises(SystemExit) as left:
        exit_for(error)
    assert left.value.code == code
    assert capsys.readouterr() == ("", f"{error}\n")
