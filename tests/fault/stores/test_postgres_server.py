"""What the server does to us: it is busy, refuses, ends sessions, restarts; and that nobody has to restart us then."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from tests.contract.stores.builders import SALT, append, chain, receipt, send, verify
from tests.engines import postgresql
from tests.engines.ports import free_port
from tests.engines.postgresql import Cluster
from tests.engines.proxy import Proxy
from tests.journey.standstill import until
from tests.sizes import size

from tai_autonomics.cli import doctor
from tai_autonomics.cli.statuses import ExitStatus
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Append, Appended, Busy, Duplicates, Erasure, Outcome, Part, Receipt
from tai_autonomics.stores.postgres import PostgresStore, connections

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
RECOVERY_SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that these tests restart and reconfigure; what it says is durable is."""
    with postgresql.running(durable=True) as started:
        yield started


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.database()


@pytest.fixture
async def store(cluster: Cluster, database: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(cluster.url(database))
    yield opened
    await opened.aclose()


async def recovered(store: PostgresStore, wanted: Append) -> None:
    """The same bytes until they are stored, and not a restart."""
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while True:
            try:
                (outcome,) = await send(store, wanted)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
                continue
            if isinstance(outcome, Appended | Duplicates):
                return
            await asyncio.sleep(0.02)


def raising(cluster: Cluster, database: str, state: str, *, deferred: bool) -> None:
    """From now on the server ends every insert of a receipt, or its commit, with this SQLSTATE."""
    cluster.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$"
        f"BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$",
        database,
    )
    kind = "CONSTRAINT TRIGGER" if deferred else "TRIGGER"
    when = "DEFERRABLE INITIALLY DEFERRED " if deferred else ""
    statement = f"CREATE {kind} refuse AFTER INSERT ON tai.receipts {when}FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    cluster.execute(statement, database)


@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "at the commit"])
@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_who_is_in_anothers_way_is_busy_and_nothing_is_stored(
    cluster: Cluster, database: str, store: PostgresStore, state: str, deferred: bool
) -> None:
    raising(cluster, database, state, deferred=deferred)
    batch = [append("acme", chain("acme", 1)), append("beta", chain("beta", 1))]
    assert await send(store, *batch) == (Busy(), Busy())
    assert await store.read("acme") is None
    cluster.execute("DROP TRIGGER refuse ON tai.receipts", database)
    assert await send(store, *batch) == (Appended(), Appended())


@pytest.mark.parametrize("state", ["53100", "57014", "XX000"])
@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "at the commit"])
async def test_a_server_that_fails_is_unavailable_until_it_works(
    cluster: Cluster, database: str, store: PostgresStore, state: str, deferred: bool
) -> None:
    raising(cluster, database, state, deferred=deferred)
    with pytest.raises(StoreUnavailable, match="refused"):
        await send(store, append("acme", chain("acme", 1)))
    await store.probe()
    cluster.execute("DROP TRIGGER refuse ON tai.receipts", database)
    assert await send(store, append("acme", chain("acme", 1))) == (Appended(),)


async def test_what_no_ledger_can_hold_is_a_mistake_of_this_program(
    cluster: Cluster, database: str, store: PostgresStore
) -> None:
    await send(store, append("acme", chain("acme", 1)))
    cluster.execute("UPDATE tai.heads SET seq = 0, hash = repeat('0', 64)", database)
    other = receipt("acme", command_id="other")
    with pytest.raises(AssertionError, match="no ledger can hold this"):
        await send(store, append("acme", [other]))
    assert await store.find("acme", "other") is None


async def test_a_table_that_an_operator_locks_makes_appends_busy_within_the_lock_timeout(
    cluster: Cluster, database: str, store: PostgresStore
) -> None:
    with psycopg.connect(cluster.url(database)) as operator:
        operator.execute("LOCK TABLE tai.heads IN EXCLUSIVE MODE")
        assert await send(store, append("acme", chain("acme", 1))) == (Busy(),)
    assert await send(store, append("acme", chain("acme", 1))) == (Appended(),)


