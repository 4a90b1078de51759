"""What is sampled is recorded with the ids that it should have, and of anything else no span is built."""

import pytest
from opentelemetry.sdk.trace import Tracer as SdkTracer
from tests.contract.stores.builders import chain
from tests.recorded import CALLER, SAMPLED, TRACE, UNSAMPLED, Keeping, id_of, linked_to, parent_of, said, trace_of
from tests.unit.telemetry.test_observer import HandClock

from tai_autonomics import __version__
from tai_autonomics.application.ports import Span, SpanContext, Tracer
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.telemetry import traces as module

BELOW_A_TENTH, ABOVE_A_TENTH = f"{9:016x}{2**64 // 11:016x}", f"{1:016x}{2**64 // 9:016x}"
"""A trace is judged by the second half of its id."""


def begun(span: Span | None) -> Span:
    assert span is not None
    return span


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the spans that the SDK was asked to build."""
    names: list[str] = []
    real = SdkTracer.start_span

    def start_span(self: SdkTracer, name: str, *rest: object, **more: object) -> object:
        names.append(name)
        return real(self, name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SdkTracer, "start_span", start_span)
    return names


def test_who_calls_has_decided_whatever_the_ratio(built: list[str]) -> None:
    none, every = Keeping(ratio=0), Keeping(ratio=1)
    assert none.traces.request("sampled", SAMPLED, 0) is not None
    assert every.traces.request("not sampled", UNSAMPLED, 0) is None
    assert none.traces.attempt(UNSAMPLED, "not sampled") is None
    assert built == ["sampled"]
    for each in (none, every):
        each.spans()


def test_where_nobody_has_decided_the_ratio_does(built: list[str]) -> None:
    none, every, tenth = Keeping(ratio=0), Keeping(ratio=1), Keeping(ratio=0.1)
    assert none.traces.request("none", None, 0) is None
    assert every.traces.request("every", None, 0) is not None
    found = [tenth.traces.request("tenth", None, 0) for _ in range(2_000)]
    assert 120 < sum(each is not None for each in found) < 280
    assert "none" not in built
    assert built.count("tenth") == sum(each is not None for each in found)
    for each in (none, every, tenth):
        each.spans()


@pytest.mark.parametrize(("trace", "recorded"), [(BELOW_A_TENTH, True), (ABOVE_A_TENTH, False)])
def test_every_instance_decides_alike_on_a_trace_that_nobody_has_decided_on(trace: str, recorded: bool) -> None:
    one, other = Keeping(ratio=0.1), Keeping(ratio=0.1)
    for keeping in (one, other):
        undecided = SpanContext(trace, CALLER, None)
        assert (keeping.traces.request("request", undecided, 0) is not None) == recorded
        assert (keeping.traces.attempt(undecided, "attempt") is not None) == recorded
        keeping.spans()


def test_a_request_goes_on_with_its_callers_trace_and_state() -> None:
    keeping, clock = Keeping(clock=HandClock()), HandClock()
    tracer: Tracer = keeping.traces
    span = begun(tracer.request("POST /marketplace", SpanContext(TRACE, CALLER, True, "a=1,b=2"), 0.25))
    assert (span.context.trace, span.context.sampled, span.context.state) == (TRACE, True, "a=1,b=2")
    span.end("", method="POST", route="/marketplace", status=200, tenant="acme", reason="")
    (recorded,) = keeping.spans()
    assert (trace_of(recorded), parent_of(recorded), id_of(recorded)) == (TRACE, CALLER, span.context.span)
    assert (recorded.name, recorded.kind.name, recorded.status.is_ok) == ("POST /marketplace", "SERVER", True)
    assert recorded.start_time == module.nanoseconds(clock.now()) - 250_000_000
    assert said(recorded) == {
        "http.request.method": "POST",
        "http.route": "/marketplace",
        "http.response.status_code": 200,
        "tai.tenant": "acme",
    }


def test_a_trace_without_a_span_is_gone_on_with_from_its_root() -> None:
    keeping = Keeping()
    begun(keeping.traces.request("request", SpanContext(TRACE, "", True), 0)).end()
    (recorded,) = keeping.spans()
    assert (trace_of(recorded), parent_of(recorded)) == (TRACE, None)


def test_a_span_that_failed_says_so_and_its_end_is_its_last_word() -> None:
    keeping = Keeping()
    span = begun(keeping.traces.request("request", SAMPLED, 0))
    span.end("store_unavailable", status=503)
    span.end("", status=200)
    (recorded,) = keeping.spans()
    assert (recorded.status.status_code.name, recorded.status.description) == ("ERROR", "store_unavailable")
    assert said(recorded) == {"http.response.status_code": 503}


def test_a_decision_is_a_span_whose_id_its_receipt_tells() -> None:
    keeping = Keeping()
    (receipt,) = chain("acme", 1)
    span = begun(keeping.traces.request("request", SAMPLED, 0))
    span.decided("verify", receipt, 0.002, leads_on=False)
    span.end()
    decided, _ = keeping.spans()
    assert (trace_of(decided), parent_of(decided), id_of(decided)) == (TRACE, span.context.span, receipt.hash[:16])
    assert decided.end_time is not None
    assert decided.start_time is not None
    assert decided.end_time - decided.start_time == 2_000_000
    assert said(decided) == {
        "tai.command": "verify",
        "tai.outcome": receipt.type,
        "tai.tenant": receipt.tenant,
        "tai.seq": receipt.seq,
        "tai.receipt": receipt.hash,
    }


def test_an_attempt_goes_on_from_the_decision_that_asked_for_it() -> None:
    keeping = Keeping(ratio=0)
    (receipt,) = chain("acme", 1)
    request = begun(keeping.traces.request("request", SpanContext(TRACE, CALLER, True, "a=1"), 0))
    request.decided("observe", receipt, 0, leads_on=True)
    decision = keeping.traces.decision(TRACE, receipt)
    assert decision == SpanContext(TRACE, receipt.hash[:16], True, "a=1")
    attempt = begun(keeping.traces.attempt(decision, "attempt webhook", action="1", attempt=1))
    call = begun(attempt.call("webhook"))
    for each in (call, attempt, request):
        each.end()
    _, called, attempted, _ = keeping.spans()
    assert (parent_of(attempted), parent_of(called)) == (receipt.hash[:16], attempt.context.span)
    assert {trace_of(attempted), trace_of(called)} == {TRACE}
    assert (called.kind.name, said(attempted)) == ("CLIENT", {"tai.action": "1", "tai.attempt": 1})


def test_of_another_instances_decision_the_receipt_says_all_but_whether_it_is_sampled() -> None:
    keeping = Keeping()
    (receipt,) = chain("acme", 1)
    assert keeping.traces.decision(TRACE, receipt) == SpanContext(TRACE, receipt.hash[:16], None)
    keeping.spans()


def test_decisions_that_lead_on_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEADING_MAX", 2)
    keeping = Keeping()
    span = begun(keeping.traces.request("request", SAMPLED, 0))
    made: tuple[Receipt, ...] = chain("acme", 3)
    for receipt in made:
        span.decided("observe", receipt, 0, leads_on=True)
    assert [keeping.traces.decision(TRACE, each).sampled for each in made] == [None, True, True]
    keeping.spans()


def test_an_append_and_what_it_carries_are_linked_to_each_other() -> None:
    keeping = Keeping(ratio=1)
    gone, *asked = [begun(keeping.traces.request("request", None, 0)) for _ in range(3)]
    gone.end("client gone")
    append = begun(keeping.traces.append([*asked, asked[0], gone], 4))
    for each in (append, *asked):
        each.end()
    found = keeping.by_name()
    (appended,) = found["append"]
    assert parent_of(appended) is None
    assert linked_to(appended) == [each.context.span for each in (*asked, gone)]
    assert said(appended) == {"tai.receipts": 4, "tai.spans": 3}
    links = {id_of(each): linked_to(each) for each in found["request"]}
    assert links == {each.context.span: [append.context.span] for each in asked} | {gone.context.span: []}


def test_an_appends_links_have_a_bound_and_each_request_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINKS_MAX", 2)
    keeping = Keeping(ratio=1)
    asked = [begun(keeping.traces.request("request", None, 0)) for _ in range(3)]
    append = begun(keeping.traces.append(asked, 3))
    for each in (append, *asked):
        each.end()
    found = keeping.by_name()
    assert linked_to(found["append"][0]) == [each.context.span for each in asked[:2]]
    assert [linked_to(each) for each in found["request"]] == [[append.context.span]] * 3


def test_the_process_is_named_and_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=canary,k8s.pod.name=p1")
    keeping = Keeping(**{"service.name": "tai-autonomics", "deployment.environment.name": "production"})
    begun(keeping.traces.request("request", SAMPLED, 0)).end()
    (recorded,) = keeping.spans()
    assert dict(recorded.resource.attributes) == {
        "service.name": "tai-autonomics",
        "service.version": __version__,
        "deployment.environment.name": "canary",
        "k8s.pod.name": "p1",
    }


def test_what_cannot_be_recorded_is_counted_and_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = Keeping(ratio=1)
    span = begun(keeping.traces.request("request", SAMPLED, 0))
    (receipt,) = chain("acme", 1)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("forced")

    monkeypatch.setattr(SdkTracer, "start_span", fails)
    assert keeping.traces.request("request", None, 0) is None
    assert keeping.traces.append([span], 1) is None
    assert keeping.traces.attempt(SAMPLED, "attempt") is None
    assert span.call("webhook") is None
    span.decided("verify", receipt, 0, leads_on=True)
    monkeypatch.setattr(module, "attributes_of", fails)
    span.end()
    assert keeping.untold == 6
    keeping.spans()


def test_an_sdk_that_is_turned_off_leaves_no_trace_without_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    keeping = Keeping(ratio=1)
    assert keeping.traces.request("request", None, 0) is None
    assert keeping.untold == 1
    keeping.spans()
