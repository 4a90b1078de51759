"""The checklist against a service that is sound, and against one in which exactly one thing is broken."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engines.tampering import Answered, Asked, Proxy, Send, Tamper, honest, in_front_of, with_headers
from tests.journey.service import Service
from tests.journey.tokens import minted

from tai_autonomics.cli.app import run
from tai_autonomics.cli.checklist.run import PREFIX
from tai_autonomics.cli.checklist.sections import SECTIONS

pytestmark = pytest.mark.embedded

NEIGHBOUR = "acme"
NETWORK_MS = "300"
"""What the proxy and a busy machine may take of each answer here: these journeys do not measure."""
SLOW_SECONDS = 0.6
TIMED = {"health-latency", "load-latency", "load-receipts", "load-throughput"}
"""What a machine that is busy with other tests may miss too: then the run is repeated."""
RUNS_MAX = 4
NOT_FROM_OUTSIDE = {row.id for section in SECTIONS if section.title == "Cloud" for row in section.rows}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("data")) as started:
        grant = {"tenant_id": NEIGHBOUR, "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
        with started.client() as client:
            assert client.post("/marketplace", json=grant).status_code == 200
        viewers = minted(started.data_dir, "viewer", tenants=frozenset({f"{PREFIX}viewer"}))
        (started.data_dir / "viewer.token").write_text(viewers)
        (started.data_dir / "deployer.token").write_text(minted(started.data_dir, "integration", "operator"))
        yield started


@pytest.fixture(scope="module")
def proxy(service: Service) -> Iterator[Proxy]:
    with in_front_of(service.url) as started:
        yield started


class Signed:
    """A sign-off that was written."""

    def __init__(self, status: int, directory: Path) -> None:
        self.status = status
        self.page = (directory / "sign-off.md").read_text()
        self.document: dict[str, Any] = json.loads((directory / "sign-off.json").read_text())
        self.lines = {line["id"]: line for line in self.document["lines"]}

    def ids(self, outcome: str) -> set[str]:
        return {name for name, line in self.lines.items() if line["outcome"] == outcome}


def signed(service: Service, url: str, directory: Path, *options: str, failing: frozenset[str] = frozenset()) -> Signed:
    """Repeated while lines fail that are not `failing` and that a busy machine may miss."""
    for _ in range(RUNS_MAX):
        found = signed_once(service, url, directory, *options)
        if not found.ids("failed") - failing or not found.ids("failed") - failing <= TIMED:
            break
    return found


def signed_once(service: Service, url: str, directory: Path, *options: str) -> Signed:
    tokens = (
        "--token-file",
        f"{service.data_dir}/deployer.token",
        "--tenant-token-file",
        f"{service.data_dir}/viewer.token",
    )
    places = ("--markdown", f"{directory}/sign-off.md", "--json", f"{directory}/sign-off.json")
    status = run(["checklist", url, *tokens, *places, "--network-ms", NETWORK_MS, "--quiet", *options])
    return Signed(status, directory)


def test_a_sound_service_is_signed_off_with_evidence_for_all_that_shows_from_outside(
    service: Service, proxy: Proxy, tmp_path: Path
) -> None:
    with service.client() as client:
        before = client.get(f"/v1/tenants/{NEIGHBOUR}").json()["as_of"]["seq"]
        proxy.tamper = honest
        found = signed(service, proxy.url, tmp_path, "--load", "2s", "--deployed-by", "ci")
        assert found.ids("failed") == set()
        assert found.status == 0
        assert found.ids("open") == NOT_FROM_OUTSIDE | {"signed-review"}
        assert found.ids("not applicable") == {"transport"}
        assert found.lines["load"]["evidence"]["asked"] == 240
        assert client.get(f"/v1/tenants/{NEIGHBOUR}").json()["as_of"]["seq"] == before
        for tenant, head in found.lines["receipts"]["evidence"]["heads"].items():
            assert tenant.startswith(PREFIX)
            receipt = client.get(f"/v1/tenants/{tenant}/receipts/{head['seq']}").json()
            assert receipt["hash"] == head["hash"]
            shown = client.get(f"/v1/tenants/{tenant}").json()
            assert {each["status"] for each in shown["entitlements"]} <= {"revoked"}
            assert all(quota["used"] == 0 for quota in shown["quotas"])
    for line in found.lines.values():
        ticked = "x" if line["outcome"] == "evidence" else " "
        assert f"- [{ticked}] {line['line']} (`{line['id']}`)" in found.page
    for token in service.data_dir.glob("*.token"):
        assert token.read_text().strip() not in found.page + json.dumps(found.document)


def only(matches: str, *, method: str | None = None) -> Any:
    """For requests whose path begins so, what the test says; all others pass."""

    def decorate(tamper: Tamper) -> Tamper:
        def tampered(asked: Asked, send: Send) -> Answered:
            if asked.path.startswith(matches) and method in (None, asked.method):
                return tamper(asked, send)
            return send(asked)

        return tampered

    return decorate


@only("/health")
def health_500(asked: Asked, send: Send) -> Answered:
    return replace(send(asked), status=500)


@only("/health")
def health_as_text(asked: Asked, send: Send) -> Answered:
    return replace(send(asked), body=b"fine")


@only("/health")
def store_down(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, body=answered.body.replace(b'"store":"ok"', b'"store":"unreachable"'))


@only("/marketplace", method="POST")
def receipts_of_answers_altered(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, body=answered.body.replace(b'"by":"', b'"by":"not-', 1))


@only("/pubsub")
def messages_not_known_again(asked: Asked, send: Send) -> Answered:
    """Each delivery as if it were the first of its message, and of another tenant."""
    turn = str(next(TURNS)).encode()
    envelope = json.loads(asked.body)
    if "messageId" in envelope["message"]:
        command = base64.b64decode(envelope["message"]["data"]).replace(b"-pushed", b"-pushed-" + turn)
        envelope["message"] |= {"data": base64.b64encode(command).decode(), "messageId": f"m-{turn.decode()}"}
    return send(replace(asked, body=json.dumps(envelope).encode()))


TURNS = iter(range(10**9))


@only("/health")
def health_slow(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    time.sleep(0.32)
    return answered


def errors_of_another_form(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    if answered.status < 400:
        return answered
    headers = {**answered.headers, "content-type": "application/json"}
    return replace(answered, headers=headers, body=b'{"error":"no"}')


def bad_input_has_another_status(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    if b'"reason":"unknown_action"' not in answered.body:
        return answered
    return replace(answered, status=422, body=answered.body.replace(b'"status":400', b'"status":422'))


def isolation_broken(asked: Asked, send: Send) -> Answered:
    """Whoever asks for the second tenant's receipts gets the first one's."""
    if asked.path.endswith("-second/receipts"):
        return send(replace(asked, path=asked.path.replace("-second/", "-first/")))
    return send(asked)


def scope_ignored(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    let_in = answered.status == 403 and b"tenant_forbidden" in answered.body
    return replace(answered, status=200, body=b'{"items":[]}') if let_in else answered


def role_ignored(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, status=200) if answered.status == 403 and b"role_forbidden" in answered.body else answered


def quota_ignored(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, status=200) if b'"reason":"quota_exceeded"' in answered.body else answered


@only("/metrics")
def metrics_gone(asked: Asked, send: Send) -> Answered:
    return (
        send(replace(asked, path="/v1/gone")) if "authorization" in asked.headers and signed_in(asked) else send(asked)
    )


def signed_in(asked: Asked) -> bool:
    """With a token that the service takes: strangers are refused as ever."""
    return asked.headers["authorization"] == f"Bearer {TOKENS[0]}"


@only("/metrics")
def a_metric_gone(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, body=answered.body.replace(b"tai_receipts_total", b"tai_papers_total"))


def replay_not_honoured(asked: Asked, send: Send) -> Answered:
    if asked.headers.get("idempotency-key", "").endswith("-repeated"):
        return send(with_headers(asked, idempotency_key=None))
    return send(asked)


@only(f"/v1/tenants/{PREFIX}", method="GET")
def receipts_altered(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    if "/receipts?" in asked.path:
        return replace(answered, body=answered.body.replace(b'"by":"', b'"by":"not-', 1))
    return answered


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None


@only(f"/v1/tenants/{PREFIX}", method="GET")
def a_receipt_lost(asked: Asked, send: Send) -> Answered:
    """A ledger that ends one receipt earlier, its head too: only who wrote down the lost one's hash can tell."""
    answered = send(asked)
    if asked.path.endswith("-first/receipts/head"):
        seq = json.loads(answered.body)["receipt"]["seq"]
        return send(replace(asked, path=asked.path.replace("head", str(seq - 1)))) if seq > 1 else answered
    if "-first/receipts?" in asked.path:
        page = msgspec.json.decode(answered.body, type=_Page)
        return replace(answered, body=msgspec.json.encode(_Page(page.items[:-1], page.next)))
    return answered


