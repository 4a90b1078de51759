"""What becomes of a quarantined message: each way out of redriving.py's drawing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.ingress.front import GRANT, NOW, VERIFY, FixedEntropy, House, Response, envelope

from tai_autonomics.application.ports import Store
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of
from tai_autonomics.errors import (
    BrokenChain,
    ConcurrentWrite,
    IdempotencyKeyReused,
    LedgerNewerThanCode,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from tai_autonomics.ingress import redriving
from tai_autonomics.ingress.app import build
from tai_autonomics.ingress.redriving import PAGE_MAX, Redriving, redrive_at
from tai_autonomics.ledger.records import Quarantined
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

OF = "pubsub:projects/p/subscriptions/s"
TRACE = "ab" * 16
LONG = timedelta(hours=1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rest() -> AsyncIterator["Rest"]:
    store = await SQLiteStore.open(None)
    yield Rest(store)
    await store.aclose()


class Rest:
    """A front door whose quarantine is a real store's, and what redrives it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.house = House(tenant_rate_per_second=1)
        self.house.door = replace(self.house.door, quarantine=store.quarantine)
        self.house.app = build(self.house.door)
        self.redriving = Redriving(self.house.door, store)

    async def push(self, payload: Any, *, token: str = "integration", number: int = 17) -> Response:
        given = envelope(payload, deliveryAttempt=9)
        given["message"]["messageId"] = str(number)
        headers = {"traceparent": f"00-{TRACE}-{'cd' * 8}-01"}
        return await self.house.acall("POST", "/pubsub", given, token=token, headers=headers)

    async def held(self) -> tuple[Quarantined, ...]:
        return await self.store.quarantined("", 99)

    async def later(self, by: timedelta = LONG) -> int:
        """So much later, whatever is due by then is redriven."""
        self.house.clock.wall += by
        return await self.redriving.redrive_due()

    def decided(self, tenant: str = "acme") -> list[str]:
        return [receipt.command_id for receipt in self.house.corridor.ledgers.get(tenant, [])]


async def test_what_a_rate_left_undecided_is_decided_once_and_released(rest: Rest) -> None:
    response = await rest.push([GRANT, VERIFY, VERIFY])
    assert [item["status"] for item in response.json["items"]] == [200, 429, 429]
    assert rest.decided() == [f"{OF}:17/0"]
    assert await rest.later() == 1
    assert rest.decided() == [f"{OF}:17/0", f"{OF}:17/1", f"{OF}:17/2"]
    assert await rest.held() == ()
    assert await rest.later() == 0


async def test_it_is_decided_in_the_name_of_who_brought_it(rest: Rest) -> None:
    rest.house.corridor.raise_with["acme"] = ConcurrentWrite("others")
    await rest.push({**GRANT, "metadata": {"a": 1}}, token="acme")
    before = rest.house.corridor.submissions[0]
    await rest.later()
    assert rest.house.corridor.submissions == [before, before]
    assert (before.by, before.trace) == ("acme-bot", TRACE)


async def test_nothing_is_delivered_before_its_time(rest: Rest) -> None:
    await rest.push([GRANT, VERIFY])
    assert await rest.later(timedelta(0)) == 0
    assert len(rest.decided()) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded("rate_limited", "lane"), "rate_limited"),
        (LedgerNewerThanCode("newer"), "ledger_newer_than_code"),
        (ConcurrentWrite("others"), "conflict"),
    ],
)
async def test_a_tenant_still_at_fault_is_tried_again_after_a_longer_pause(
    rest: Rest, error: Exception, reason: str
) -> None:
    rest.house.corridor.raise_with["acme"] = error
    await rest.push([GRANT, {**GRANT, "tenant_id": "beta"}])
    for redrives in (1, 2):
        await rest.later()
        (message,) = await rest.held()
        assert (message.reason, message.redrives) == (reason, redrives)
        assert message.redrive_at == redrive_at(rest.house.door, redrives=redrives)
    assert len(rest.decided("beta")) == 1
    del rest.house.corridor.raise_with["acme"]
    await rest.later()
    assert (await rest.held(), len(rest.decided())) == ((), 1)


async def test_signals_of_a_message_are_counted_each_time_that_their_tenant_refuses_them(rest: Rest) -> None:
    rest.house.corridor.raise_with["acme"] = ConcurrentWrite("others")
    signal = {"tenant_id": "acme", "metric": "cpu", "value": 1}
    await rest.push([signal, signal, GRANT])
    await rest.later()
    assert rest.house.ear.refused == [("conflict", 2)] * 2


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), BrokenChain(tenant="acme", seq=1, step=2, detail="x")])
async def test_our_own_error_is_told_and_the_message_tried_again(rest: Rest, error: Exception) -> None:
    rest.house.corridor.raise_with["acme"] = error
    await rest.push(GRANT)
    await rest.push({**GRANT, "tenant_id": "beta"}, number=18)
    assert await rest.later() == 1
    assert rest.house.ear.failures[-1] == ("redriving", error)
    assert f"quarantined message {OF}:17" in error.__notes__
    (message,) = await rest.held()
    assert (message.id, message.reason, message.redrives) == (f"{OF}:17", "internal", 1)
    assert message.redrive_at is not None


