"""
The loop as a whole: signals by /pubsub, a rule, an action, a webhook that arrives signed, its result; kill -9 between.
"""

import asyncio
import base64
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.engines.receiver import Receiver, Request, status
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.sizes import size
from tests.traces import daily, duplicated, spike

from tai_autonomics.ledger.chain import verify

pytestmark = pytest.mark.anyio

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
SUBSCRIPTION: Final = "projects/p/subscriptions/s"
SETTLED_SECONDS_MAX: Final = 60
KILLS: Final = size(short=8, full=100)


def plans(url: str, cooldown: str) -> str:
    def plan(name: str, rank: int, *more: str) -> str:
        rule = [
            "name: cpu-high, signal: cpu_utilization, over: 3 samples, act_when: window.avg > 80.0",
            f"clear_when: window.avg < 50.0, cooldown: {cooldown}, action: webhook, mode: enforce",
            "attempts: 10, timeout: 1s",
            f"with: {{url: '{url}'{''.join(more)}}}",
        ]
        return (
            f"  {name}:\n    rank: {rank}\n    governor:\n      budget: {{max: 50, per: 1h}}\n"
            f"      breaker: {{failures: 3}}\n      rules:\n        - {{{', '.join(rule)}}}\n"
        )

    return "plans:\n" + plan("again", 10) + plan("once", 20, ", idempotent: false")


class House:
    """A service with these plans, and what was sent to it."""

    def __init__(self, directory: Path, url: str, *, cooldown: str = "1h") -> None:
        file = directory / "plans.yaml"
        file.write_text(plans(url, cooldown))
        environ = {
            "PLANS_FILE": str(file),
            "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}",
            "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
            "TAI_TIMER_POLL_SECONDS": "0.2",
        }
        self.service = Service(directory / "data", environ=environ)
        self._messages = 0

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.service.admin_token}"}
        return httpx.AsyncClient(base_url=self.service.url, headers=headers, timeout=20)

    async def grant(self, client: httpx.AsyncClient, tenant: str, plan: str) -> None:
        body = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": plan, "request_id": tenant}
        (await client.post("/marketplace", json=body)).raise_for_status()

    def message(self, tenant: str, values: list[str]) -> dict[str, Any]:
        self._messages += 1
        items = ",".join(f'{{"tenant_id":"{tenant}","metric":"cpu_utilization","value":{value}}}' for value in values)
        data = base64.b64encode(f"[{items}]".encode()).decode()
        return {"message": {"data": data, "messageId": str(self._messages)}, "subscription": SUBSCRIPTION}


