"""Files that this release did not make: newer ones, older ones, other programs'."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.contract.stores.builders import append, chain, receipt, send, snapshot_of, verify

from tai_autonomics.errors import LedgerNewerThanCode, StoreUnavailable
from tai_autonomics.ledger.records import Base
from tai_autonomics.stores.sqlite import SQLiteStore, files
from tai_autonomics.stores.sqlite.statements import statements_of

pytestmark = pytest.mark.anyio


NEWEST = files.MIGRATIONS[-1][0]


async def make(path: Path) -> None:
    store = await SQLiteStore.open(str(path))
    await send(store, append("acme", [receipt("acme")]))
    await store.aclose()


def execute(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_ledger_of_a_later_release_is_not_opened_and_says_why(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "tai.db"
    await make(path)
    execute(path, "PRAGMA user_version = 999")
    with pytest.raises(LedgerNewerThanCode, match=r"schema 999.*use a newer release"):
        await SQLiteStore.open(str(path), read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
async def test_another_programs_database_is_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "tai.db"
    execute(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        await SQLiteStore.open(str(path), read_only=read_only)
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "tai.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await SQLiteStore.open(str(path), read_only=read_only)
    assert path.read_bytes() == b"not a database" * 100


async def test_reading_alone_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no ledger at"):
        await SQLiteStore.open(str(tmp_path / "tai.db"), read_only=True)
    assert list(tmp_path.iterdir()) == []


async def test_reading_alone_does_not_upgrade_but_says_what_does(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    path.touch()
    with pytest.raises(StoreUnavailable, match="start the service once"):
        await SQLiteStore.open(str(path), read_only=True)
    assert path.stat().st_size == 0


async def test_each_migration_runs_once_in_order_and_the_receipts_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tai.db"
    await make(path)
    released = files.MIGRATIONS
    monkeypatch.setattr(
        files,
        "MIGRATIONS",
        (*released, (NEWEST + 1, "CREATE TABLE second (id);"), (NEWEST + 2, "INSERT INTO second VALUES (3);")),
    )
    for _ in range(2):
        store = await SQLiteStore.open(str(path))
        await verify(store, "acme", receipts=1)
        await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM second").fetchall() == [(3,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST + 2,)


async def test_a_ledger_of_the_first_schema_can_be_archived_once_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tai.db"
    with monkeypatch.context() as earlier:
        earlier.setattr(files, "MIGRATIONS", files.MIGRATIONS[:1])
        await (await SQLiteStore.open(str(path))).aclose()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(*statements_of([append("acme", [receipt("acme")])])[0])
    with pytest.raises(StoreUnavailable, match="start the service once"):
        await SQLiteStore.open(str(path), read_only=True)
    store = await SQLiteStore.open(str(path))
    (first,) = await verify(store, "acme", receipts=1)
    await store.rebase("acme", Base(snapshot_of(first), "a" * 64))
    assert await store.drop("acme", 10) == 1
    assert (await store.heads(["acme"]))["acme"].seq == 1
    await store.aclose()


async def test_a_migration_that_fails_leaves_the_schema_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tai.db"
    await make(path)
    broken = (NEWEST + 1, "CREATE TABLE second (id); INSERT INTO absent VALUES (1);")
    with monkeypatch.context() as later:
        later.setattr(files, "MIGRATIONS", (*files.MIGRATIONS, broken))
        with pytest.raises(StoreUnavailable, match="absent"):
            await SQLiteStore.open(str(path))
    store = await SQLiteStore.open(str(path))
    await verify(store, "acme", receipts=1)
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST,)


async def test_damage_is_found_by_the_full_check(tmp_path: Path) -> None:
    path = tmp_path / "tai.db"
    store = await SQLiteStore.open(str(path))
    await send(store, append("acme", chain("acme", 20)))
    assert await store.problems() == ()
    await store.aclose()
    # A row goes while one of its indexes is hidden.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        index = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'receipts_by_command'").fetchone()
    execute(path, "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'receipts_by_command'")
    execute(path, "DELETE FROM receipts WHERE seq = 7")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
    damaged = await SQLiteStore.open(str(path), read_only=True)
    assert any("receipts_by_command" in problem for problem in await damaged.problems())
    await damaged.aclose()
