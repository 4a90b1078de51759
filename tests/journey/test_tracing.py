"""A trace goes through the whole house and out again: a started service, a receiver of OTLP, a receiver of webhooks."""

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.engines.otlp import Collector, Received
from tests.engines.receiver import Receiver, status
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.stores import environ_of
from tests.recorded import CALLER, TRACE

from tai_autonomics.telemetry.span_queue import BATCH_MAX, SPANS_MAX

pytestmark = pytest.mark.anyio

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
SAMPLED: Final = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
UNSAMPLED: Final = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
CONDITION_SECONDS_MAX: Final = 30
PLANS: Final = """
plans:
  watched:
    rank: 10
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu_utilization, over: 3 samples, act_when: window.avg > 80.0,
           clear_when: window.avg < 50.0, cooldown: 1h, action: webhook, mode: enforce, attempts: 3, timeout: 5s,
           with: {url: '%s'}}
"""


def service(directory: Path, collector: str, *, ratio: float = 0, webhook: str = "", **environ: str) -> Service:
    if webhook:
        (directory / "plans.yaml").write_text(PLANS % webhook)
        environ["PLANS_FILE"] = str(directory / "plans.yaml")
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "TRACE_SAMPLE_RATIO": str(ratio),
        "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}",
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
        "TAI_TIMER_POLL_SECONDS": "0.2",
    }
    return Service(directory / "data", environ=told | environ)


def project(directory: Path) -> str:
    """The one that a Firestore's URL names, which no other variable may contradict."""
    url = environ_of(directory / "data")["STORE_URL"]
    return url.removeprefix("firestore://") if url.startswith("firestore:") else "acme-prod"


def grant(number: int = 1, plan: str = "professional") -> dict[str, str]:
    return {"tenant_id": "acme", "entitlement_id": f"ent_{number}", "action": "grant", "plan": plan}


def signals(*values: float) -> dict[str, Any]:
    return {"signals": [{"metric": "cpu_utilization", "value": value} for value in values]}


def receipts(of: Service) -> list[tuple[dict[str, Any], str]]:
    """Each with its hash, in order."""
    lines = [json.loads(line) for line in exported(of.data_dir)]
    return [(line["receipt"], line["hash"]) for line in lines]


def request_lines(of: Service, path: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in of.output if line.startswith("{")]
    return [line for line in lines if line.get("httpRequest", {}).get("requestUrl") == path]


def only(found: list[Received], name: str, **of: object) -> Received:
    (one,) = [span for span in found if span.name == name and all(getattr(span, k) == v for k, v in of.items())]
    return one


def settled(of: httpx.Client) -> bool:
    items = of.get("/v1/tenants/acme/actions").json()["items"]
    return bool(items) and all(each["state"] == "succeeded" for each in items)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(CONDITION_SECONDS_MAX):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