async def test_a_server_that_takes_no_writes_is_told_by_the_probe(
    cluster: Cluster, database: str, store: PostgresStore
) -> None:
    cluster.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    async with aclosing(await PostgresStore.open(cluster.url(database))) as standby:
        await asyncio.gather(*(standby.read(f"tenant-{number}") for number in range(20)))
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            await standby.probe()
        with pytest.raises(StoreUnavailable, match="read-only"):
            await send(standby, append("acme", chain("acme", 1)))
        cluster.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = off")
        await recovered(standby, append("acme", chain("acme", 1)))
        # No other connection of that time is left: they were many.
        await asyncio.gather(*(send(standby, append(name, chain(name, 1))) for name in ("b", "c", "d", "e", "f")))
        await standby.probe()


async def test_sessions_that_an_operator_ends_are_replaced(
    cluster: Cluster, database: str, store: PostgresStore
) -> None:
    await asyncio.gather(*(store.read(f"tenant-{number}") for number in range(20)))
    # One that is only being opened would be ended too, and come into the pool behind the check.
    pool = store._connections._pool
    async with asyncio.timeout(20):
        while (stats := pool.get_stats())["pool_available"] < stats["pool_size"]:
            await asyncio.sleep(0)
    ended = cluster.execute(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )
    assert ended[0][0] >= 2
    failed = 0
    for _ in range(20):
        try:
            await store.read("acme")
        except StoreUnavailable:
            failed += 1
            # The first that fails has the others looked at.
            checking = store._connections._checking
            assert checking is not None
            await checking
    assert failed == 1
    await recovered(store, append("acme", chain("acme", 1)))


async def test_more_work_than_connections_waits_and_then_is_unavailable(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WAIT_SECONDS_MAX", 0.5)
    monkeypatch.setattr(connections, "WORK_SECONDS_MAX", 2.0)
    async with Proxy(cluster.port) as proxy:
        store = await PostgresStore.open(cluster.url(database, port=proxy.port), connections_max=2)
        await asyncio.gather(*(store.read("acme") for _ in range(5)))
        proxy.arm("up", 1, "hold")
        first = [asyncio.create_task(store.read("acme")) for _ in range(2)]
        await proxy.struck.wait()
        with pytest.raises(StoreUnavailable, match="no connection to PostgreSQL within"):
            await send(store, append("acme", chain("acme", 1)))
        ended = await asyncio.gather(*first, return_exceptions=True)
        assert [type(one) for one in ended] == [StoreUnavailable] * 2
        proxy.heal()
        await recovered(store, append("acme", chain("acme", 1)))
        await store.aclose()


async def test_a_server_that_cannot_be_reached_or_refuses_is_named_without_the_password(cluster: Cluster) -> None:
    port = free_port()
    for url in (
        f"postgresql://tai:hunter2@127.0.0.1:{port}/db",
        f"postgresql://tai:hunter2@127.0.0.1:{cluster.port}/absent",
        f"postgresql://absent:hunter2@127.0.0.1:{cluster.port}/postgres",
        "postgresql://tai:hunter2@127.0.0.1:hunter2/postgres",
        f"postgresql://tai@127.0.0.1:{cluster.port}/postgres?nonsense=hunter2",
    ):
        with pytest.raises(StoreUnavailable) as refusal:
            await PostgresStore.open(url)
        assert "hunter2" not in str(refusal.value)
        assert "hunter2" not in repr(refusal.value.__cause__)


WAITS_FOR_STANDBY = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def waits_for_standby(own: Cluster) -> bool:
    """Whether a commit does now; the server reads its configuration some time after it was told to."""
    with closing(psycopg.connect(own.url(), autocommit=True)) as connection:
        query = f"SELECT pg_cancel_backend(pid) {WAITS_FOR_STANDBY} AND pid = {connection.info.backend_pid}"
        connection.pgconn.send_query(b"SELECT pg_logical_emit_message(true, '', '')")
        while not (waits := bool(own.execute(query))) and connection.pgconn.is_busy():
            connection.pgconn.consume_input()
        return waits


@contextmanager
def without_standby(own: Cluster) -> Iterator[None]:
    """Every commit waits for a standby that is not there."""
    own.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    own.execute("SELECT pg_reload_conf()")
    try:
        until(partial(waits_for_standby, own), what="commits wait")
        yield
    finally:
        own.execute("ALTER SYSTEM RESET synchronous_standby_names")
        own.execute("SELECT pg_reload_conf()")


async def test_the_doctor_says_what_an_acknowledged_receipt_survives(own: Cluster, cluster: Cluster) -> None:
    store = await PostgresStore.open(own.url(own.database()))
    assert doctor.durability(await store.durability()).detail.startswith("no synchronous standby")
    with without_standby(own):
        async with asyncio.timeout(RECOVERY_SECONDS_MAX):
            while not (found := await store.durability()).names_standbys:
                await asyncio.sleep(0.01)
        assert doctor.durability(found).status is ExitStatus.UNCLEAR
    await store.aclose()
    careless = await PostgresStore.open(cluster.url(cluster.database()))
    assert doctor.durability(await careless.durability()).status is ExitStatus.WRONG
    await careless.aclose()


async def test_a_closed_store_is_unavailable(store: PostgresStore) -> None:
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.read("acme")
    with pytest.raises(StoreUnavailable, match="closed"):
        await send(store, append("acme", chain("acme", 1)))


async def test_what_was_erased_is_pending_while_anybody_may_see_it_or_a_recovery_brings_it_back(
    cluster: Cluster, database: str, store: PostgresStore
) -> None:
    part = Part(1, "metadata", SALT, b"secret-of-ada")
    made = chain("acme", 2)
    assert await store.journal_clean()
    await send(store, append("acme", made[:1], parts=(part,)))
    with psycopg.connect(cluster.url(database)) as beside:
        beside.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        beside.execute("SELECT count(*) FROM tai.heads")
        await send(store, append("acme", made[1:], made[0], erasures=(Erasure(1, "metadata"),)))
        cluster.execute("CHECKPOINT")
        assert not await store.journal_clean()
        assert beside.execute("SELECT text FROM tai.parts").fetchone() == (b"secret-of-ada",)
    assert await store.journal_clean()
    # Nothing in the table's file can be reached any more, whoever reads its pages.
    cluster.execute("CREATE EXTENSION pageinspect", database)
    assert cluster.execute(
        "SELECT count(*) FROM heap_page_items(get_raw_page('tai.parts', 0)) WHERE t_data IS NOT NULL", database
    ) == [(0,)]


async def test_what_was_erased_is_pending_until_the_next_checkpoint(cluster: Cluster, store: PostgresStore) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made, parts=(Part(1, "metadata", SALT, b"{}"),)))
    await send(store, append("acme", (), made[0], erasures=(Erasure(1, "metadata"),)))
    assert not await store.journal_clean()
    cluster.execute("CHECKPOINT")
    assert await store.journal_clean()
    assert await store.journal_clean()


