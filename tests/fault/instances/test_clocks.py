"""
Instances whose clocks are seconds apart share one store: timers are decided once, no ledger's time goes back, and what
an instance had leased when it died comes back to another.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.engines import firestore
from tests.engines.postgresql import Cluster
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.standstill import until
from tests.sizes import size

from tai_autonomics.ledger.chain import verify
from tai_autonomics.ledger.records import Leased
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.house import open_store

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

APART_SECONDS = 3.0
DUE_SECONDS = 3.0
TIMERS_SECONDS_MAX = 60.0
LEASE_SECONDS = 4.0
"""What the instance that died had asked for."""
TENANTS = size(short=20, full=500)


def postgresql_of(cluster: Cluster) -> dict[str, str]:
    return {"STORE_URL": cluster.url(cluster.database())}


def firestore_of(_: Cluster) -> dict[str, str]:
    return {
        "STORE_URL": f"firestore://{firestore.new_project()}",
        "FIRESTORE_EMULATOR_HOST": firestore.emulator().address,
    }


@pytest.fixture(params=[postgresql_of, firestore_of], ids=["postgresql", "firestore"])
def environ(request: pytest.FixtureRequest, cluster: Cluster) -> dict[str, str]:
    """What makes a process use a fresh store."""
    made: Callable[[Cluster], dict[str, str]] = request.param
    return {**made(cluster), "TAI_TIMER_POLL_SECONDS": "0.1"}


def ahead(folder: Path, environ: dict[str, str], seconds: float) -> Service:
    clock = {"CLOCK_AHEAD_SECONDS": str(seconds)}
    return Service(folder, environ={**environ, **clock}, module="tests.fault.instances.ahead")


def grant(service: Service, tenants: list[str], *, seconds: float) -> dict[str, datetime]:
    """Each for so many seconds from its own grant on, by the right time; when each ends."""
    ends: dict[str, datetime] = {}
    with service.client() as client:
        for tenant in tenants:
            ends[tenant] = datetime.now(UTC) + timedelta(seconds=seconds)
            body = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "free"}
            answer = client.post("/marketplace", json={**body, "expires_at": ends[tenant].isoformat()})
            assert answer.status_code == 200, answer.text
    return ends


def ledgers(folder: Path, environ: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Receipts by tenant; the chains verify, and so does the order of their times."""
    lines = exported(folder, environ)
    verify(lines, {})
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        receipt = json.loads(line)["receipt"]
        found.setdefault(receipt["tenant"], []).append(receipt)
    return found


def are_over(service: Service, tenants: list[str]) -> bool:
    with service.client() as client:
        shown = (client.get(f"/v1/tenants/{tenant}/receipts").json()["items"] for tenant in tenants)
        return all(len(items) == 2 for items in shown)


def test_timers_are_decided_once_by_instances_whose_clocks_are_seconds_apart(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    tenants = [f"tenant-{number}" for number in range(TENANTS)]
    with ExitStack() as started:
        late, early = (
            started.enter_context(ahead(tmp_path, environ, seconds)) for seconds in (-APART_SECONDS, APART_SECONDS)
        )
        ends = grant(late, tenants[::2], seconds=DUE_SECONDS + APART_SECONDS)
        ends |= grant(early, tenants[1::2], seconds=DUE_SECONDS + APART_SECONDS)
        until(lambda: are_over(late, tenants), what="all timers", seconds=TIMERS_SECONDS_MAX)
        with late.client() as client:
            # Its clock may still be before the end that is sealed: the ledger's time counts.
            checked = client.post(f"/v1/tenants/{tenants[0]}/check", json={"checks": [{"feature": "health"}]})
            assert checked.json()["allowed"] is False, checked.text
    found = ledgers(tmp_path, environ)
    assert sorted(found) == sorted(tenants)
    for tenant, (granted, expired) in found.items():
        assert expired["events"][0]["type"] == "EntitlementExpired"
        assert expired["time"] >= granted["time"]
        # By the clock of whoever decided, never before it was due there.
        assert datetime.fromisoformat(expired["time"]) >= ends[tenant]


async def leased_and_left(environ: dict[str, str], count: int) -> list[Leased]:
    """So many rows are leased, as soon as they are due, by someone who is never heard of again."""
    store = await open_store(Settings.load(environ).settings)
    found: list[Leased] = []
    async with asyncio.timeout(TIMERS_SECONDS_MAX):
        while len(found) < count:
            found += await store.lease(count, LEASE_SECONDS)
            await asyncio.sleep(0.05)
    await store.aclose()
    return found


def test_what_a_dead_instance_had_leased_comes_back_to_one_whose_clock_is_behind(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    tenants = [f"tenant-{number}" for number in range(TENANTS)]
    with ahead(tmp_path, {**environ, "TAI_TIMER_POLL_SECONDS": "60"}, 0.0) as first:
        grant(first, tenants, seconds=DUE_SECONDS)
        first.kill()
    leased = asyncio.run(leased_and_left(environ, TENANTS))
    assert sorted(row.tenant for row in leased) == sorted(tenants)
    with ahead(tmp_path, environ, -APART_SECONDS) as behind:
        until(lambda: are_over(behind, tenants), what="the leases' end", seconds=TIMERS_SECONDS_MAX)
    ends = {row.tenant: datetime.fromisoformat(row.until) for row in leased}
    for tenant, receipts in ledgers(tmp_path, environ).items():
        _, expired = receipts
        assert expired["events"][0]["type"] == "EntitlementExpired"
        # Not before that lease was over by the store's clock, which ours is behind.
        assert datetime.fromisoformat(expired["time"]) >= ends[tenant] - timedelta(seconds=APART_SECONDS)
