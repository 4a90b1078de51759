"""Several instances on one database: no fork, no gap, each command once, and nobody starves."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.stores.builders import append, chain, moment, receipt, send, verify
from tests.engines.postgresql import Cluster
from tests.engines.proxy import Proxy
from tests.sizes import size

from tai_autonomics.errors import LedgerNewerThanCode, StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.records import Append, Appended, Busy, Conflict, Due, Duplicates, Outcome, Quarantined
from tai_autonomics.stores.postgres import PostgresStore, connections, holding, migrating

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
PROCESSES = 4
TRIES_MAX = 500


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.database()


@pytest.fixture
async def two(cluster: Cluster, database: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Two instances."""
    one = await PostgresStore.open(cluster.url(database), quarantine_max=3)
    other = await PostgresStore.open(cluster.url(database), quarantine_max=3)
    yield one, other
    await one.aclose()
    await other.aclose()


async def settle(store: PostgresStore, wanted: Append) -> Outcome:
    for _ in range(TRIES_MAX):
        (outcome,) = await send(store, wanted)
        if not isinstance(outcome, Busy):
            return outcome
        await asyncio.sleep(0.001)
    pytest.fail("busy without end")


@pytest.mark.full
async def test_a_command_that_two_instances_get_at_one_moment_has_one_receipt(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    head = None
    for number in range(rounds := size(short=50, full=1_000)):
        # The two seal different bytes, as two instances do.
        ours = receipt("acme", head, command_id=f"c{number}", padding=1)
        theirs = receipt("acme", head, command_id=f"c{number}", padding=2)
        outcomes = await asyncio.gather(
            settle(two[0], append("acme", [ours], head)), settle(two[1], append("acme", [theirs], head))
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Appended", "Duplicates"]
        head = ours if outcomes[0] == Appended() else theirs
        (duplicates,) = [outcome for outcome in outcomes if isinstance(outcome, Duplicates)]
        assert duplicates.first == {f"c{number}": head}
        assert duplicates.head.hash == head.hash
    await verify(two[0], "acme", receipts=rounds)


@pytest.mark.full
@pytest.mark.timeout(120)
async def test_four_processes_of_sixteen_writers_on_one_tenant_all_get_their_share(
    cluster: Cluster, database: str
) -> None:
    store = await PostgresStore.open(cluster.url(database))
    racers = [racing(cluster.url(database), f"p{number}", size(short=4, full=30)) for number in range(PROCESSES)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    stored = []
    for racer in racers:
        out, errors = await asyncio.to_thread(racer.communicate)
        assert errors == ""
        stored.append(int(out.split()[0]))
    assert (await store.heads(["acme"]))["acme"].seq == sum(stored)
    seen: dict[str, set[str]] = {}
    walk, after = Chain("acme"), 0
    while page := await store.receipts("acme", after, 500):
        for one in page:
            walk.extend(one.body, hash=one.hash, parts=())
            seen.setdefault(one.command_id.partition("-")[0], set()).add(one.command_id)
        after = page[-1].seq
    assert [len(seen[f"p{number}"]) for number in range(PROCESSES)] == stored
    await store.aclose()
    assert min(stored) >= sum(stored) / PROCESSES / 10, stored


def racing(url: str, name: str, seconds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fault.stores.racing", url, "acme", name, str(seconds), "holds"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_tenant_whose_head_another_holds_is_busy_alone(two: tuple[PostgresStore, PostgresStore]) -> None:
    made = chain("acme", 2)
    await send(two[0], append("acme", made[:1]))
    async with two[0].held("acme"):
        outcomes = await send(two[1], append("acme", made[1:], made[0]), append("beta", chain("beta", 1)))
        assert outcomes == (Busy(), Appended())
    assert await send(two[1], append("acme", made[1:], made[0])) == (Appended(),)


async def test_who_holds_a_tenant_reads_and_appends_and_that_ends_it(two: tuple[PostgresStore, PostgresStore]) -> None:
    made = chain("acme", 4)
    await send(two[1], append("acme", made[:2]))
    stale = append("acme", [receipt("acme", made[0], command_id="late")], made[0])
    async with two[0].held("acme"):
        assert await two[0].receipts("acme", 1, 9) == made[1:2]
        # What is refused leaves the place taken.
        assert await send(two[0], stale) == (Conflict(made[1:2]),)
        assert await send(two[1], append("acme", made[2:3], made[1])) == (Busy(),)
        both = await send(two[0], append("beta", chain("beta", 1)), append("acme", made[2:3], made[1]))
        assert both == (Appended(), Appended())
        # Told is durable: another instance goes on from there, though the block is not left yet.
        assert await send(two[1], append("acme", made[3:], made[2])) == (Appended(),)
        assert await two[0].receipt("acme", 4) == made[3]
        assert await send(two[0], append("acme", made[3:], made[2])) == (
            Duplicates({"command-4": made[3]}, (await two[0].heads(["acme"]))["acme"]),
        )


async def test_a_new_ledger_can_be_held(two: tuple[PostgresStore, PostgresStore]) -> None:
    async with two[0].held("acme"):
        assert await two[0].read("acme") is None
        both = [append("acme", chain("acme", 1)), append("beta", chain("beta", 1))]
        assert await send(two[1], *both) == (Busy(), Appended())
        assert await send(two[0], append("acme", chain("acme", 1))) == (Appended(),)


async def test_whoever_waits_for_a_held_tenant_is_next(two: tuple[PostgresStore, PostgresStore]) -> None:
    async def hold() -> None:
        async with two[1].held("acme"):
            assert await two[1].receipts("acme", 0, 9) == made[:1]
            assert await send(two[1], append("acme", made[1:], made[0])) == (Appended(),)

    made = chain("acme", 2)
    async with two[0].held("acme"):
        waiting = asyncio.create_task(hold())
        await asyncio.sleep(0)
        assert await send(two[0], append("acme", made[:1])) == (Appended(),)
    await waiting
    await verify(two[0], "acme", receipts=2)


async def test_two_in_one_process_hold_a_tenant_one_after_the_other(two: tuple[PostgresStore, PostgresStore]) -> None:
    inside = 0

    async def hold() -> None:
        nonlocal inside
        async with two[0].held("acme"):
            inside += 1
            assert inside == 1
            await two[0].read("acme")
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(20)))
    assert await send(two[1], append("acme", chain("acme", 1))) == (Appended(),)


async def test_a_place_that_is_not_had_in_time_is_done_without(two: tuple[PostgresStore, PostgresStore]) -> None:
    async with two[0].held("acme"):
        async with two[1].held("acme"):
            assert await send(two[1], append("acme", chain("acme", 1))) == (Busy(),)
        assert await send(two[0], append("acme", chain("acme", 1))) == (Appended(),)


async def test_a_hold_for_which_there_is_no_room_in_time_is_done_without(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "ROOM_SECONDS_MAX", 0.1, raising=False)
    store = await PostgresStore.open(cluster.url(database), connections_max=2)
    async with asyncio.timeout(10), store.held("acme"):
        async with store.held("beta"):
            assert await send(store, append("beta", chain("beta", 1))) == (Appended(),)
        assert await send(store, append("acme", chain("acme", 1))) == (Appended(),)
    await store.aclose()


async def test_a_place_that_is_done_without_keeps_no_connection(
    cluster: Cluster, database: str, two: tuple[PostgresStore, PostgresStore]
) -> None:
    store = await PostgresStore.open(cluster.url(database), connections_max=2)
    async with two[0].held("acme"), store.held("acme"), asyncio.timeout(10), store.held("beta"):
        assert await send(two[0], append("beta", chain("beta", 1))) == (Busy(),)
    await store.aclose()


async def test_a_hold_on_a_server_that_stands_still_ends(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WORK_SECONDS_MAX", 0.5)
    async with Proxy(cluster.port) as proxy:
        store = await PostgresStore.open(cluster.url(database, port=proxy.port))
        async with asyncio.timeout(10):
            async with store.held("acme"):
                proxy.arm("up", 1, "hold")
            proxy.heal()
            assert await settle(store, append("acme", chain("acme", 1))) == Appended()
        await store.aclose()


async def test_a_hold_whose_connection_is_lost_is_over(
    cluster: Cluster, database: str, two: tuple[PostgresStore, PostgresStore]
) -> None:
    made = chain("acme", 1)
    async with two[0].held("acme"):
        ours = f"datname = '{database}' AND state LIKE 'idle in%'"
        cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
        with pytest.raises(StoreUnavailable):
            await send(two[0], append("acme", made))
        assert await settle(two[0], append("acme", made)) == Appended()
    await verify(two[1], "acme", receipts=1)


async def test_instances_whose_clocks_are_apart_never_hold_the_same_row(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    rows = tuple(Due(f"entitlement/{number:03}", "expire", "2020-01-01T00:00:00.000000Z") for number in range(200))
    future = Due("entitlement/future", "expire", "2098-01-01T00:00:00.000000Z")
    await send(two[0], append("acme", chain("acme", 1), due=(*rows, future)))
    clocks = ("2001-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z")
    leased = await asyncio.gather(*(two[turn % 2].lease(15, 60.0, clocks[turn % 2]) for turn in range(20)))
    subjects = [one.due.subject for some in leased for one in some]
    assert len(set(subjects)) == len(subjects)
    while some := [*await two[0].lease(50, 60.0, clocks[0]), *await two[1].lease(50, 60.0, clocks[1])]:
        subjects += [one.due.subject for one in some]
    assert sorted(subjects) == [row.subject for row in rows]


async def test_the_quarantine_of_all_instances_together_is_bounded(
    cluster: Cluster, database: str, two: tuple[PostgresStore, PostgresStore]
) -> None:
    # Between counting and inserting each of them takes a while.
    cluster.execute(
        "CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END$$;"
        "CREATE TRIGGER pause BEFORE INSERT ON tai.quarantine FOR EACH ROW EXECUTE FUNCTION public.pause()",
        database,
    )
    messages = [
        Quarantined(
            id=f"m{number:02}",
            time=moment(1),
            reason="not_json",
            digest="0" * 64,
            subscription="s",
            message_id="m",
            by="pusher",
            payload=b"{}",
        )
        for number in range(20)
    ]
    kept = await asyncio.gather(*(two[number % 2].quarantine(one) for number, one in enumerate(messages)))
    assert kept.count(True) == 3
    assert len(await two[0].quarantined("", 99)) == 3


async def test_instances_that_start_at_once_make_the_schema_once(cluster: Cluster, database: str) -> None:
    opened = await asyncio.gather(*(PostgresStore.open(cluster.url(database)) for _ in range(6)))
    made = cluster.execute("SELECT number FROM tai.migrations ORDER BY number", database)
    assert made == [(number,) for number, _ in migrating.MIGRATIONS]
    for store in opened:
        await store.aclose()


async def test_a_schema_of_a_later_release_is_refused(cluster: Cluster, database: str) -> None:
    await (await PostgresStore.open(cluster.url(database))).aclose()
    cluster.execute("INSERT INTO tai.migrations (number) VALUES (9999)", database)
    for read_only in (False, True):
        with pytest.raises(LedgerNewerThanCode, match="schema 9999"):
            await PostgresStore.open(cluster.url(database), read_only=read_only)


async def test_a_reader_makes_no_schema_and_writes_nothing(cluster: Cluster, database: str) -> None:
    with pytest.raises(StoreUnavailable, match="no schema of this release"):
        await PostgresStore.open(cluster.url(database), read_only=True)
    writer = await PostgresStore.open(cluster.url(database))
    await send(writer, append("acme", chain("acme", 1)))
    reader = await PostgresStore.open(cluster.url(database), read_only=True)
    await verify(reader, "acme", receipts=1)
    with pytest.raises(StoreUnavailable, match="opened read-only"):
        await send(reader, append("beta", chain("beta", 1)))
    with pytest.raises(StoreUnavailable, match="opened read-only"):
        await reader.release_quarantined("message")
    await reader.aclose()
    await writer.aclose()
