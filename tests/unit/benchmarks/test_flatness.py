"""A soak says "not flat" of a leak, and does not say so of what comes and goes."""

import math
import random

import pytest
from benchmarks.steady.flatness import SAMPLES_MAX, SAMPLES_MIN, Rule, judge, judged

MEMORY = Rule("resident memory", "MiB", 2.0, 0.05, "")
SPEED = Rule("throughput", "requests/s", 0.0, 0.05, "", falls=True)
NOISE = random.Random(7)

Points = list[tuple[float, float]]


def points(figure_at: object, seconds: int = 600) -> Points:
    assert callable(figure_at)
    return [(float(second), figure_at(second)) for second in range(0, seconds, 2)]


def test_a_leak_is_not_flat() -> None:
    verdict = judge(MEMORY, points(lambda second: 100 + second * 0.02 + NOISE.gauss(0, 0.5)))
    assert not verdict.flat
    assert verdict.rise == pytest.approx(0.02 * 480, rel=0.1)
    assert "NOT FLAT: resident memory" in str(verdict)


def test_a_leak_of_steps_is_not_flat() -> None:
    assert not judge(MEMORY, points(lambda second: 100 + 4 * (second // 120))).flat


@pytest.mark.parametrize(
    "figure_at",
    [
        lambda second: 100 + NOISE.gauss(0, 3),
        lambda second: 100 + 8 * (second % 60) / 60,
        lambda second: 100 + 30 * math.exp(-second / 30),
        lambda second: 100 - second * 0.05,
        lambda second: 400 if second == 400 else 100,
    ],
    ids=["noise", "a saw", "settling", "shrinking", "one peak"],
)
def test_what_comes_and_goes_is_flat(figure_at: object) -> None:
    assert judge(MEMORY, points(figure_at)).flat


def test_what_grows_while_it_settles_is_not_judged() -> None:
    assert judge(MEMORY, points(lambda second: 100 + min(second, 110))).flat


def test_a_fall_is_judged_where_it_is_the_harm() -> None:
    assert not judge(SPEED, points(lambda second: 200 - second * 0.05)).flat
    assert judge(SPEED, points(lambda second: 200 + second * 0.05)).flat


def test_too_few_samples_are_not_flat() -> None:
    verdict = judge(MEMORY, points(lambda _: 100.0, seconds=2 * SAMPLES_MIN))
    assert not verdict.flat
    assert f"at least {SAMPLES_MIN}" in verdict.why


def test_a_long_run_is_thinned_over_its_whole_length() -> None:
    kept = judged(points(lambda _: 1.0, seconds=20_000))
    assert len(kept) <= SAMPLES_MAX
    assert kept[0][0] == 4_000
    assert kept[-1][0] > 19_900
