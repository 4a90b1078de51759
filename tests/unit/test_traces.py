"""The traces that the journeys drive are what they are called."""

from decimal import Decimal
from itertools import pairwise

from tests.traces import DAY, daily, duplicated, flapping, gap, ramp, spike


def test_a_day_is_the_same_for_a_seed_and_peaks_in_the_afternoon() -> None:
    assert daily(1) == daily(1) != daily(2)
    smooth = daily(1, noise=0)
    assert (len(smooth), smooth[0].at, smooth[-1].at) == (1_440, 0, DAY - 60)
    values = {each.at: each.value for each in smooth}
    assert values[16 * 3_600] == max(values.values())
    assert values[4 * 3_600] == min(values.values())


def test_a_ramp_rises_between_its_times_and_stays() -> None:
    flat = daily(1, low=20, high=20, noise=0)
    risen = ramp(flat, start=3_600, end=7_200, by=50)
    assert (risen[0].value, risen[90].value, risen[-1].value) == (Decimal("20.00"), Decimal("45.00"), Decimal("70.00"))


def test_a_spike_and_a_gap_touch_their_time_alone() -> None:
    flat = daily(1, low=20, high=20, noise=0)
    spiked = spike(flat, at=600, seconds=300, value=99)
    assert [each.at for each in spiked if each.value == 99] == [600, 660, 720, 780, 840]
    assert [each.at for each in flat if each not in gap(flat, start=600, seconds=120)] == [600, 660]


def test_flapping_crosses_its_threshold_all_day() -> None:
    over = [each.value > 80 for each in flapping()]
    assert sum(now != before for before, now in pairwise(over)) == 359


def test_duplicates_repeat_and_lose_nothing() -> None:
    trace = daily(1)
    twice = duplicated(trace, 7)
    assert tuple(dict.fromkeys(twice)) == trace
    assert 1.5 < len(twice) / len(trace) < 2.0
    assert list(twice) == sorted(twice, key=lambda each: each.at)
