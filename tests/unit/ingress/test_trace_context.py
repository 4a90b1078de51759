"""A caller's trace is gone on with as W3C or Google write it; what is not valid is dropped, and nothing is refused."""

import pytest
from tests.recorded import CALLER, TRACE

from tai_autonomics.application.ports import SpanContext
from tai_autonomics.ingress.trace_context import STATE_BYTES_MAX, context_of

PARENT = f"00-{TRACE}-{CALLER}-01"
NUMBER = int(CALLER, 16)


def found(*fields: tuple[str, str]) -> SpanContext | None:
    pairs = [(name.encode(), value.encode()) for name, value in fields]
    return context_of(dict(pairs), pairs)


@pytest.mark.parametrize(
    ("sent", "sampled"),
    [
        (f"00-{TRACE}-{CALLER}-01", True),
        (f"00-{TRACE}-{CALLER}-00", False),
        (f"00-{TRACE}-{CALLER}-03", True),
        (f"00-{TRACE}-{CALLER}-02", False),
        (f" cc-{TRACE}-{CALLER}-01-what-comes-later ", True),
    ],
)
def test_a_valid_traceparent_says_the_span_and_whether_it_is_sampled(sent: str, sampled: bool) -> None:
    assert found(("traceparent", sent)) == SpanContext(TRACE, CALLER, sampled)


@pytest.mark.parametrize(
    ("sent", "span", "sampled"),
    [
        (f"{TRACE}/{NUMBER};o=1", CALLER, True),
        (f"{TRACE}/{NUMBER};o=0", CALLER, False),
        (f"{TRACE.upper()}/{NUMBER}", CALLER, None),
        (f"{TRACE}/{2**64 - 1};o=1", "f" * 16, True),
        (f"{TRACE};o=1", "", True),
        (TRACE, "", None),
        (f"{TRACE}/0;o=1", "", True),
        (f"{TRACE}/{2**64};o=1", "", True),
    ],
)
def test_googles_header_says_the_same_and_may_leave_the_decision_open(
    sent: str, span: str, sampled: bool | None
) -> None:
    assert found(("x-cloud-trace-context", sent)) == SpanContext(TRACE, span, sampled)


@pytest.mark.parametrize("sent", ["", "x", f"{'0' * 32}/1;o=1", f"{TRACE}/x;o=1", f"{TRACE}/1;p=1", f"{TRACE}/1;o=1 x"])
def test_what_is_no_trace_of_googles_is_dropped(sent: str) -> None:
    assert found(("x-cloud-trace-context", sent)) is None


def test_w3cs_header_goes_before_googles_where_it_is_valid() -> None:
    other = f"{'a' * 32}/1;o=0"
    assert found(("traceparent", PARENT), ("x-cloud-trace-context", other)) == SpanContext(TRACE, CALLER, True)
    assert found(("traceparent", "00-x"), ("x-cloud-trace-context", other)) == SpanContext("a" * 32, f"{1:016x}", False)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["a=1"], "a=1"),
        (["a=1, b=2", " c=3"], "a=1, b=2,c=3"),
        (["a=" + "x" * (STATE_BYTES_MAX - 2)], "a=" + "x" * (STATE_BYTES_MAX - 2)),
        (["a=" + "x" * (STATE_BYTES_MAX - 1)], ""),
        (["a=ü"], ""),
    ],
)
def test_the_state_is_taken_along_whole_or_not_at_all(states: list[str], state: str) -> None:
    context = found(("traceparent", PARENT), *[("tracestate", each) for each in states])
    assert context == SpanContext(TRACE, CALLER, True, state)


def test_a_state_without_a_trace_says_nothing() -> None:
    assert found(("tracestate", "a=1")) is None
    assert found(("tracestate", "a=1"), ("x-cloud-trace-context", f"{TRACE};o=1")) == SpanContext(TRACE, "", True)
