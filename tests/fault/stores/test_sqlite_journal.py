"""The journal: erased bytes leave it, it stays bounded under load, and readers do not stop it for good."""

import asyncio
import os
import random
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract.stores.builders import SALT, append, receipt, send, snapshot_of, verify
from tests.sizes import size

from tai_autonomics.ledger.records import Append, Appended, Erasure, Part, Receipt, Snapshot
from tai_autonomics.stores.sqlite import SQLiteStore, checkpoints, files

pytestmark = pytest.mark.anyio

SECRET = b'"the patient is Ada Lovelace"'
PART = Part(1, "metadata", SALT, SECRET)


def on_disk(path: Path) -> bytes:
    journal = path.with_name(path.name + "-wal")
    return path.read_bytes() + (journal.read_bytes() if journal.exists() else b"")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def erase(store: SQLiteStore) -> None:
    first = receipt("acme", parts=[PART])
    await send(store, append("acme", [first], parts=(PART,)))
    await send(store, append("acme", [receipt("acme", first)], first, erasures=(Erasure(1, "metadata"),)))


async def test_erased_bytes_are_gone_from_file_and_journal(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    first = receipt("acme", parts=[PART])
    await send(store, append("acme", [first], parts=(PART,)))
    assert SECRET in on_disk(path)
    await send(store, append("acme", (), first, erasures=(Erasure(1, "metadata"),)))
    assert await store.journal_clean()
    assert SECRET not in on_disk(path)
    assert SALT not in on_disk(path)
    await store.aclose()


async def test_a_reader_in_the_way_keeps_the_journal_from_being_clean_and_then_nobody_need_ask(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    await send(store, append("beta", [receipt("beta")]))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM receipts").fetchone()
    await erase(store)
    # Nobody waits for the reader: neither this, nor an append behind it.
    async with asyncio.timeout(files.BUSY_SECONDS / 2):
        assert not await store.journal_clean()
        assert await send(store, append("gamma", [receipt("gamma")])) == (Appended(),)
    assert SECRET in on_disk(path)
    reader.execute("ROLLBACK")
    reader.close()
    await until(lambda: SECRET not in on_disk(path))
    assert await store.journal_clean()
    await store.aclose()


async def test_what_a_killed_process_left_in_the_journal_goes_at_the_next_start(tmp_path: Path) -> None:
    path, copy = tmp_path / "tai.db", tmp_path / "copy" / "tai.db"
    store = await SQLiteStore.open(str(path))
    await send(store, append("beta", [receipt("beta")]))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM receipts").fetchone()
    await erase(store)
    # The files as a kill at this instant would leave them.
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    reader.close()
    await store.aclose()
    assert SECRET in on_disk(copy)
    again = await SQLiteStore.open(str(copy))
    await until(lambda: SECRET not in on_disk(copy))
    await verify(again, "acme", receipts=2)
    await again.aclose()


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2))
async def test_no_erased_part_is_left_anywhere_in_a_file_that_lived(tmp_path: Path, seed: int) -> None:
    # Deleting rows leaves copies of their neighbours in the gaps of pages; a few thousand erasures show it.
    chance = random.Random(seed)
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    heads: dict[str, Receipt | None] = {f"tenant-{number}": None for number in range(30)}
    alive: dict[str, list[tuple[int, bytes]]] = {tenant: [] for tenant in heads}
    erased: list[bytes] = []
    for turn in range(size(short=60, full=600)):
        batch = []
        for tenant in chance.sample(sorted(heads), 8):
            base = head = heads[tenant]
            made: list[Receipt] = []
            parts: list[Part] = []
            for place in range(chance.randint(1, 6)):
                mark = f"<{turn}/{tenant}/{place}>".encode()
                seq = head.seq + 1 if head else 1
                parts.append(Part(seq, "metadata", SALT, mark * chance.choice((1, 3, 10, 40, 100, 400))))
                head = receipt(tenant, head)
                made.append(head)
            gone = chance.sample(alive[tenant], min(len(alive[tenant]), chance.randint(0, 9)))
            erased.extend(mark for _, mark in gone)
            alive[tenant] = [one for one in alive[tenant] if one not in gone]
            alive[tenant].extend((part.seq, part.text[: part.text.index(b">") + 1]) for part in parts)
            erasures = tuple(Erasure(seq, "metadata") for seq, _ in gone)
            kept: Snapshot | None = snapshot_of(made[-1], b"s" * chance.randint(10, 9_000))
            batch.append(append(tenant, made, base, parts=tuple(parts), erasures=erasures, snapshot=kept))
            heads[tenant] = head
        assert set(await send(store, *batch)) == {Appended()}
    assert await store.journal_clean()
    left = set(re.findall(rb"<\d+/tenant-\d+/\d+>", path.read_bytes()))
    assert left.isdisjoint(erased)
    assert left.issuperset(mark for marks in alive.values() for _, mark in marks)
    await store.aclose()


