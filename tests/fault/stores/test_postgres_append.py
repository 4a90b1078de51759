"""
The fault table of append, on the wire: the connection breaks behind every message that goes up (its step fails and is
lost, or is done and nobody hears of it) and behind every one that comes down.

Afterwards the ledger is as before or as intended, in every table; sending the same bytes again ends in the one
intended state; and so does the next append.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from tests.contract.stores.builders import append, receipt, send, verify
from tests.engines.postgresql import Cluster
from tests.engines.proxy import Action, Direction, Proxy
from tests.fault.stores.cases import Case
from tests.sizes import size

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Append, Appended, Busy, Conflict, Due, Duplicates, Outcome, Receipt
from tai_autonomics.stores.postgres import PostgresStore

pytestmark = [pytest.mark.anyio, pytest.mark.full]

TRIES_MAX = 200
NOTHING = (None, (), (), None)


def case_of(number: int) -> Case:
    """All names are equally long, so that all appends are."""
    return Case(f"tenant-{number:05}")


class Bench:
    """A store behind the proxy, one beside it that no fault meets, and the database of both."""

    def __init__(self, cluster: Cluster, database: str, proxy: Proxy, faulty: PostgresStore, sound: PostgresStore):
        self.cluster, self.database, self.proxy, self.faulty, self.sound = cluster, database, proxy, faulty, sound

    async def everything(self, case: Case) -> tuple[Any, ...]:
        """What the tables of one ledger say."""
        query = f"SELECT subject, kind, due, payload FROM tai.due WHERE tenant = '{case.tenant}'"
        return (
            await self.sound.read(case.tenant),
            await self.sound.parts(case.tenant, 1, 9),
            tuple(Due(*row) for row in self.cluster.execute(query, self.database)),
            await self.sound.find(case.tenant, "command-2"),
        )

    async def quiet(self) -> None:
        """Until no transaction of a broken connection is under way any more."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self.database}' AND xact_start IS NOT NULL"
        for _ in range(TRIES_MAX):
            if self.cluster.execute(query) == [(0,)]:
                return
            await asyncio.sleep(0.01)
        pytest.fail("a transaction is still under way")

    async def settle(self, wanted: Append) -> Outcome:
        """As the corridor does: the same bytes, until they are stored or found."""
        for _ in range(TRIES_MAX):
            try:
                (outcome,) = await send(self.faulty, wanted)
            except StoreUnavailable:
                continue
            if not isinstance(outcome, Busy):
                return outcome
            await asyncio.sleep(0.01)
        pytest.fail("it never settled")


@pytest.fixture
async def bench(cluster: Cluster) -> AsyncIterator[Bench]:
    database = cluster.database()
    async with Proxy(cluster.port) as proxy:
        sound = await PostgresStore.open(cluster.url(database))
        # One connection, so that no other's bytes pass meanwhile.
        faulty = await PostgresStore.open(cluster.url(database, port=proxy.port), connections_max=1)
        yield Bench(cluster, database, proxy, faulty, sound)
        await faulty.aclose()
        await sound.aclose()


def boundaries(stream: bytes) -> list[int]:
    """Where the messages of the protocol end (PostgreSQL 15 documentation, 55.7: a letter and a length)."""
    ends, at = [0], 0
    while at < len(stream):
        at += 1 + int.from_bytes(stream[at + 1 : at + 5], "big")
        ends.append(at)
    assert at == len(stream), "not whole messages"
    return ends


async def strikes(bench: Bench, direction: Direction, wanted: Append) -> list[int]:
    """The places where an append like this one can break; it is sent to find them."""
    await bench.faulty.tenants("", 1)
    bench.proxy.record()
    assert await send(bench.faulty, wanted) == (Appended(),)
    passed = boundaries(bytes(bench.proxy.passed[direction]))
    # The short size takes every other one, and always the last, around the commit.
    return [*passed[: -8 : size(short=3, full=1)], *passed[-8:]]