async def test_a_trace_goes_from_the_caller_through_the_house_to_the_receiver_of_the_action(tmp_path: Path) -> None:
    with Collector() as collector:
        async with Receiver() as receiver:
            house = service(tmp_path, collector.url, webhook=receiver.url, GCP_PROJECT_ID=project(tmp_path))
            await asyncio.to_thread(house.start)
            try:
                with house.client() as client:
                    sent = [("/marketplace", grant(plan="watched"), {})]
                    sent += [("/v1/tenants/acme/signals", signals(90, 90, 90), SAMPLED)]
                    for path, body, headers in sent:
                        reply = await asyncio.to_thread(client.post, path, json=body, headers=headers)
                        assert reply.status_code == 200, reply.text
                    await until(lambda: settled(client))
            finally:
                assert await asyncio.to_thread(house.stop) == 0
        (webhook,) = receiver.requests
    found = collector.spans()
    by_id = {span.id: span for span in found}
    assert len(by_id) == len(found)
    granted, asked, attempted, ended = await asyncio.to_thread(receipts, house)

    request = only(found, "POST /v1/tenants/{tenant}/signals")
    assert (request.trace, request.parent, request.kind, request.state) == (TRACE, CALLER, "SERVER", "vendor=1")
    assert request.facts["http.response.status_code"] == 200
    assert request.facts["tai.receipt"] == asked[1]
    decided = only(found, "decide", parent=request.id)
    assert decided.id == asked[1][:16]
    attempt = only(found, "attempt webhook")
    assert (attempt.parent, attempt.facts["tai.attempt"]) == (decided.id, 1)
    call = only(found, "webhook")
    assert (call.parent, call.kind, call.facts) == (attempt.id, "CLIENT", {"tai.outcome": "succeeded"})
    assert webhook.headers["traceparent"] == f"00-{TRACE}-{call.id}-01"
    assert webhook.headers["tracestate"] == "vendor=1"
    said = [span for span in found if span.name == "decide" and span.parent == attempt.id]
    assert {span.id for span in said} == {attempted[1][:16], ended[1][:16]}

    # Each append is a trace of its own, linked to who asked for what it carries, and each of these to it.
    appends = [span for span in found if span.name == "append"]
    assert [span.parent for span in appends] == [""] * 3
    assert [span.links for span in appends] == [((TRACE, request.id),), ((TRACE, attempt.id),), ((TRACE, attempt.id),)]
    assert request.links == ((appends[0].trace, appends[0].id),)
    assert attempt.links == tuple((span.trace, span.id) for span in appends[1:])
    in_the_trace = [request, decided, attempt, call, *said]
    assert {span.trace for span in in_the_trace} == {TRACE}
    assert {span.id for span in found} == {span.id for span in [*in_the_trace, *appends]}
    assert all(span.started <= span.ended for span in found)
    assert all(by_id[span.parent].started <= span.started for span in [decided, attempt, call, *said])

    # The receipts and the log lines name the trace; who called without one left none.
    assert [body.get("trace") for body, _ in (granted, asked, attempted, ended)] == [None, TRACE, TRACE, TRACE]
    (line,) = request_lines(house, "/v1/tenants/{tenant}/signals")
    assert line["logging.googleapis.com/trace"] == f"projects/{project(tmp_path)}/traces/{TRACE}"
    assert (line["logging.googleapis.com/spanId"], line["logging.googleapis.com/trace_sampled"]) == (request.id, True)
    (plain,) = request_lines(house, "/marketplace")
    assert not [name for name in plain if name.startswith("logging.")]
    assert request.resource["service.name"] == "tai-autonomics"
    assert (request.resource["gcp.project_id"], request.resource["deployment.environment.name"]) == (
        project(tmp_path),
        "production",
    )


async def test_a_second_attempt_is_in_the_trace_that_asked_for_the_first(tmp_path: Path) -> None:
    with Collector() as collector:
        async with Receiver(status(503)) as receiver:
            house = service(tmp_path, collector.url, webhook=receiver.url)
            await asyncio.to_thread(house.start)
            try:
                with house.client() as client:
                    await asyncio.to_thread(client.post, "/marketplace", json=grant(plan="watched"))
                    body = signals(90, 90, 90)
                    path = "/v1/tenants/acme/signals"
                    await asyncio.to_thread(client.post, path, json=body, headers=SAMPLED)
                    await until(lambda: receiver.requests)
                    receiver.answer = status(204)
                    await until(lambda: settled(client))
            finally:
                assert await asyncio.to_thread(house.stop) == 0
    attempts = [span for span in collector.spans() if span.name == "attempt webhook"]
    assert [span.facts["tai.attempt"] for span in attempts][:2] == [1, 2]
    assert len({(span.trace, span.parent) for span in attempts}) == 1
    calls = [span for span in collector.spans() if span.name == "webhook"]
    assert [(span.failed, span.facts["tai.outcome"]) for span in (calls[0], calls[-1])] == [
        (True, "failed_temporarily"),
        (False, "succeeded"),
    ]
    assert [each.headers["traceparent"] for each in receiver.requests] == [f"00-{TRACE}-{call.id}-01" for call in calls]