async def test_the_journal_is_started_over_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "ROWS_MAX", 200)
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    heads: dict[str, Receipt | None] = {f"tenant-{number}": None for number in range(20)}
    written = 0
    for _ in range(size(short=600, full=2_000)):
        batch: list[Append] = []
        for tenant, head in heads.items():
            following = receipt(tenant, head, padding=700)
            batch.append(append(tenant, [following], head))
            heads[tenant] = following
            written += len(following.body)
        assert set(await send(store, *batch)) == {Appended()}
    journal = path.with_name(path.name + "-wal").stat().st_size
    assert journal < written, "it would hold all of it, and each page several times"
    assert await store.problems() == ()
    for tenant, head in heads.items():
        await verify(store, tenant, receipts=head.seq if head else 0)
    await store.aclose()


async def test_commits_wait_for_a_journal_that_is_moved_far_too_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "ROWS_MAX", 10)
    monkeypatch.setattr(checkpoints, "BEHIND_SECONDS_MAX", 60)
    released, moved = threading.Event(), checkpoints._passive

    def held_up(connection: sqlite3.Connection) -> bool:
        if threading.current_thread().name == "tai-sqlite-checkpoints":
            released.wait()
        return moved(connection)

    monkeypatch.setattr(checkpoints, "_passive", held_up)
    store, sent = await SQLiteStore.open(str(tmp_path / "tai.db")), 0
    head: Receipt | None = None
    try:
        for _ in range(100 * checkpoints.BEHIND_MAX):
            following = receipt("acme", head)
            sending = asyncio.create_task(send(store, append("acme", [following], head)))
            head, sent = following, sent + 1
            done, _ = await asyncio.wait({sending}, timeout=1)
            if not done:
                break
        assert not sending.done(), "no commit waited"
    finally:
        released.set()
    assert await sending == (Appended(),)
    assert sent >= 10 * checkpoints.BEHIND_MAX
    await verify(store, "acme", receipts=sent)
    await store.aclose()


async def test_what_was_moved_beside_the_writer_is_durable_before_the_writer_moves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    beside, writer = "tai-sqlite-checkpoints", "tai-sqlite-writer_0"
    move, flush = checkpoints._passive, os.fsync

    def moving(connection: sqlite3.Connection) -> bool:
        done.append(("move", threading.current_thread().name))
        return move(connection)

    def flushing(descriptor: int) -> None:
        done.append(("flush", threading.current_thread().name))
        flush(descriptor)

    monkeypatch.setattr(checkpoints, "ROWS_MAX", 1)
    monkeypatch.setattr(checkpoints, "_passive", moving)
    monkeypatch.setattr(os, "fsync", flushing)
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))
    head: Receipt | None = None
    while ("move", beside) not in done[:-2]:
        following = receipt("acme", head)
        assert await send(store, append("acme", [following], head)) == (Appended(),)
        head = following
    await store.aclose()
    first = done.index(("move", beside))
    assert done[first : first + 3] == [("move", beside), ("flush", beside), ("move", writer)]


async def test_a_checkpoint_that_cannot_be_made_does_not_stop_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "ROWS_MAX", 1)
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))

    def fail(connection: sqlite3.Connection) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    head: Receipt | None = None
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "_passive", fail)
        for _ in range(5):
            following = receipt("acme", head)
            assert await send(store, append("acme", [following], head)) == (Appended(),)
            head = following
    await verify(store, "acme", receipts=5)
    await store.aclose()
