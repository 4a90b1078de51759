"""
Each fault shows in the metrics, the log and the alerts that the runbook names for it, and nowhere else.

A real service, the fault, and its scrapes before, during and after, of which promtool makes the alerts.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct
from tests.contract.alerts.judging import found_promtool
from tests.engines.certificates import certificate, serving
from tests.engines.postgresql import Cluster
from tests.engines.proxy import Proxy
from tests.engines.receiver import Receiver, silence, status
from tests.journey.standstill import until
from tests.journey.test_identity_provider import AUDIENCE, ISSUER, OLD, jwks
from tests.journey.test_identity_provider import token as provided
from tests.journey.test_restart import disk, full
from tests.journey.watching import STARTED, Sight, Watched, firing, said, seen, signs, thinned

pytestmark = [pytest.mark.embedded, pytest.mark.long]

CALM_ROUNDS: Final = 100
SHOWN_SECONDS_MAX: Final = 40
SLOW_SECONDS: Final = 0.2
"""Each way; an append is several of them."""
LATE: Final = timedelta(minutes=10)
RUNBOOK: Final = Path(__file__).parents[2] / "docs" / "RUNBOOK.md"
NAMED: Final = re.compile("`([^`]+)`")
AVAILABILITY: Final = {"TaiAvailabilityBurnFast", "TaiAvailabilityBurnSlow", "TaiAvailabilityBurnBudget"}
LATENCY: Final = {"TaiLatencyBurnFast", "TaiLatencyBurnSlow", "TaiLatencyBurnBudget"}
ERRORS: Final = {"TaiHttpErrors", *AVAILABILITY}
SLOWNESS: Final = {"TaiHttpSlow", *LATENCY}
UNAVAILABLE: Final = {
    'tai_check_up{check="store"}',
    "tai_store_errors_total",
    "tai_http_problems_total",
    "tai_http_request_duration_seconds",
}


class Shown(Struct, frozen=True):
    """Metrics with the label that says what; messages of the log above info; alerts."""

    metrics: frozenset[str]
    log: frozenset[str]
    alerts: frozenset[str]


def shown(metrics: set[str], log: set[str], alerts: set[str]) -> Shown:
    return Shown(frozenset(metrics), frozenset(log), frozenset(alerts))


TABLE: Final = {
    "the store is down": shown(
        {
            *UNAVAILABLE,
            'tai_background_failures_total{task="redriving"}',
            'tai_background_failures_total{task="timers"}',
        },
        {"a health check fails", "the store failed", "a background task failed", "psycopg"},
        {"TaiStoreUnreachable", "TaiStoreFailing", "TaiBackgroundFailures", *ERRORS, *SLOWNESS},
    ),
    "the store is slow": shown(
        {"tai_append_duration_seconds", "tai_http_request_duration_seconds"}, set(), {"TaiStoreSlow", *SLOWNESS}
    ),
    "the disk is full": shown(
        UNAVAILABLE,
        {"a health check fails", "the store failed"},
        {"TaiStoreUnreachable", "TaiStoreFailing", *ERRORS, *SLOWNESS},
    ),
    "a webhook's receiver hangs": shown(
        {'tai_action_attempts_total{outcome="unknown"}', 'tai_actions_total{outcome="unknown"}'},
        {"an action was settled"},
        {"TaiActionsFailing", "TaiActionUnknown"},
    ),
    "pushes come late": shown({"tai_push_message_age_seconds"}, set(), {"TaiPushLate"}),
    "a quota runs out": shown({"tai_quotas_nearly_used"}, set(), {"TaiQuotaLow"}),
    "a provider's keys cannot be had": shown(
        {'tai_check_up{check="keys"}', 'tai_background_failures_total{task="jwks"}', "tai_http_problems_total"},
        {"a health check fails", "a background task failed"},
        {"TaiKeysUnavailable", "TaiBackgroundFailures", *ERRORS},
    ),
    "an instance is killed, and again": shown({STARTED}, set(), {"TaiRestarts"}),
}

Round = Callable[[], object]
Injected = Callable[[], AbstractContextManager[object]]


@pytest.fixture(scope="module")
def promtool() -> str:
    return found_promtool()


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """The event loop of what stands between or behind."""
    with start_blocking_portal() as running:
        yield running


def well(watched: tuple[Watched, ...], each: Round) -> list[Sight]:
    """A stretch of calls in which nothing stands out, at last."""
    found: list[Sight] = []

    def is_calm() -> bool:
        found[:] = [seen(*watched)]
        for _ in range(CALM_ROUNDS):
            each()
        found.append(seen(*watched))
        return not signs(found)

    until(is_calm, what="nothing stands out", seconds=SHOWN_SECONDS_MAX)
    return found


def is_seen(
    fault: str,
    promtool: str,
    directory: Path,
    *watched: Watched,
    each: Round,
    injected: Injected,
    meanwhile: Round | None = None,
) -> None:
    """Before, during and after; `meanwhile` is called again and again in place of `each` during it."""
    expected = TABLE[fault]
    calm = well(watched, each)
    during, logged = [seen(*watched)], [list(one.service.output) for one in watched]

    def found() -> tuple[frozenset[str], frozenset[str]]:
        lines = [line for one, before in zip(watched, logged, strict=True) for line in one.log_since(before)]
        return signs(during), said(lines)

    def shows() -> bool:
        (meanwhile or each)()
        during[:] = thinned([*during, seen(*watched)])
        metrics, log = found()
        return metrics >= expected.metrics and log >= expected.log

    with injected():
        try:
            until(shows, what=f"{fault} shows", seconds=SHOWN_SECONDS_MAX)
        finally:
            metrics, log = found()
    over = well(watched, each)
    assert (metrics, log) == (expected.metrics, expected.log)
    assert firing(promtool, directory, [calm, during, over], [frozenset(), expected.alerts, frozenset()]) == ""


# ---- what callers do


@contextmanager
def consuming(watched: Watched, tenant: str = "acme") -> Iterator[Round]:
    """One consume, with a key of its own, of a tenant whose entitlement is granted here."""
    numbers = itertools.count()
    with httpx.Client(headers={"Authorization": f"Bearer {watched.service.admin_token}"}, timeout=30) as client:

        def send(path: str, body: object) -> httpx.Response:
            return client.post(f"{watched.service.url}{path}", json=body)

        send("/marketplace", grant(tenant)).raise_for_status()

        def consume() -> httpx.Response:
            item = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": f"k{next(numbers)}"}
            return send(f"/v1/tenants/{tenant}/usage", item)

        yield consume


def grant(tenant: str = "acme", plan: str = "professional") -> dict[str, str]:
    return {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": plan}


def pushed(client: httpx.Client, message_id: str, payload: object, *, ago: timedelta = timedelta()) -> None:
    """Pub/Sub's push of a message that was published so long ago."""
    data = base64.b64encode(json.dumps(payload).encode()).decode()
    published = (datetime.now(UTC) - ago).isoformat()
    message = {"data": data, "messageId": message_id, "publishTime": published}
    body = {"message": message, "subscription": "projects/p/subscriptions/s"}
    client.post("/pubsub", json=body).raise_for_status()


