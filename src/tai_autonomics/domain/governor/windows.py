"""What a rule sees of the measurements: exact, in decimals."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Final

from tai_autonomics.domain.governor.states import Sample
from tai_autonomics.domain.moments import plus_seconds
from tai_autonomics.domain.rules import SAMPLES_MAX, Lasting, Rule, Samples, Window

NINE_PLACES: Final = Decimal("1e-9")
# 120 values of 27 digits have a sum of 30 at most, and a quotient of 60 digits is never so near to a tie at the ninth
# place, without being one, that rounding it again goes the wrong way.
EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def window_of(samples: tuple[Sample, ...], over: Samples | Lasting) -> Window | None:
    """The window that ends with the newest sample; None while there are fewer than `over` asks for."""
    covered = samples[-_covered(samples, over) :]
    if isinstance(over, Samples) and len(covered) < min(over.count, SAMPLES_MAX):
        return None
    values = [sample.value for sample in covered]
    total = reduce(EXACT.add, values)
    average = EXACT.quantize(EXACT.divide(total, Decimal(len(values))), NINE_PLACES)
    return Window(average, min(values), max(values), values[-1], len(values))


def kept(samples: tuple[Sample, ...], rules: tuple[Rule, ...]) -> int:
    """How many of the samples, the newest of them, some rule's window still needs or will need with the next one."""
    return min(max(_covered(samples, rule.over) for rule in rules), SAMPLES_MAX)


def _covered(samples: tuple[Sample, ...], over: Samples | Lasting) -> int:
    match over:
        case Samples(count):
            return min(count, len(samples))
        case Lasting(seconds):
            floor = plus_seconds(samples[-1].at, -seconds)
            # The newest is always in its own window, also where the calendar begins.
            return max(sum(1 for sample in samples if sample.at > floor), 1)