async def write_until(store: PostgresStore, tenant: str, stop: asyncio.Event, acknowledged: list[Receipt]) -> None:
    """One receipt after the other; what was perhaps stored is sent again until it was."""
    while not stop.is_set():
        head = acknowledged[-1] if acknowledged else None
        wanted = receipt(tenant, head)
        await recovered(store, append(tenant, [wanted], head))
        acknowledged.append(wanted)


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_a_server_that_is_stopped_at_once_and_started_again_has_all_that_was_acknowledged(own: Cluster) -> None:
    store = await PostgresStore.open(own.url(own.database()))
    stop = asyncio.Event()
    acknowledged: dict[str, list[Receipt]] = {f"tenant-{number}": [] for number in range(8)}
    async with asyncio.TaskGroup() as writing:
        for tenant, made in acknowledged.items():
            writing.create_task(write_until(store, tenant, stop, made))
        for _ in range(size(short=2, full=20)):
            await _grow(acknowledged, 200)
            await asyncio.to_thread(own.stop, "immediate")
            with pytest.raises(StoreUnavailable):
                await store.probe()
            await asyncio.to_thread(own.start)
        await _grow(acknowledged, 200)
        stop.set()
    for tenant, made in acknowledged.items():
        assert await verify(store, tenant, receipts=len(made)) == tuple(made)
    await store.aclose()


async def _grow(acknowledged: dict[str, list[Receipt]], more: int) -> None:
    wanted = sum(map(len, acknowledged.values())) + more
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while sum(map(len, acknowledged.values())) < wanted:
            await asyncio.sleep(0.01)


