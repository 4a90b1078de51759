"""Whoever may call has its request recorded, if its trace is; whoever may not, and a probe, never."""

import pytest
from tests.recorded import CALLER, TRACE, Keeping, id_of, parent_of, said, trace_of
from tests.unit.ingress.front import VERIFY, House, envelope

from tai_autonomics.errors import StoreUnavailable

TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
SAMPLED = {"traceparent": TRACEPARENT}


def test_a_request_is_a_span_and_log_and_command_know_it() -> None:
    keeping = Keeping()
    house = House(tracer=keeping.traces)
    house.post("/marketplace", VERIFY, headers=SAMPLED | {"X-Request-ID": "mine"})
    (submission,), (answered,) = house.corridor.submissions, house.ear.requests
    (span,) = keeping.spans()
    assert (trace_of(span), parent_of(span), span.name) == (TRACE, CALLER, "POST /marketplace")
    assert said(span) == {
        "http.request.method": "POST",
        "http.route": "/marketplace",
        "http.response.status_code": 200,
        "tai.request_id": "mine",
        "tai.tenant": "acme",
        "tai.command_id": answered.command_id,
        "tai.receipt": answered.receipt,
    }
    assert (answered.trace, answered.span) == (TRACE, id_of(span))
    assert submission.span is not None
    assert (submission.trace, submission.span.context.span) == (TRACE, id_of(span))


def test_a_messages_commands_know_the_span_of_its_delivery() -> None:
    keeping = Keeping(ratio=1)
    house = House(tracer=keeping.traces)
    signal = {"tenant_id": "acme", "metric": "cpu_utilization", "value": 90}
    house.post("/pubsub", envelope([VERIFY | {"action": "verify"}, signal]))
    (span,) = keeping.spans()
    assert [each.span and each.span.context.span for each in house.corridor.submissions] == [id_of(span)] * 2
    assert [each.trace for each in house.corridor.submissions] == [trace_of(span)] * 2


def test_a_trace_that_begins_here_is_in_the_receipt_if_it_is_recorded() -> None:
    keeping, none = Keeping(ratio=1), Keeping(ratio=0)
    recording, not_recording = House(tracer=keeping.traces), House(tracer=none.traces)
    for house in (recording, not_recording):
        house.post("/marketplace", VERIFY)
    (span,) = keeping.spans()
    assert recording.corridor.submissions[0].trace == recording.ear.requests[0].trace == trace_of(span)
    assert not_recording.corridor.submissions[0].trace is None
    assert (not_recording.ear.requests[0].trace, not_recording.ear.requests[0].span) == ("", "")
    assert none.spans() == []


def test_a_trace_that_is_not_sampled_is_told_on_and_not_recorded() -> None:
    keeping = Keeping(ratio=1)
    house = House(tracer=keeping.traces)
    house.post("/marketplace", VERIFY, headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    (submission,), (answered,) = house.corridor.submissions, house.ear.requests
    assert (submission.trace, submission.span, answered.trace, answered.span) == (TRACE, None, TRACE, "")
    assert keeping.spans() == []


def test_googles_header_is_heard_also_where_nothing_is_recorded() -> None:
    house = House()
    house.post("/marketplace", VERIFY, headers={"X-Cloud-Trace-Context": f"{TRACE}/1;o=1"})
    (submission,), (answered,) = house.corridor.submissions, house.ear.requests
    assert (submission.trace, submission.span, answered.trace, answered.span) == (TRACE, None, TRACE, "")


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", "/marketplace", None, 401),
        ("POST", "/marketplace", "viewer", 403),
        ("GET", "/nope", "admin", 404),
        ("GET", "/health", "admin", 200),
        ("GET", "/health/live", None, 200),
        ("GET", "/metrics", "admin", 200),
    ],
)
def test_who_may_not_call_and_what_looks_in_all_the_time_is_not_recorded(
    method: str, path: str, token: str | None, status: int
) -> None:
    keeping = Keeping(ratio=1)
    house = House(tracer=keeping.traces)
    body = VERIFY if method == "POST" else None
    assert house.call(method, path, body, token=token, headers=SAMPLED).status == status
    assert keeping.spans() == []


def test_what_the_service_cannot_do_fails_its_span_and_what_the_caller_cannot_does_not() -> None:
    keeping = Keeping()
    house = House(tracer=keeping.traces)
    house.post("/marketplace", b"{", headers=SAMPLED)
    house.corridor.raise_with["acme"] = StoreUnavailable("forced")
    house.post("/marketplace", VERIFY, headers=SAMPLED)
    house.corridor.raise_with["acme"] = RuntimeError("forced")
    house.post("/marketplace", VERIFY, headers=SAMPLED)
    assert [
        (said(span)["http.response.status_code"], span.status.status_code.name, span.status.description)
        for span in keeping.spans()
    ] == [(400, "UNSET", None), (503, "ERROR", "store_unavailable"), (500, "ERROR", "internal")]
