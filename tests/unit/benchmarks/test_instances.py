"""What the benchmark of several instances calls lost, repeated or foreign ends it."""

from collections import Counter

import pytest
from benchmarks.closedloop import Sent
from benchmarks.instances import WrongLedger, check_stored

SENT = {"measured": Sent(commands=(2, 1), copies=1, seconds=1.0, p50_ms=1.0, p99_ms=1.0)}
STORED = {"measured.0-1": 1, "measured.0-2": 1, "measured.1-1": 1, "prime-0": 1}


def test_each_command_once_is_right() -> None:
    check_stored(Counter(STORED), SENT)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({**STORED, "measured.1-1": 0}, "1 lost"),
        ({**STORED, "measured.0-2": 2}, "1 repeated"),
        ({**STORED, "measured.1-2": 1}, "1 that nobody sent"),
    ],
)
def test_anything_else_is_not(stored: dict[str, int], said: str) -> None:
    with pytest.raises(WrongLedger, match=said):
        check_stored(+Counter(stored), SENT)
