"""Two processes and one file: one writes, the others read; and a killed one loses nothing that it acknowledged."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.stores.builders import append, chain, moment, receipt, send, verify
from tests.sizes import size

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Appended, Due, Duplicates, Ledger
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


def appending(path: Path) -> subprocess.Popen[str]:
    """A process that appends without end and says what was acknowledged, a line each: tenant, seq, hash."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fault.stores.appending", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_second_writing_process_is_refused_at_once_with_the_firsts_number(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    with appending(path) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(StoreUnavailable, match=rf"another process writes .*tai\.db \(pid {first.pid}\)"):
            await SQLiteStore.open(str(path))
        first.kill()
        first.communicate()
    store = await SQLiteStore.open(str(path))
    await store.aclose()


async def test_a_second_store_in_one_process_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "tai.db")
    first = await SQLiteStore.open(path)
    with pytest.raises(StoreUnavailable, match="another process writes"):
        await SQLiteStore.open(path)
    await send(first, append("acme", [receipt("acme")]))
    await first.aclose()
    second = await SQLiteStore.open(path)
    await verify(second, "acme", receipts=1)
    await second.aclose()


async def test_a_reader_beside_the_writer_sees_what_was_appended_since(tmp_path: Path) -> None:
    path = str(tmp_path / "tai.db")
    writer = await SQLiteStore.open(path)
    made = chain("acme", 2)
    await send(writer, append("acme", made[:1]))
    reader = await SQLiteStore.open(path, read_only=True)
    await verify(reader, "acme", receipts=1)
    await send(writer, append("acme", made[1:], made[0]))
    await verify(reader, "acme", receipts=2)
    await writer.aclose()
    await verify(reader, "acme", receipts=2)
    await reader.probe()
    await reader.aclose()


async def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "tai.db")
    await (await SQLiteStore.open(path)).aclose()
    reader = await SQLiteStore.open(path, read_only=True)
    with pytest.raises(StoreUnavailable, match="opened read-only"):
        await send(reader, append("acme", [receipt("acme")]))
    with pytest.raises(StoreUnavailable, match="opened read-only"):
        await reader.release_quarantined("message")
    await reader.aclose()


async def test_closing_ends_when_what_was_begun_has_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "tai.db")
    store = await SQLiteStore.open(path)
    await send(store, append("acme", chain("acme", 50), due=(Due("entitlement/ent_1", "expire", moment(1)),)))
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.read("acme")
    with pytest.raises(StoreUnavailable, match="closed"):
        await send(store, append("beta", [receipt("beta")]))
    again = await SQLiteStore.open(path)
    await verify(again, "acme", receipts=50)
    assert len(await again.lease(9, 1.0, moment(2))) == 1
    await again.aclose()


async def test_an_append_whose_caller_left_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))
    for number in range(20):
        tenant = f"tenant-{number}"
        made = chain(tenant, 20)
        sending = asyncio.create_task(send(store, append(tenant, made)))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        # Absence proves nothing while it may be on its way: the same bytes settle it.
        assert await store.read(tenant) in (None, Ledger(None, made))
        match (await send(store, append(tenant, made)))[0]:
            case Appended():
                pass
            case Duplicates(first):
                assert list(first.values()) == list(made)
            case other:
                pytest.fail(f"{other}")
        await verify(store, tenant, receipts=20)
    await store.aclose()


@pytest.mark.full
@pytest.mark.timeout(1_200)
async def test_everything_acknowledged_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    chance = random.Random(20261124)
    acknowledged: dict[tuple[str, int], str] = {}
    for _ in range(size(short=20, full=200)):
        with appending(path) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(chance.randint(1, 300))]
            child.send_signal(signal.SIGKILL)
            # To the end of the same stream: another reader would begin in the middle of a line that this one has read.
            rest = child.stdout.read()
            assert child.stderr is not None
            errors = child.stderr.read()
        assert errors == ""
        # A line that the kill cut short acknowledged nothing.
        for line in [*lines, *rest.splitlines(keepends=True)]:
            if line.endswith("\n"):
                tenant, seq, digest = line.split()
                acknowledged[tenant, int(seq)] = digest
    store = await SQLiteStore.open(str(path))
    assert await store.problems() == ()
    stored: dict[tuple[str, int], str] = {}
    heads = await store.heads(await store.tenants("", 100))
    timers = {leased.tenant: leased.due.subject for leased in await store.lease(99, 1.0, moment(2))}
    assert timers == {tenant: f"entitlement/{head.seq}" for tenant, head in heads.items()}
    for tenant, head in heads.items():
        made = await verify(store, tenant, receipts=head.seq)
        stored.update({(tenant, one.seq): one.hash for one in made})
    assert acknowledged.items() <= stored.items()
    await store.aclose()