async def until_rows(own: Cluster, query: str, *, there: bool) -> None:
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while bool(own.execute(query)) is not there:
            await asyncio.sleep(0.01)


async def test_a_commit_that_no_standby_confirms_is_not_acknowledged(
    own: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await PostgresStore.open(own.url(own.database()))
    await send(store, append("beta", chain("beta", 1)))
    with without_standby(own):
        sending = asyncio.create_task(send(store, append("acme", chain("acme", 1))))
        await until_rows(own, f"SELECT pg_cancel_backend(pid) {WAITS_FOR_STANDBY}", there=True)
        with pytest.raises(StoreUnavailable, match="does not say that the commit is safe"):
            await sending
        # It is there, on this server alone: whoever reads back would acknowledge it.
        monkeypatch.setattr(connections, "WORK_SECONDS_MAX", 0.3)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="did not answer within"):
                await store.receipts("acme", 0, 9)
        await verify(store, "beta", receipts=1)
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await send(store, append("gamma", chain("gamma", 1)))
    await recovered(store, append("gamma", chain("gamma", 1)))
    await verify(store, "acme", receipts=1)
    await store.aclose()


async def until_not_busy(store: PostgresStore, wanted: Append) -> Outcome:
    """The session that was cut off before may have its locks for a moment yet."""
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while (outcome := (await send(store, wanted))[0]) == Busy():
            await asyncio.sleep(0.01)
    return outcome


async def test_a_session_that_waits_for_a_lost_standby_goes_with_our_wait_and_is_acknowledged_by_nobody(
    own: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own.url(own.database())
    store, other = await PostgresStore.open(url), await PostgresStore.open(url)
    made = chain("acme", 3)
    await send(store, append("acme", made[:1]))
    monkeypatch.setattr(connections, "WORK_SECONDS_MAX", 0.3)
    unheard = append("acme", made[1:2], made[0])
    with without_standby(own):
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await send(store, unheard)
        await until_rows(own, f"SELECT 1 {WAITS_FOR_STANDBY}", there=False)
        # It is there now, for all to see, and a failover would take it away.
        assert (await other.heads(["acme"]))["acme"].seq == 2
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await store.receipts("acme", 0, 9)
        # What another instance would answer for: that the command is stored, and what came before its own.
        for wanted in (unheard, append("acme", [receipt("acme", made[0], command_id="other")], made[0])):
            with pytest.raises(StoreUnavailable, match="did not answer within"):
                await until_not_busy(other, wanted)
        await until_rows(own, f"SELECT 1 {WAITS_FOR_STANDBY}", there=False)
    await recovered(store, append("acme", made[2:], made[1]))
    for one in (store, other):
        await verify(one, "acme", receipts=3)
        await one.aclose()


def appending(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fault.stores.appending", url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_everything_acknowledged_before_a_kill_is_there_afterwards(own: Cluster) -> None:
    url = own.url(own.database())
    chance = random.Random(20261124)
    acknowledged: dict[tuple[str, int], str] = {}
    lines: list[str] = []
    for _ in range(size(short=4, full=50)):
        # Two at once on the same ledgers; one is killed in the middle of its work, and then the other.
        children = [appending(url), appending(url)]
        for child in children:
            assert child.stdout is not None
            lines += [child.stdout.readline() for _ in range(chance.randint(1, 100))]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
            assert child.stderr is not None
            assert child.stderr.read() == ""
            child.wait()
            child.stdout.close()
            child.stderr.close()
    # A line that the kill cut short acknowledged nothing.
    for line in lines:
        if line.endswith("\n"):
            tenant, seq, digest = line.split()
            acknowledged[tenant, int(seq)] = digest
    store = await PostgresStore.open(url)
    stored: dict[tuple[str, int], str] = {}
    heads = await store.heads(await store.tenants("", 100))
    timers = {leased.tenant: leased.due.subject for leased in await store.lease(99, 1.0)}
    assert timers == {tenant: f"entitlement/{head.seq}" for tenant, head in heads.items()}
    for tenant, head in heads.items():
        made = await verify(store, tenant, receipts=head.seq)
        stored.update({(tenant, one.seq): one.hash for one in made})
    assert acknowledged.items() <= stored.items()
    assert acknowledged
    await store.aclose()