def traces_dropped(asked: Asked, send: Send) -> Answered:
    return send(with_headers(asked, traceparent=None))


def authentication_off(asked: Asked, send: Send) -> Answered:
    if "authorization" not in asked.headers and asked.path != "/health":
        return send(with_headers(asked, authorization=f"Bearer {TOKENS[0]}"))
    return send(asked)


def headers_gone(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    return replace(answered, headers={k: v for k, v in answered.headers.items() if k != "x-content-type-options"})


def flaky() -> Tamper:
    """Every second command is 503 at first."""
    turn = iter(range(10**9))

    def tampered(asked: Asked, send: Send) -> Answered:
        if asked.path == "/marketplace" and "idempotency-key" in asked.headers and next(turn) % 2 == 0:
            return UNAVAILABLE
        return send(asked)

    return tampered


UNAVAILABLE = Answered(
    503,
    {
        "content-type": "application/problem+json",
        "x-request-id": "r",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "retry-after": "1",
    },
    json.dumps(
        {
            "type": "/problems/store_unavailable",
            "title": "The store cannot be reached",
            "status": 503,
            "detail": "it is away",
            "instance": "urn:request:r",
            "reason": "store_unavailable",
            "next_step": "Repeat with the same key.",
        }
    ).encode(),
)


@only("/marketplace")
def commands_slow(asked: Asked, send: Send) -> Answered:
    answered = send(asked)
    if b"-load-" in asked.body and b"action" not in asked.body:
        time.sleep(SLOW_SECONDS)
    return answered


def load_fails() -> Tamper:
    """Each tenth check of a load is answered with a 503."""
    lock, turn = threading.Lock(), iter(range(10**9))

    def tampered(asked: Asked, send: Send) -> Answered:
        if "-load-" in asked.path and asked.path.endswith("/check"):
            with lock:
                if next(turn) % 10 == 0:
                    return UNAVAILABLE
        return send(asked)

    return tampered


TOKENS: list[str] = []
"""The checklist's own, once there is one."""


@pytest.mark.parametrize(
    ("tamper", "failing", "unjudged"),
    [
        pytest.param(health_500, "health-status", (), id="health answers 500"),
        pytest.param(health_as_text, "health-json", ("health-dependencies",), id="health is not JSON"),
        pytest.param(store_down, "health-dependencies", (), id="a dependency is down"),
        pytest.param(health_slow, "health-latency", (), id="health is slow"),
        pytest.param(
            receipts_of_answers_altered,
            "marketplace",
            ("idempotency", "tenant-isolation", "traces"),
            id="answers are altered",
        ),
        pytest.param(messages_not_known_again, "pubsub", (), id="a message is decided twice"),
        pytest.param(errors_of_another_form, "error-format", (), id="errors are no problems"),
        pytest.param(bad_input_has_another_status, "validation", (), id="bad input has another status"),
        pytest.param(isolation_broken, "tenant-isolation", (), id="another tenant's receipts are shown"),
        pytest.param(scope_ignored, "token-scope", (), id="a token reaches other tenants"),
        pytest.param(role_ignored, "roles", (), id="a viewer gives commands"),
        pytest.param(quota_ignored, "quota", (), id="a quota never ends"),
        pytest.param(metrics_gone, "metrics", (), id="no metrics are there"),
        pytest.param(a_metric_gone, "metrics", (), id="a metric is gone"),
        pytest.param(replay_not_honoured, "idempotency", (), id="a repeat is decided again"),
        pytest.param(receipts_altered, "receipts", (), id="receipts are altered on the way"),
        pytest.param(a_receipt_lost, "receipts", (), id="an acknowledged receipt is lost"),
        pytest.param(traces_dropped, "traces", (), id="traces are dropped"),
        pytest.param(authentication_off, "authentication", (), id="strangers are let in"),
        pytest.param(headers_gone, "security-headers", (), id="a header is gone"),
        pytest.param(flaky(), "errors", (), id="every second command fails at first"),
    ],
)
def test_what_is_broken_fails_at_its_own_line_and_only_there(
    service: Service, proxy: Proxy, tmp_path: Path, tamper: Tamper, failing: str, unjudged: tuple[str, ...]
) -> None:
    TOKENS[:] = [(service.data_dir / "deployer.token").read_text()]
    proxy.tamper = tamper
    found = signed(service, proxy.url, tmp_path, failing=frozenset({failing}))
    assert found.ids("failed") == {failing}, found.page
    assert found.status == 1
    loads = {name for name in found.lines if name.split("-")[0] == "load"}
    assert found.ids("open") == NOT_FROM_OUTSIDE | loads | {"signed-review", "signed-by", *unjudged}
    assert f"(`{failing}`): **failed**" in found.page


@pytest.mark.parametrize(
    ("tamper", "failing"),
    [
        pytest.param(commands_slow, "load-latency", id="commands are slow under load"),
        pytest.param(load_fails(), "load-errors", id="requests fail under load"),
    ],
)
def test_what_breaks_under_load_fails_at_its_own_line(
    service: Service, proxy: Proxy, tmp_path: Path, tamper: Tamper, failing: str
) -> None:
    proxy.tamper = tamper
    found = signed_once(service, proxy.url, tmp_path, "--load", "2s", "--rate", "60")
    assert failing in found.ids("failed")
    assert found.ids("failed") - {failing} <= TIMED, found.page
    assert found.status == 1


def test_a_service_that_does_not_answer_fails_at_once_and_leaves_the_rest_open(
    service: Service, tmp_path: Path
) -> None:
    with in_front_of(service.url) as gone:
        url = gone.url
    found = signed(service, url, tmp_path)
    assert (found.status, found.ids("failed")) == (1, {"health-status"})
    assert found.ids("open") == set(found.lines) - {"health-status"}