def events(house: House) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Every event, by tenant, with the type of its receipt; every chain verifies."""
    lines = exported(house.service.data_dir)
    verify(lines, {})
    found: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for line in lines:
        body = json.loads(line)["receipt"]
        found[body["tenant"]].extend((body["type"], event) for event in body["events"])
    return found


def of(found: list[tuple[str, dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return [event for _, event in found if event["type"] == kind]


def verified(request: Request) -> dict[str, Any]:
    """What the public library makes of it. Raises WebhookVerificationError."""
    payload: dict[str, Any] = Webhook(SECRET).verify(request.body, request.headers)
    return payload


async def test_a_days_trace_with_a_spike_leads_to_one_signed_webhook_however_often_it_is_delivered(
    tmp_path: Path,
) -> None:
    trace = duplicated(spike(daily(7, every=300), at=36_000, seconds=3_600, value=97), 7)
    async with Receiver() as receiver:
        house = House(tmp_path, receiver.url)
        with house.service:
            async with house.client() as client:
                await house.grant(client, "acme", "again")
                for start in range(0, len(trace), 20):
                    message = house.message("acme", [str(each.value) for each in trace[start : start + 20]])
                    for _ in range(2):
                        reply = await client.post("/pubsub", json=message)
                        assert reply.status_code == 200, reply.text
                await until(lambda: of(events(house)["acme"], "ActionSettled"))
        found = (await asyncio.to_thread(events, house))["acme"]
    (request,) = receiver.requests
    payload = verified(request)
    (requested,), (settled,) = of(found, "ActionRequested"), of(found, "ActionSettled")
    assert request.headers["webhook-id"] == requested["action_id"] == settled["action_id"]
    assert (payload["data"]["tenant"], settled["result"], settled["attempts"]) == ("acme", "succeeded", 1)
    # A result also says what the rules make of signals that came meanwhile, if any did.
    said = [(kind, event["type"]) for kind, event in found if kind != "transition" and "action_id" in event]
    assert said == [
        ("action_attempt", "ActionAttempted"),
        ("action_result", "AttemptEnded"),
        ("action_result", "ActionSettled"),
    ]


async def test_a_receiver_that_fails_opens_the_breaker_and_resume_closes_it(tmp_path: Path) -> None:
    def breakers(house: House, kind: str) -> list[dict[str, Any]]:
        return of(events(house)["acme"], kind)

    async with Receiver(status(410)) as receiver:
        house = House(tmp_path, receiver.url, cooldown="1s")
        with house.service:
            async with house.client() as client:
                await house.grant(client, "acme", "again")
                await until_told(house, client, lambda: breakers(house, "RefusalBegun"))
                settled = await asyncio.to_thread(breakers, house, "ActionSettled")
                assert [each["result"] for each in settled] == ["failed"] * 3
                asked = len(receiver.requests)
                for _ in range(3):
                    await client.post("/pubsub", json=house.message("acme", ["40", "40", "40", "91", "92", "93"]))
                assert len(receiver.requests) == asked == 3
                resumed = await client.post("/v1/tenants/acme/governor/resume", json={})
                assert resumed.status_code == 200, resumed.text
                receiver.answer = status(204)
                await until_told(house, client, lambda: breakers(house, "ActionSettled")[-1]["result"] == "succeeded")
                listed = (await client.get("/v1/tenants/acme/actions?state=failed&limit=2")).json()
                rest = (await client.get(f"/v1/tenants/acme/actions?state=failed&cursor={listed['next']}")).json()
                ids = [each["action_id"] for each in (*listed["items"], *rest["items"])]
                assert ids == [each["action_id"] for each in settled[::-1]]
                shown = (await client.get(f"/v1/tenants/acme/actions/{ids[0]}")).json()
                assert [each["event"]["type"] for each in shown["history"]] == [
                    "ActionRequested",
                    "ActionAttempted",
                    "AttemptEnded",
                    "ActionSettled",
                ]
    assert len(receiver.requests) == 4


@pytest.mark.timeout(1_200)
async def test_kill_9_with_actions_in_flight_leaves_every_action_settled_and_none_done_twice(tmp_path: Path) -> None:
    chance = random.Random(9)

    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(chance.random() * 0.4)
        await status(204)(writer)

    async with Receiver(slowly) as receiver:
        house = House(tmp_path, receiver.url)
        tenants = [
            f"{plan}-{number}-{each}" for number in range(KILLS) for plan in ("again", "once") for each in range(3)
        ]
        house.service.start()
        for number in range(KILLS):
            async with house.client() as client:
                alarms = [alarm(house, client, tenant) for tenant in tenants if tenant.split("-")[1] == str(number)]
                running = asyncio.gather(*alarms, return_exceptions=True)
                await asyncio.sleep(chance.random() * 0.6)
                house.service.kill()
                await running
            house.service.start()
        async with house.client() as client:
            for tenant in tenants:
                await alarm(house, client, tenant)
        await until(lambda: in_flight(events(house)) == set())
        house.service.stop()
        found = await asyncio.to_thread(events, house)
    reached: dict[str, list[str]] = defaultdict(list)
    for request in receiver.requests:
        reached[verified(request)["data"]["tenant"]].append(request.headers["webhook-id"])
    assert all(len(set(ids)) == 1 for ids in reached.values())
    assert all(len(ids) == 1 for tenant, ids in reached.items() if tenant.startswith("once"))
    for tenant in tenants:
        told = found[tenant]
        (settled,) = of(told, "ActionSettled")
        attempts, ends = of(told, "ActionAttempted"), of(told, "AttemptEnded")
        assert [each["attempt"] for each in attempts] == [each["attempt"] for each in ends]
        if tenant.startswith("again"):
            assert settled["result"] == "succeeded", told
        else:
            assert len(attempts) == 1
            assert (settled["result"], bool(of(told, "RefusalBegun"))) in (("succeeded", False), ("unknown", True))
    assert len(receiver.requests) >= len(tenants) // 2


async def alarm(house: House, client: httpx.AsyncClient, tenant: str) -> None:
    """The tenant's rule acts, once: a repeat finds it in its cool-down."""
    await house.grant(client, tenant, tenant.split("-")[0])
    (await client.post("/pubsub", json=house.message(tenant, ["91", "92", "93"]))).raise_for_status()


