"""The production checklist's floor for a service under load, and which of its figures a run missed."""

from typing import Final, NamedTuple

ERRORS_PERCENT: Final = 1.0
REQUESTS_P99_MS: Final = 500.0
RECEIPT_P99_MS: Final = 50.0
HEALTH_P99_MS: Final = 5.0
PER_SECOND: Final = 100.0


class Figures(NamedTuple):
    """
    Of one run. `failures` are requests without their documented answer, health probes among them.

    `receipt_p99_ms` is of the requests that end in a receipt, as their caller sees them; `health_p99_ms` of the probe.
    None: not measured.
    """

    requests: int
    failures: int
    per_second: float
    p99_ms: float
    receipt_p99_ms: float | None
    health_p99_ms: float | None

    @property
    def errors_percent(self) -> float:
        """100 where nothing was asked: a load that was none has not passed."""
        return 100 * self.failures / self.requests if self.requests else 100.0


def missed(figures: Figures) -> list[str]:
    """One line for each figure that is not what the checklist asks for; none when the floor was held."""
    upper = (
        ("errors", figures.errors_percent, ERRORS_PERCENT, "%"),
        ("p99 of all requests", figures.p99_ms, REQUESTS_P99_MS, " ms"),
        ("p99 of requests that end in a receipt", figures.receipt_p99_ms, RECEIPT_P99_MS, " ms"),
        ("p99 of GET /health", figures.health_p99_ms, HEALTH_P99_MS, " ms"),
    )
    lines = [
        _line(what, measured, f"must be under {bound:g}{unit}", unit)
        for what, measured, bound, unit in upper
        if measured is None or measured >= bound
    ]
    if figures.per_second <= PER_SECOND:
        lines.append(_line("requests", figures.per_second, f"must be over {PER_SECOND:g}/s", "/s"))
    return lines


def summary(figures: Figures) -> str:
    """All figures in one line."""
    receipt, health = (
        "not measured" if each is None else f"{each:.3g} ms" for each in (figures.receipt_p99_ms, figures.health_p99_ms)
    )
    return (
        f"{figures.requests:,} requests, {figures.per_second:.4g}/s, errors {figures.errors_percent:.2g} %, "
        f"p99 {figures.p99_ms:.3g} ms, of receipts {receipt}, of GET /health {health}"
    )


def _line(what: str, measured: float | None, bound: str, unit: str) -> str:
    return f"MISSED: {what} {'was not measured' if measured is None else f'{measured:.4g}{unit}'}: {bound}"
