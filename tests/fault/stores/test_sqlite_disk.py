"""A disk that is full, a file that cannot be written: a refusal that says so, then recovery without a restart."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.stores.builders import append, receipt, send, verify

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Appended, Receipt
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

PADDING = 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root: run as root to see a disk run full")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def fill(store: SQLiteStore, tenant: str = "acme") -> Receipt:
    """Append until the store cannot; the last receipt that it acknowledged."""
    head: Receipt | None = None
    for _ in range(10_000):
        following = receipt(tenant, head, padding=PADDING)
        try:
            await send(store, append(tenant, [following], head))
        except StoreUnavailable as error:
            if head is None or "full" not in str(error):
                raise
            return head
        head = following
    pytest.fail("the disk never ran full")


async def in_writer(store: SQLiteStore, statement: str) -> Any:
    """The first row's value, on the writer's connection and in its thread: the checkpoints have work there too."""
    writer = store._writer
    assert writer is not None

    def first(connection: sqlite3.Connection) -> Any:
        row = connection.execute(statement).fetchone()
        return None if row is None else row[0]

    return await asyncio.wrap_future(store._writing.submit(writer.run, first))


async def test_a_file_at_its_bound_refuses_and_takes_again_when_the_bound_is_raised(tmp_path: Path) -> None:
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))
    await in_writer(store, "PRAGMA max_page_count = 200")
    head = await fill(store)
    await verify(store, "acme", receipts=head.seq)
    await in_writer(store, "PRAGMA max_page_count = 100000")
    assert await send(store, append("acme", [receipt("acme", head)], head)) == (Appended(),)
    await verify(store, "acme", receipts=head.seq + 1)
    await store.aclose()


async def test_a_full_disk_loses_nothing_and_its_store_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 500_000)
    store = await SQLiteStore.open(str(small_disk / "tai.db"))
    head = await fill(store)
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [receipt("acme", head, padding=PADDING)], head))
    await verify(store, "acme", receipts=head.seq)
    ballast.unlink()
    following = receipt("acme", head, padding=PADDING)
    assert await send(store, append("acme", [following], head)) == (Appended(),)
    await store.probe()
    await store.aclose()
    again = await SQLiteStore.open(str(small_disk / "tai.db"))
    await verify(again, "acme", receipts=head.seq + 1)
    assert await again.problems() == ()
    await again.aclose()


async def test_a_file_that_turns_read_only_refuses_until_it_can_be_written(tmp_path: Path) -> None:
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))
    await in_writer(store, "PRAGMA query_only = ON")
    first = receipt("acme")
    with pytest.raises(StoreUnavailable, match="readonly"):
        await send(store, append("acme", [first]))
    await in_writer(store, "PRAGMA query_only = OFF")
    assert await send(store, append("acme", [first])) == (Appended(),)
    await store.aclose()


async def test_a_folder_that_cannot_be_written_is_named_at_the_start(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreUnavailable, match="Read-only file system"):
        await SQLiteStore.open(str(small_disk / "tai.db"))


async def test_a_folder_whose_place_a_file_has_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "tai").write_text("")
    with pytest.raises(StoreUnavailable, match=r"tai/ledger"):
        await SQLiteStore.open(str(tmp_path / "tai" / "ledger.db"))


async def test_a_foreign_program_that_holds_the_lock_is_waited_for_and_then_told(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    await in_writer(store, "PRAGMA busy_timeout = 10")
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    first = receipt("acme")
    with pytest.raises(StoreUnavailable, match="locked"):
        await send(store, append("acme", [first]))
    foreign.execute("ROLLBACK")
    assert await send(store, append("acme", [first])) == (Appended(),)
    foreign.close()
    await store.aclose()


async def test_the_writing_connection_has_the_settings_that_the_promises_rest_on(tmp_path: Path) -> None:
    store = await SQLiteStore.open(str(tmp_path / "tai.db"))
    names = ("journal_mode", "synchronous", "secure_delete", "temp_store", "wal_autocheckpoint")
    in_force = [await in_writer(store, f"PRAGMA {name}") for name in names]
    assert in_force == ["wal", 2, 1, 2, 0]
    await store.aclose()


async def test_file_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data" / "tai.db"
    store = await SQLiteStore.open(str(path))
    await send(store, append("acme", [receipt("acme")]))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["tai.db", "tai.db-shm", "tai.db-wal", "tai.db.lock"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    await store.aclose()
    assert sorted(os.listdir(path.parent)) == ["tai.db", "tai.db.lock"]
