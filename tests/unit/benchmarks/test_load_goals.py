"""The floor of a load test is the checklist's, and what was not measured does not hold it."""

import pytest
from benchmarks.steady.goals import Figures, missed, summary

GOOD = Figures(requests=10_000, failures=99, per_second=100.1, p99_ms=499, receipt_p99_ms=49, health_p99_ms=4.9)


def test_a_load_just_inside_holds_the_floor() -> None:
    assert missed(GOOD) == []
    assert "10,000 requests" in summary(GOOD)


@pytest.mark.parametrize(
    ("worse", "line"),
    [
        (GOOD._replace(failures=100), "MISSED: errors 1%: must be under 1%"),
        (GOOD._replace(p99_ms=500), "MISSED: p99 of all requests 500 ms: must be under 500 ms"),
        (GOOD._replace(receipt_p99_ms=50), "MISSED: p99 of requests that end in a receipt 50 ms: must be under 50 ms"),
        (GOOD._replace(health_p99_ms=5.0), "MISSED: p99 of GET /health 5 ms: must be under 5 ms"),
        (GOOD._replace(health_p99_ms=None), "MISSED: p99 of GET /health was not measured: must be under 5 ms"),
        (GOOD._replace(per_second=100.0), "MISSED: requests 100/s: must be over 100/s"),
    ],
)
def test_each_figure_that_is_missed_is_a_line(worse: Figures, line: str) -> None:
    assert missed(worse) == [line]


def test_a_load_that_asked_nothing_has_missed_it() -> None:
    lines = missed(Figures(0, 0, 0.0, 0.0, None, None))
    assert len(lines) == 4
    assert "MISSED: errors 100%: must be under 1%" in lines
