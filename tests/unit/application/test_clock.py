"""The clock that seals, while it can be trusted."""

from datetime import timedelta

import pytest
from tests.unit.application.instance import START, HandClock

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.errors import ClockUntrusted

NOW = moment_of(START)


def clocks() -> tuple[HandClock, SealingClock]:
    wall = HandClock()
    return wall, SealingClock(wall, skew_seconds_max=300)


def test_it_tells_the_time() -> None:
    wall, sealing = clocks()
    wall.advance(7_000)
    assert sealing.now() == plus_seconds(NOW, 7_000)
    assert sealing.monotonic() == wall.seconds


@pytest.mark.parametrize("seconds", [301, -301])
def test_a_jump_against_the_monotonic_clock_is_not_trusted_until_it_is_undone(seconds: float) -> None:
    wall, sealing = clocks()
    wall.jump(seconds)
    with pytest.raises(ClockUntrusted, match=f"{abs(seconds):.1f} s"):
        sealing.now()
    wall.jump(-seconds)
    assert sealing.now() == NOW


def test_a_step_is_not_trusted_however_long_it_lasts_and_the_way_out_is_said() -> None:
    wall, sealing = clocks()
    wall.jump(301)
    for _ in range(3):
        wall.advance(86_400)
        with pytest.raises(ClockUntrusted, match="restart if it is right now, else set it right"):
            sealing.now()
    after_a_restart = SealingClock(wall, skew_seconds_max=300)
    assert after_a_restart.now() == plus_seconds(NOW, 3 * 86_400 + 301)


def test_a_small_step_is_trusted() -> None:
    wall, sealing = clocks()
    wall.jump(-300)
    assert sealing.now() == plus_seconds(NOW, -300)


def test_a_clock_far_behind_the_newest_receipt_is_not_trusted_until_it_has_caught_up() -> None:
    wall, sealing = clocks()
    sealing.saw(plus_seconds(NOW, 400))
    sealing.saw(plus_seconds(NOW, 10))
    with pytest.raises(ClockUntrusted):
        sealing.now()
    wall.advance(100)
    assert sealing.now() == plus_seconds(NOW, 100)


def test_a_newest_receipt_that_is_merely_old_stops_nothing() -> None:
    _, sealing = clocks()
    sealing.saw("1999-01-01T00:00:00.000000Z")
    assert sealing.now() == NOW


def test_a_receipts_time_is_the_later_of_the_clock_and_the_receipt_before() -> None:
    _, sealing = clocks()
    assert sealing.next_time(NOW, "") == NOW
    assert sealing.next_time(NOW, plus_seconds(NOW, -1)) == NOW
    assert sealing.next_time(NOW, plus_seconds(NOW, 300)) == plus_seconds(NOW, 300)
    with pytest.raises(ClockUntrusted):
        sealing.next_time(NOW, plus_seconds(NOW, 300.5))


def test_the_stores_clock_is_the_judge_where_it_has_one() -> None:
    wall, sealing = clocks()
    asked = wall.monotonic()
    sealing.compare_with_store(START - timedelta(seconds=301), asked)
    with pytest.raises(ClockUntrusted, match=r"\+301\.0 s from the store's"):
        sealing.now()
    sealing.compare_with_store(START + timedelta(seconds=301), asked)
    with pytest.raises(ClockUntrusted, match=r"-301\.0 s"):
        sealing.now()
    sealing.compare_with_store(START + timedelta(seconds=300), asked)
    assert sealing.now() == NOW


def test_the_time_that_the_stores_answer_took_is_not_held_against_the_clock() -> None:
    wall, sealing = clocks()
    asked = wall.monotonic()
    wall.advance(400)
    sealing.compare_with_store(START, asked)
    assert sealing.now() == plus_seconds(NOW, 400)


def test_a_clock_that_was_set_right_by_the_stores_word_is_trusted_again() -> None:
    wall, sealing = clocks()
    wall.jump(-400)
    with pytest.raises(ClockUntrusted):
        sealing.now()
    sealing.compare_with_store(wall.now(), wall.monotonic())
    assert sealing.now() == plus_seconds(NOW, -400)