@pytest.mark.parametrize("error", [StoreUnavailable("down"), OutcomeUnknown("late"), Overloaded("overloaded", "full")])
async def test_the_whole_in_trouble_ends_the_page_and_stops_nobody_for_good(rest: Rest, error: Exception) -> None:
    await rest.push([GRANT, VERIFY], number=17)
    await rest.push([{**GRANT, "tenant_id": "beta"}, {**VERIFY, "tenant_id": "beta"}], number=18)
    rest.house.corridor.raise_with["acme"] = error
    with pytest.raises(type(error)):
        await rest.later()
    assert len(rest.decided("beta")) == 1
    await rest.later(timedelta(0))
    assert len(rest.decided("beta")) == 2
    assert [message.id for message in await rest.held()] == [f"{OF}:17"]


async def test_a_key_that_is_reused_holds_no_message_back(rest: Rest) -> None:
    rest.house.corridor.raise_with["acme"] = ConcurrentWrite("others")
    await rest.push(GRANT)
    rest.house.corridor.raise_with["acme"] = IdempotencyKeyReused("other content")
    await rest.later()
    assert await rest.held() == ()


async def test_what_is_not_understood_is_delivered_when_an_operator_asks_and_waits_for_the_next_word(
    rest: Rest,
) -> None:
    await rest.push(b"test")
    assert await rest.later() == 0
    (message,) = await rest.held()
    now = moment_of(rest.house.clock.wall)
    await rest.store.put_off_quarantined(message.id, reason=message.reason, redrives=0, redrive_at=now)
    assert await rest.later() == 1
    assert await rest.held() == (replace(message, redrives=1),)


async def test_who_brought_it_reaches_no_other_tenant_when_it_is_understood_at_last(rest: Rest) -> None:
    narrow = replace(rest.house.door, limits=replace(rest.house.door.limits, push_payload_bytes_max=1))
    rest.house.app = build(narrow)
    await rest.push({**GRANT, "tenant_id": "other"}, token="acme")
    (message,) = await rest.held()
    now = moment_of(rest.house.clock.wall)
    await rest.store.put_off_quarantined(message.id, reason=message.reason, redrives=0, redrive_at=now)
    await rest.later()
    (message,) = await rest.held()
    assert (message.reason, message.redrive_at) == ("tenant_forbidden", None)
    assert rest.house.corridor.submissions == []


async def test_a_message_that_pubsub_delivers_meanwhile_is_decided_once(rest: Rest) -> None:
    await rest.push([GRANT, VERIFY])
    rest.house.clock.seconds += 1
    await rest.push([GRANT, VERIFY])
    assert len(await rest.held()) == 1
    await rest.later()
    assert rest.decided() == [f"{OF}:17/0", f"{OF}:17/1"]


def test_the_pause_doubles_up_to_five_minutes_and_at_least_half_of_it_is_kept() -> None:
    house = House()
    earliest, latest = FixedEntropy(), FixedEntropy()
    earliest.bytes = lambda count: b"\x00" * count  # type: ignore[method-assign]
    latest.bytes = lambda count: b"\xff" * count  # type: ignore[method-assign]
    for redrives, seconds in ((0, 2), (1, 4), (7, 256), (8, 300), (5_000, 300)):
        found = [
            datetime_of(Moment(redrive_at(replace(house.door, entropy=entropy), redrives=redrives))) - NOW
            for entropy in (earliest, latest)
        ]
        assert found[0] == timedelta(seconds=seconds / 2)
        assert timedelta(seconds=seconds * 0.999) < found[1] <= timedelta(seconds=seconds)


# ---- the loop


async def running(rest: Rest, until: asyncio.Event) -> None:
    """Redrives in the background until it is told that the end has come."""
    task = asyncio.create_task(rest.redriving.run())
    async with asyncio.timeout(10):
        await until.wait()
        rest.house.drain.begin()
        await task


async def test_a_full_page_is_followed_by_the_next_at_once(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "POLL_SECONDS", 0.001)
    rest.house.corridor.raise_with["acme"] = ConcurrentWrite("others")
    for number in range(PAGE_MAX + 1):
        await rest.push(GRANT, number=number)
    del rest.house.corridor.raise_with["acme"]
    rest.house.clock.wall += LONG
    last = asyncio.Event()
    release = rest.store.release_quarantined

    async def released(id: str) -> None:
        await release(id)
        if not await rest.held():
            last.set()

    monkeypatch.setattr(rest.store, "release_quarantined", released)
    await running(rest, last)
    assert len(rest.decided()) == PAGE_MAX + 1


async def test_a_store_that_is_away_is_told_of_and_asked_again(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "POLL_SECONDS", 0.001)
    asked, again = [], asyncio.Event()

    async def away(now: str, limit: int) -> tuple[Quarantined, ...]:
        asked.append(now)
        if len(asked) > 1:
            again.set()
            return ()
        raise StoreUnavailable("down")

    monkeypatch.setattr(rest.store, "to_redrive", away)
    await running(rest, again)
    assert [what for what, _ in rest.house.ear.failures] == ["redriving"]


async def test_a_service_that_stops_leaves_the_rest_for_its_next_start(rest: Rest) -> None:
    await rest.push([GRANT, VERIFY])
    rest.house.drain.begin()
    await rest.later()
    assert len(await rest.held()) == 1
    await rest.redriving.run()