@pytest.mark.parametrize("action", ["cut", "reset"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("begins", [True, False])
async def test_a_connection_that_breaks_anywhere_in_an_append_leaves_all_of_it_or_nothing(
    bench: Bench, direction: Direction, action: Action, begins: bool
) -> None:
    model = case_of(99_999)
    if not begins:
        await send(bench.sound, model.begin)
    places = await strikes(bench, direction, model.begin if begins else model.everything)
    seen = set()
    for number, place in enumerate(places):
        case = case_of(number)
        if not begins:
            await send(bench.sound, case.begin)
        wanted = case.begin if begins else case.everything
        # A connection that works, so that the fault meets the append and not the pool.
        await bench.faulty.tenants("", 1)
        bench.proxy.arm(direction, place, action)
        try:
            told = await send(bench.faulty, wanted)
        except StoreUnavailable:
            told = ()
        assert bench.proxy.struck.is_set()
        bench.proxy.heal()
        await bench.quiet()
        stored = await bench.everything(case)
        start, end = (NOTHING, case.before) if begins else (case.before, case.after)
        assert stored in (start, end), f"broken {direction} after {place}"
        assert told == () or (told == (Appended(),) and stored == end)
        seen.add((told == (), stored == end))
        match await bench.settle(wanted):
            case Appended():
                assert stored == start
            case Duplicates(found):
                assert list(found.values()) == list(wanted.receipts)
                assert stored == end
            case other:
                pytest.fail(f"{other}")
        assert await bench.everything(case) == end
    # Both lines of the table were met: lost, and persisted though nobody heard.
    assert {(True, False), (True, True)} <= seen


async def test_after_any_fault_the_next_append_finds_its_place(bench: Bench) -> None:
    model = case_of(99_999)
    await send(bench.sound, model.begin)
    for number, place in enumerate((await strikes(bench, "up", model.everything))[::5]):
        case = case_of(number)
        await send(bench.sound, case.begin)
        await bench.faulty.tenants("", 1)
        bench.proxy.arm("up", place, "reset")
        with suppress(StoreUnavailable):
            await send(bench.faulty, case.everything)
        bench.proxy.heal()
        await bench.settle(case.everything)
        assert await bench.settle(append(case.tenant, [case.third], case.second)) == Appended()
        await verify(bench.sound, case.tenant, receipts=3)


async def test_a_reply_to_the_commit_that_comes_late_is_waited_for(bench: Bench) -> None:
    case = case_of(1)
    await send(bench.sound, case.begin)
    model = case_of(2)
    await send(bench.sound, model.begin)
    places = await strikes(bench, "down", model.everything)
    await bench.faulty.tenants("", 1)
    bench.proxy.arm("down", places[-3], "hold")
    sending = asyncio.create_task(send(bench.faulty, case.everything))
    await bench.proxy.struck.wait()
    while await bench.sound.find(case.tenant, "command-2") is None:
        await asyncio.sleep(0)
    assert not sending.done()
    bench.proxy.heal()
    assert await sending == (Appended(),)


def held_stale_and_clean(held: Case, stale: Case, clean: Case) -> list[Append]:
    again = receipt(held.tenant, held.first, command_id="command-1")
    late = receipt(stale.tenant, command_id="late")
    return [append(held.tenant, [again], held.first), append(stale.tenant, [late]), clean.everything]


async def test_others_are_told_beside_a_tenant_whose_commit_nobody_hears_of(bench: Bench) -> None:
    models, cases = [case_of(91), case_of(92), case_of(93)], [case_of(1), case_of(2), case_of(3)]
    for case in (*models, *cases):
        await send(bench.sound, case.begin)
    await bench.faulty.tenants("", 1)
    bench.proxy.record()
    await send(bench.faulty, *held_stale_and_clean(*models))
    places = boundaries(bytes(bench.proxy.passed["down"]))
    batch = held_stale_and_clean(*cases)
    held, stale, clean = cases
    told: list[tuple[str, Outcome]] = []
    # The reply to COMMIT is five messages, and they are what never comes.
    bench.proxy.arm("down", places[-6], "cut")
    with pytest.raises(StoreUnavailable):
        await bench.faulty.append(batch, lambda one, outcome: told.append((one.tenant, outcome)))
    bench.proxy.heal()
    first: dict[str, Receipt] = {"command-1": held.first}
    assert [(tenant, type(outcome)) for tenant, outcome in told] == [
        (held.tenant, Duplicates),
        (stale.tenant, Conflict),
    ]
    assert isinstance(told[0][1], Duplicates)
    assert told[0][1].first == first
    assert isinstance(await bench.settle(clean.everything), Appended | Duplicates)


async def test_a_server_that_stands_still_is_left_and_used_again_when_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tai_autonomics.stores.postgres.connections.WORK_SECONDS_MAX", 0.3)
    case = case_of(1)
    await bench.faulty.tenants("", 1)
    bench.proxy.arm("up", 50, "hold")
    with pytest.raises(StoreUnavailable, match="did not answer within"):
        await send(bench.faulty, case.begin)
    bench.proxy.heal()
    await bench.settle(case.begin)
    await verify(bench.sound, case.tenant, receipts=1)


async def test_a_caller_that_leaves_waits_for_no_server(bench: Bench) -> None:
    case = case_of(1)
    await bench.faulty.tenants("", 1)
    bench.proxy.arm("up", 50, "hold")
    sending = asyncio.create_task(send(bench.faulty, case.begin))
    await bench.proxy.struck.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await sending
    bench.proxy.heal()
    await bench.settle(case.begin)
