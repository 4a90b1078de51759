"""What a rule sees of the measurements."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given as over
from hypothesis import strategies as st
from tests.builders import NOW, after, rule

from tai_autonomics.domain.governor import Sample
from tai_autonomics.domain.governor.windows import kept, window_of
from tai_autonomics.domain.moments import FIRST
from tai_autonomics.domain.rules import Lasting, Samples, Window


def samples(*values: int | str, every: int = 10) -> tuple[Sample, ...]:
    return tuple(Sample(after(every * n), Decimal(value)) for n, value in enumerate(values))


def test_a_window_of_samples_is_the_newest_so_many() -> None:
    assert window_of(samples(1, 2, 9, 4), Samples(3)) == Window(Decimal(5), Decimal(2), Decimal(9), Decimal(4), 3)


def test_a_rule_waits_for_its_samples() -> None:
    assert window_of(samples(1, 2), Samples(3)) is None
    assert window_of(samples(1, 2, 3), Samples(3)) is not None


def test_no_window_has_more_than_120_samples() -> None:
    window = window_of(samples(*range(120)), Samples(500))
    assert window is not None
    assert window.count == 120


def test_a_window_of_time_is_open_at_its_old_end_and_goes_by_the_samples_own_times() -> None:
    window = window_of(samples(1, 2, 3, 4), Lasting(20))
    assert window == Window(Decimal("3.5"), Decimal(3), Decimal(4), Decimal(4), 2)
    alone = window_of(samples(1, 2, every=3_600), Lasting(60))
    assert alone == Window(Decimal(2), Decimal(2), Decimal(2), Decimal(2), 1)


def test_the_newest_is_in_its_own_window_also_where_the_calendar_begins() -> None:
    first = (Sample(FIRST, Decimal(1)), Sample(FIRST, Decimal(2)))
    assert kept(first, (rule(over=Lasting(60)),)) == 1
    window = window_of(first, Lasting(60))
    assert window is not None
    assert (window.count, window.last) == (1, Decimal(2))


def test_an_average_has_nine_places_half_to_even() -> None:
    assert window_of(samples(1, 1, 2), Samples(3)).avg == Decimal("1.333333333")  # type: ignore[union-attr]
    assert window_of(samples("0.000000001", 0), Samples(2)).avg == 0  # type: ignore[union-attr]
    assert window_of(samples("0.000000003", 0), Samples(2)).avg == Decimal("0.000000002")  # type: ignore[union-attr]


@over(st.lists(st.decimals(-(10**18) + 1, 10**18 - 1, places=9), min_size=1, max_size=120))
def test_an_average_is_exact(values: list[Decimal]) -> None:
    window = window_of(tuple(Sample(NOW, value) for value in values), Lasting(60))
    assert window is not None
    exact = sum((Fraction(value) for value in values), Fraction(0)) / len(values)
    assert Fraction(window.avg) == Fraction(round(exact * 10**9), 10**9)


def test_as_many_samples_are_kept_as_some_rule_needs() -> None:
    three, minute = rule(over=Samples(3)), rule(over=Lasting(60))
    assert kept(samples(1, 2), (three,)) == 2
    assert kept(samples(1, 2, 3, 4), (three,)) == 3
    assert kept(samples(*range(10)), (three, minute)) == 6
    assert kept(samples(*range(200)), (rule(over=Lasting(86_400)),)) == 120
