"""
Signals: what is measured of a tenant, and how many of them one command may hold.

A value is a finite decimal with at most 18 digits before and 9 after the point; receipts hold it as text.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from tai_autonomics.domain.identifiers import MetricName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.errors import Malformed

LABELS_MAX: Final = 16
LABELS_BYTES_MAX: Final = 1_024
"""All labels of a signal as JSON."""
SIGNALS_BYTES_MAX: Final = 10_240
"""What the signals of one command may take of its receipt, which also holds what the rules say to them."""
SIGNAL_BYTES: Final = 220
"""What an event says of a signal beside its metric and labels, at most."""
DIGITS_BEFORE_MAX: Final = 18
DIGITS_AFTER_MAX: Final = 9

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_encode: Final = msgspec.json.Encoder().encode


class Signal(Struct, frozen=True, gc=False):
    """One measurement. `observed_at` None: it is as new as can be."""

    metric: MetricName
    value: Decimal
    observed_at: Moment | None = None
    labels: dict[str, str] = {}


def parse_value(text: str) -> Decimal:
    """Plain decimal notation, as in "-12.5". Raises Malformed(malformed_request)."""
    if _NUMBER.fullmatch(text) is None:
        detail = f"a value is a decimal with at most {DIGITS_BEFORE_MAX} digits before and {DIGITS_AFTER_MAX} after"
        raise Malformed("malformed_request", f"{detail} the point, without an exponent")
    return Decimal(text)


def parse_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """
    At most 16 labels, 1,024 bytes as JSON; names of letters, digits, _ . - up to 64.

    Raises Malformed(malformed_request).
    """
    for name in labels:
        if _LABEL.fullmatch(name) is None:
            raise Malformed(
                "malformed_request", "a label's name is 1 to 64 of A-Z a-z 0-9 _ . - and starts with a letter"
            )
    if len(labels) > LABELS_MAX or len(_encode(labels)) > LABELS_BYTES_MAX:
        detail = f"a signal has at most {LABELS_MAX} labels, {LABELS_BYTES_MAX} bytes as JSON"
        raise Malformed("malformed_request", detail)
    return dict(labels)


def text_of(value: Decimal) -> str:
    """The value's one text: no exponent, no zeros at the end of a fraction, no negative zero."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def split(signals: Iterable[Signal]) -> tuple[tuple[Signal, ...], ...]:
    """The signals of one tenant in order, in as many commands as their receipts' size asks for."""
    commands: list[tuple[Signal, ...]] = []
    current: list[Signal] = []
    size = 0
    for signal in signals:
        more = SIGNAL_BYTES + len(signal.metric) + (len(_encode(signal.labels)) if signal.labels else 0)
        if current and size + more > SIGNALS_BYTES_MAX:
            commands.append(tuple(current))
            current, size = [], 0
        current.append(signal)
        size += more
    return (*commands, tuple(current)) if current else tuple(commands)