# ---- the store


@contextmanager
def proxied(portal: BlockingPortal, cluster: Cluster, directory: Path, **more: str) -> Iterator[tuple[Watched, Proxy]]:
    proxy = Proxy(cluster.port)
    with portal.wrap_async_context_manager(proxy):
        environ = {"STORE_URL": cluster.url(cluster.database(), port=proxy.port)}
        watched = Watched("a", directory / "data", **environ, **more)
        with watched.service:
            yield watched, proxy


@pytest.mark.full_alone
def test_a_store_that_is_down(promtool: str, portal: BlockingPortal, cluster: Cluster, tmp_path: Path) -> None:
    running = proxied(portal, cluster, tmp_path, TAI_REQUEST_SECONDS_MAX="1")
    with running as (watched, proxy), consuming(watched) as each:

        @contextmanager
        def down() -> Iterator[None]:
            portal.call(proxy.refuse)
            yield
            portal.call(proxy.take)

        is_seen("the store is down", promtool, tmp_path, watched, each=each, injected=down)


@pytest.mark.full_alone
def test_a_store_that_is_slow(promtool: str, portal: BlockingPortal, cluster: Cluster, tmp_path: Path) -> None:
    with proxied(portal, cluster, tmp_path) as (watched, proxy), consuming(watched) as each:

        @contextmanager
        def slow() -> Iterator[None]:
            proxy.delay_seconds = SLOW_SECONDS
            yield
            proxy.delay_seconds = 0

        is_seen("the store is slow", promtool, tmp_path, watched, each=each, injected=slow)