def in_flight(found: dict[str, list[tuple[str, dict[str, Any]]]]) -> set[str]:
    return {event["action_id"] for told in found.values() for event in of(told, "ActionRequested")} - {
        event["action_id"] for told in found.values() for event in of(told, "ActionSettled")
    }


async def until_told(house: House, client: httpx.AsyncClient, condition: Any) -> None:
    """Sends measurements, calm and then high, until that is so."""
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while not await asyncio.to_thread(condition):
            await client.post("/pubsub", json=house.message("acme", ["40", "40", "40", "91", "92", "93"]))
            await asyncio.sleep(0.2)


async def until(condition: Any) -> None:
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.2)


THROTTLE: Final = """
plans:
  held:
    rank: 10
    quotas: {calls: {limit: 100, per: lifetime, kind: hard}}
    governor:
      budget: {max: 5, per: 1h}
      rules:
        - {name: surge, signal: cpu_utilization, over: 1 samples, act_when: value > 80.0, clear_when: value < 50.0,
           cooldown: 1h, action: throttle, with: {requests: 3, per: 1h, for: 30d}, mode: enforce}
"""


async def test_a_throttle_holds_consumes_and_checks_to_its_rate_and_is_in_force_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "plans.yaml"
    file.write_text(THROTTLE)
    service = Service(tmp_path / "data", environ={"PLANS_FILE": str(file)})

    async def held(client: httpx.AsyncClient) -> bool:
        return "throttle" in (await client.get("/v1/tenants/acme")).json()["governor"]

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {service.admin_token}"})

    item = {"operation": "consume", "quota": "calls", "amount": 1}
    with service:
        async with client() as asking:
            grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "held"}
            (await asking.post("/marketplace", json=grant)).raise_for_status()
            signal = {"metric": "cpu_utilization", "value": 99}
            (await asking.post("/v1/tenants/acme/signals", json=signal)).raise_for_status()
            async with asyncio.timeout(SETTLED_SECONDS_MAX):
                while not await held(asking):
                    await asyncio.sleep(0.05)
            items = [{**item, "request_id": str(number)} for number in range(8)]
            replies = (await asking.post("/v1/tenants/acme/usage", json={"items": items})).json()["items"]
            statuses = [each["status"] for each in replies]
            # An hour's window may end between two of them, and then three more are let in.
            assert statuses[:3] == [200] * 3
            assert statuses.count(429) >= 2
            check = await asking.post("/v1/tenants/acme/check", json={})
            assert check.json()["throttle"]["requests"] == 3
            assert check.headers["ratelimit-policy"] == '"throttle";q=3;w=3600'
    with service:
        async with client() as asking:
            assert await held(asking)
            for number in range(8):
                reply = await asking.post("/v1/tenants/acme/usage", json={**item, "request_id": f"again-{number}"})
                if reply.status_code == 429:
                    break
            assert reply.status_code == 429, "the rate is enforced after the restart too"
            assert reply.json()["violated-policies"] == ["throttle"]
            assert int(reply.headers["retry-after"]) <= 3_600
    verify(await asyncio.to_thread(exported, service.data_dir), {})
