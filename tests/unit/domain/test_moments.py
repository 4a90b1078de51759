from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis.strategies import datetimes, floats, just

from tai_autonomics.domain.moments import FIRST, LAST, Moment, datetime_of, moment_of, plus_seconds
from tai_autonomics.errors import Malformed

instants = datetimes(timezones=just(UTC))


def test_a_moment_has_six_digits_and_a_z() -> None:
    assert moment_of(datetime(2026, 11, 24, 2, 1, 33, tzinfo=UTC)) == "2026-11-24T02:01:33.000000Z"


def test_a_moment_is_in_utc_whatever_the_offset() -> None:
    assert moment_of(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == "2025-12-31T23:00:00.000000Z"


def test_a_time_without_an_offset_is_malformed() -> None:
    with pytest.raises(Malformed, match="offset"):
        moment_of(datetime(2026, 1, 1))


def test_a_time_outside_the_calendar_in_utc_is_malformed() -> None:
    with pytest.raises(Malformed, match="years 1 to 9999"):
        moment_of(datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))))


def test_seconds_are_added_and_taken_away() -> None:
    start = Moment("2026-12-31T23:59:59.500000Z")
    assert plus_seconds(start, 0.5) == "2027-01-01T00:00:00.000000Z"
    assert plus_seconds(start, -86_400) == "2026-12-30T23:59:59.500000Z"


def test_the_calendar_begins_at_its_first_moment() -> None:
    assert plus_seconds(FIRST, -1) == FIRST
    assert plus_seconds(plus_seconds(FIRST, 60), -61) == FIRST


def test_the_calendar_ends_at_its_last_moment() -> None:
    assert plus_seconds(LAST, 1) == LAST


@given(instants)
def test_a_moment_loses_nothing(instant: datetime) -> None:
    assert datetime_of(moment_of(instant)) == instant


@given(instants, instants)
def test_the_order_of_moments_is_the_order_of_time(one: datetime, other: datetime) -> None:
    assert (moment_of(one) < moment_of(other)) == (one < other)


@given(instants, floats(0, 1e9))
def test_adding_never_goes_back(instant: datetime, seconds: float) -> None:
    assert plus_seconds(moment_of(instant), seconds) >= moment_of(instant)