@pytest.mark.parametrize(
    ("ratio", "headers", "recorded"),
    [
        (0, {}, False),
        (0, SAMPLED, True),
        (0, UNSAMPLED, False),
        (1, {}, True),
        (1, SAMPLED, True),
        (1, UNSAMPLED, False),
        (0, {"X-Cloud-Trace-Context": f"{TRACE}/{int(CALLER, 16)};o=1"}, True),
        (1, {"X-Cloud-Trace-Context": f"{TRACE}/{int(CALLER, 16)};o=0"}, False),
        (1, {"X-Cloud-Trace-Context": f"{TRACE}/{int(CALLER, 16)}"}, True),
    ],
)
def test_who_calls_decides_and_where_nobody_has_the_ratio_does(
    tmp_path: Path, ratio: float, headers: dict[str, str], recorded: bool
) -> None:
    with Collector() as collector:
        with service(tmp_path, collector.url, ratio=ratio) as house, house.client() as client:
            client.post("/marketplace", json=grant(), headers=headers).raise_for_status()
        found = collector.spans()
        ((body, sealed),) = receipts(house)
    # In which order a store ends an append and the request that waited for it is its own.
    assert sorted(span.name for span in found) == (["POST /marketplace", "append", "decide"] if recorded else [])
    of = {span.name: span for span in found}
    assert body.get("trace") == (TRACE if headers else of["POST /marketplace"].trace if recorded else None)
    if recorded:
        request = of["POST /marketplace"]
        assert of["decide"].id == sealed[:16]
        assert (request.trace, request.parent) == ((TRACE, CALLER) if headers else (body["trace"], ""))


def test_what_was_recorded_is_sent_before_the_end(tmp_path: Path) -> None:
    with Collector() as collector:
        with service(tmp_path, collector.url, ratio=1) as house, house.client() as client:
            for number in range(20):
                client.post("/marketplace", json=grant(number)).raise_for_status()
            assert house.stop() == 0
        assert [span.name for span in collector.spans()].count("POST /marketplace") == 20
    assert not [line for line in house.output if "spans were not sent" in line]


def test_a_receiver_that_is_gone_costs_spans_and_no_request(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with service(tmp_path, nobody, ratio=1, OTEL_EXPORTER_OTLP_TIMEOUT="1") as house, house.client() as client:
            for number in range(5):
                client.post("/marketplace", json=grant(number)).raise_for_status()
            asyncio.run(until(lambda: counted(client, "tai_spans_dropped_total") >= 15))
            assert counted(client, "tai_spans_exported_total") == 0
            client.post("/marketplace", json=grant(99)).raise_for_status()
            assert house.stop() == 0
    assert len(receipts(house)) == 6
    # What the exporter says at the end is in the log as well, not beside it.
    assert all(line.startswith("{") for line in house.output), house.output


def test_a_receiver_that_hangs_holds_up_nothing_and_what_waits_for_it_has_a_bound(tmp_path: Path) -> None:
    with Collector(is_hanging=True) as collector:
        environ = {"TAI_DRAIN_SECONDS_MAX": "5"}
        with service(tmp_path, collector.url, ratio=1, **environ) as house, house.client() as client:
            client.post("/marketplace", json=grant()).raise_for_status()
            collector.until(asked=1)
            check = {"feature": "receipts_verify"}
            sent = 0
            while not counted(client, "tai_spans_dropped_total"):
                assert sent <= SPANS_MAX + BATCH_MAX
                for _ in range(200):
                    client.post("/v1/tenants/acme/check", json=check).raise_for_status()
                sent += 200
            assert sent + 3 > SPANS_MAX
            assert house.stop() == 0
    assert [line for line in house.output if "spans were not sent before the end" in line]


def test_without_an_endpoint_nothing_of_it_is_imported_and_a_trace_is_only_told_on(tmp_path: Path) -> None:
    environ = {"TRACE_SAMPLE_RATIO": "1"}
    with Service(tmp_path, environ=environ, module="tests.journey.imported") as house, house.client() as client:
        client.post("/marketplace", json=grant(), headers=SAMPLED).raise_for_status()
        assert "tai_spans" not in client.get("/metrics").text
    assert [line for line in house.output if line.startswith("imported:")] == ["imported: []\n"]
    ((body, _),) = receipts(house)
    assert body["trace"] == TRACE
    (line,) = request_lines(house, "/marketplace")
    assert (line["logging.googleapis.com/trace"], "logging.googleapis.com/spanId" in line) == (TRACE, False)


def counted(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])