@pytest.mark.full_alone
def test_a_disk_that_is_full(promtool: str, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", mebibytes=48) as folder:
        watched = Watched("a", folder / "data", TAI_REQUEST_SECONDS_MAX="1")
        with watched.service, consuming(watched) as each:
            is_seen("the disk is full", promtool, tmp_path, watched, each=each, injected=lambda: full(folder))


# ---- what comes in and goes out

PLANS: Final = """
plans:
  watched:
    rank: 10
    quotas: {calls: {limit: 100, per: lifetime, kind: hard, thresholds: [80, 100]}}
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu, over: 1 samples, act_when: value > 80.0, clear_when: value < 50.0,
           cooldown: 1h, action: webhook, mode: enforce, attempts: 1, timeout: 1s, with: {url: '%s'}}
"""


@contextmanager
def planned(directory: Path, url: str = "https://example.com") -> Iterator[Watched]:
    file = directory / "plans.yaml"
    file.write_text(PLANS % url)
    environ = {
        "PLANS_FILE": str(file),
        "TAI_WEBHOOK_SIGNING_SECRETS": f"*=whsec_{base64.b64encode(bytes(32)).decode()}",
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
        "TAI_TIMER_POLL_SECONDS": "0.2",
    }
    watched = Watched("a", directory / "data", **environ)
    with watched.service:
        yield watched


@pytest.mark.full_alone
def test_a_webhooks_receiver_that_hangs(promtool: str, portal: BlockingPortal, tmp_path: Path) -> None:
    numbers = itertools.count()
    with (
        portal.wrap_async_context_manager(Receiver()) as receiver,
        planned(tmp_path, receiver.url) as watched,
        watched.service.client() as client,
    ):

        def alarm() -> None:
            """Of a tenant that had none before."""
            tenant = f"t{next(numbers)}"
            payload = [grant(tenant, "watched"), {"tenant_id": tenant, "metric": "cpu", "value": 99}]
            pushed(client, tenant, payload)

        @contextmanager
        def hanging() -> Iterator[None]:
            receiver.answer = silence
            yield
            receiver.answer = status(204)

        is_seen("a webhook's receiver hangs", promtool, tmp_path, watched, each=alarm, injected=hanging)


@pytest.mark.full_alone
def test_pushes_that_come_late(promtool: str, tmp_path: Path) -> None:
    numbers = itertools.count()
    with planned(tmp_path) as watched, watched.service.client() as client:
        client.post("/marketplace", json=grant(plan="watched")).raise_for_status()
        ago = [timedelta()]

        def push() -> None:
            pushed(client, str(next(numbers)), {"tenant_id": "acme", "entitlement_id": "ent_1"}, ago=ago[0])

        @contextmanager
        def late() -> Iterator[None]:
            ago[0] = LATE
            yield
            ago[0] = timedelta()

        is_seen("pushes come late", promtool, tmp_path, watched, each=push, injected=late)


@pytest.mark.full_alone
def test_a_quota_that_runs_out(promtool: str, tmp_path: Path) -> None:
    with planned(tmp_path) as watched, watched.service.client() as client:
        client.post("/marketplace", json=grant(plan="watched")).raise_for_status()

        def check() -> None:
            client.post("/v1/tenants/acme/check", json={"quota": "calls"}).raise_for_status()

        @contextmanager
        def used() -> Iterator[None]:
            item = {"operation": "consume", "quota": "calls", "amount": 85, "request_id": "much"}
            client.post("/v1/tenants/acme/usage", json=item).raise_for_status()
            yield
            client.post("/v1/tenants/acme/quotas/calls/reset", json={}).raise_for_status()

        is_seen("a quota runs out", promtool, tmp_path, watched, each=check, injected=used)


# ---- keys and processes


@pytest.mark.full_alone
def test_keys_of_a_provider_that_cannot_be_had(promtool: str, portal: BlockingPortal, tmp_path: Path) -> None:
    """A start without them is what their last day's end comes to."""
    provider = Receiver(status(200, jwks(old=OLD)), tls=serving(certificate(tmp_path, "localhost")))
    with portal.wrap_async_context_manager(provider), httpx.Client(timeout=20) as client:
        environ: dict[str, Any] = {
            "JWT_JWKS_URL": f"https://localhost:{provider.port}/keys",
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "JWT_ROLES_CLAIM": "/realm_access/roles",
            "SSL_CERT_FILE": str(tmp_path / "both.pem"),
        }
        watched = Watched("a", tmp_path / "data", **environ)
        client.headers["Authorization"] = f"Bearer {provided('old', OLD)}"

        def look() -> None:
            client.get(f"{watched.service.url}/v1/tenants/acme")

        @contextmanager
        def away() -> Iterator[None]:
            provider.answer = status(500)
            assert watched.service.stop() == 0
            watched.service.start()
            yield
            provider.answer = status(200, jwks(old=OLD))

        with watched.service:
            client.post(f"{watched.service.url}/marketplace", json=grant()).raise_for_status()
            is_seen("a provider's keys cannot be had", promtool, tmp_path, watched, each=look, injected=away)


@pytest.mark.full_alone
def test_an_instance_of_two_that_is_killed_and_again(promtool: str, cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.url(cluster.database())
    one, other = (Watched(name, tmp_path / name, STORE_URL=url) for name in "ab")
    with one.service, other.service, consuming(one, "acme") as first, consuming(other, "globex") as second:

        def each() -> None:
            first()
            second()

        def again() -> None:
            each()
            other.service.kill()
            other.service.start()

        @contextmanager
        def killed() -> Iterator[None]:
            other.service.kill()
            other.service.start()
            yield

        fault = "an instance is killed, and again"
        is_seen(fault, promtool, tmp_path, one, other, each=each, injected=killed, meanwhile=again)


# ---- what the runbook says


def test_the_runbook_has_this_table() -> None:
    text = RUNBOOK.read_text().partition("<!-- faults: begin -->\n")[2].partition("<!-- faults: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    found = {name: Shown(*(frozenset(NAMED.findall(cell)) for cell in cells)) for name, *cells in rows}
    assert found == TABLE, f"the table as it is:\n{written()}"


def written() -> str:
    """The table's rows, for the runbook."""
    rows = ["| fault | metrics | log above info | alerts |", "|---|---|---|---|"]
    for name, each in TABLE.items():
        cells = [", ".join(f"`{one}`" for one in sorted(of)) for of in (each.metrics, each.log, each.alerts)]
        rows.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(rows)
