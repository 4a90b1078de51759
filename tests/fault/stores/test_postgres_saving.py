"""A PostgreSQL store is copied and brought back beside other programs' schemas, and nothing of it shows a password."""

import asyncio
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psycopg
import pytest
from tests.engines import postgresql
from tests.unit.cli.exports import exported, ledger

from tai_autonomics.application.importing import Import
from tai_autonomics.cli.app import run
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.postgres import PostgresStore, backup, migrating, replacing, statements
from tai_autonomics.stores.postgres.connections import Connection, child_connection

PASSWORD = "s3cret-and-%2F-strange"
NOTHING = "SELECT 1 FROM pg_database WHERE datname LIKE 'tai\\_beside\\_%'"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Store:
    """A database with a ledger, and commands on it with a role that is no superuser and has a password."""

    def __init__(self, cluster: postgresql.Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.database = cluster.database()
        self.role = f"role_{self.database}"
        cluster.execute(f"CREATE ROLE {self.role} LOGIN CREATEDB PASSWORD 's3cret-and-/-strange'")
        cluster.execute(f"GRANT ALL ON DATABASE {self.database} TO {self.role}")
        self.url = f"postgresql://{self.role}:{PASSWORD}@127.0.0.1:{cluster.port}/{self.database}"
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        store = await PostgresStore.open(self.url)
        file = exported(self.folder / "x.jsonl", ledger("acme", 60), ledger("bob", 2))
        await Import(store).take(file.read_bytes().splitlines(keepends=True))
        await store.aclose()

    def execute(self, statement: str) -> list[tuple]:
        return self.cluster.execute(statement, self.database)

    def tai(self, *arguments: str, **environ: str) -> Done:
        """The command line, in this process: it is started many times here."""
        out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
        with (
            patch.dict(os.environ, {"STORE_URL": self.url, "TAI_DATA_DIR": str(self.folder), **environ}),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            status = run(arguments)
            out.flush()
            err.flush()
        return Done(status, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())

    def heads(self) -> list[tuple]:
        return self.execute("SELECT tenant, seq FROM tai.heads ORDER BY tenant")


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Cluster]:
    with postgresql.running() as cluster:
        yield cluster


@pytest.fixture
def store(server: postgresql.Cluster, tmp_path: Path) -> Store:
    return Store(server, tmp_path)


@pytest.fixture
def saved(store: Store) -> Store:
    done = store.tai("backup")
    assert done.returncode == 0, done.stderr
    return store


def test_what_other_programs_keep_in_the_database_stays_where_it_is(saved: Store) -> None:
    saved.execute("CREATE SCHEMA theirs")
    saved.execute("CREATE TABLE theirs.rows AS SELECT 1 AS one")
    done = saved.tai("restore", "--replace")
    assert done.returncode == 0, done.stderr
    assert saved.execute("SELECT one FROM theirs.rows") == [(1,)]
    ((aside,),) = saved.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tai\\_replaced%'")
    assert f"the schema {aside}" in done.stdout
    assert saved.execute(f"SELECT tenant, seq FROM {aside}.heads ORDER BY tenant") == [("acme", 60), ("bob", 2)]
    assert saved.heads() == [("acme", 61), ("bob", 3)]
    assert saved.execute(NOTHING) == []


def test_what_was_restored_has_every_object_that_a_new_store_has(saved: Store) -> None:
    objects = """
        SELECT relname, relkind, coalesce(pg_get_indexdef(oid), '') FROM pg_class
        WHERE relnamespace = 'tai'::regnamespace UNION ALL
        SELECT proname, 'p', prosrc FROM pg_proc WHERE pronamespace = 'tai'::regnamespace ORDER BY 1, 2, 3
    """
    before = saved.execute(objects)
    assert saved.tai("restore", "--replace", "-q").returncode == 0
    assert saved.execute(objects) == before
    assert saved.execute("SELECT count(*), max(id) < nextval('tai.receipts_id_seq') FROM tai.receipts") == [(64, True)]


def test_no_password_is_in_an_argument_or_an_output(store: Store, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    spies = tmp_path / "bin"
    spies.mkdir()
    for name in ("pg_dump", "pg_restore"):
        spy = spies / name
        spy.write_text(f'#!/bin/sh\necho "$0" "$@" >> {seen}\nPATH="{os.environ["PATH"]}" exec {name} "$@"\n')
        spy.chmod(0o755)
    path = f"{spies}:{os.environ['PATH']}"
    outputs = [
        store.tai(*command, PATH=path) for command in (("backup",), ("backup", "drill"), ("restore", "--replace"))
    ]
    assert [done.returncode for done in outputs] == [0, 0, 0], [done.stderr for done in outputs]
    outputs.append(store.tai("backup", STORE_URL=store.url.replace(PASSWORD, f"{PASSWORD}x")))
    said = seen.read_text() + "".join(done.stdout + done.stderr for done in outputs)
    assert "--snapshot=" in said
    assert "pg_restore" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "program", "said"),
    [
        ("pg_dump", None, "pg_dump is not on the PATH: install PostgreSQL's client programs of version "),
        ("pg_restore", None, "pg_restore is not on the PATH: install PostgreSQL's client programs of version "),
        ("pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.1'", "pg_dump is 9, and older than the server: install "),
        ("pg_restore", "echo 'something else'", "pg_restore is of an unknown version: install "),
    ],
)
def test_a_program_that_is_missing_or_too_old_is_named_in_one_line(
    saved: Store, tmp_path: Path, name: str, program: str | None, said: str
) -> None:
    found = tmp_path / "bin"
    found.mkdir()
    if program is not None:
        (found / name).write_text(f"#!/bin/sh\n{program}\n")
        (found / name).chmod(0o755)
    commands = (("backup",),) if name == "pg_dump" else (("backup", "drill"), ("restore", "--replace"))
    for command in commands:
        done = saved.tai(*command, PATH=str(found) if program is None else f"{found}:{os.environ['PATH']}")
        assert (done.returncode, done.stdout) == (69, "")
        assert done.stderr.startswith(f"tai-autonomics: {said}")
        assert done.stderr.count("\n") == 1
    assert saved.heads() == [("acme", 60), ("bob", 2)]


def test_a_failing_program_is_quoted_and_nothing_has_changed(saved: Store, tmp_path: Path) -> None:
    (manifest,) = (saved.folder / "backups").glob("*.json")
    manifest.with_suffix(".dump").write_bytes(b"PGDMP nothing")
    done = saved.tai("restore", "--replace")
    assert (done.returncode, "is not the file that its manifest names" in done.stderr) == (1, True)
    text = manifest.read_text()
    sha256 = subprocess.run(["sha256sum", manifest.with_suffix(".dump")], capture_output=True, text=True).stdout[:64]
    manifest.write_text(text.replace(text.partition('"sha256": "')[2][:64], sha256))
    for command in (("restore", "--replace"), ("backup", "drill")):
        done = saved.tai(*command)
        assert (done.returncode, "tai-autonomics: pg_restore: " in done.stderr) == (69, True), done.stderr
    assert saved.heads() == [("acme", 60), ("bob", 2)]
    assert saved.execute(NOTHING) == []


def test_a_broken_chain_takes_nobodys_place(store: Store) -> None:
    store.execute("UPDATE tai.receipts SET body = body || ' ' WHERE tenant = 'bob' AND seq = 2")
    assert store.tai("backup", "-q").returncode == 0
    for command in (("restore", "--replace"), ("backup", "drill")):
        done = store.tai(*command)
        assert (done.returncode, "receipt 2 of bob: step" in done.stderr) == (1, True), done.stderr
    assert store.heads() == [("acme", 60), ("bob", 2)]
    assert store.execute(NOTHING) == []
    assert store.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'tai\\_replaced%'") == []


def test_a_session_of_the_service_or_its_pooler_keeps_a_restore_off(saved: Store) -> None:
    assert saved.tai("backup", "--erasures-only", "-q").returncode == 0
    sessions = ((saved.url, "pooler", "--replace"), (saved.cluster.url(saved.database), "tai-autonomics", "--in-place"))
    for url, name, option in sessions:
        with psycopg.connect(url, application_name=name):
            done = saved.tai("restore", option)
        assert done.returncode == 69
        assert f"others are connected to the store: {name} (1). Stop the service" in done.stderr
    with psycopg.connect(saved.cluster.url(saved.database), application_name="somebody's psql"):
        assert saved.tai("backup", "drill", "-q").returncode == 0
        assert saved.tai("restore", "--replace", "-q").returncode == 0


def test_a_role_that_may_not_make_a_database_is_told_what_it_needs(saved: Store) -> None:
    saved.execute(f"ALTER ROLE {saved.role} NOCREATEDB")
    for command in (("restore", "--replace"), ("backup", "drill")):
        done = saved.tai(*command)
        assert (done.returncode, "ALTER ROLE … CREATEDB" in done.stderr) == (69, True), done.stderr
    assert saved.heads() == [("acme", 60), ("bob", 2)]


def test_what_a_killed_drill_left_behind_goes_with_the_next(saved: Store) -> None:
    ((number,),) = saved.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
    with psycopg.connect(saved.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE tai_beside_{number}_20260101t000000z")
        connection.execute("CREATE DATABASE tai_beside_1_20260101t000000z")
    assert saved.tai("backup", "drill", "-q").returncode == 0
    assert saved.execute(NOTHING.replace("1", "datname", 1)) == [("tai_beside_1_20260101t000000z",)]
    saved.execute("DROP DATABASE tai_beside_1_20260101t000000z")


def test_one_restore_or_drill_is_under_way_at_a_time(saved: Store) -> None:
    with psycopg.connect(saved.url, autocommit=True, application_name="another drill") as other:
        other.execute(statements.LOCK_SAVING)
        done = saved.tai("backup", "drill")
        assert (done.returncode, "another restore or drill is under way" in done.stderr) == (69, True)


def test_a_copy_is_of_one_moment_however_much_is_written_while_it_is_made(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.programs.run

    async def write_first(*arguments: str, **options: str) -> None:
        store.execute("DELETE FROM tai.receipts WHERE tenant = 'bob'")
        await run(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(backup.programs, "run", write_first)
    file = tmp_path / "copy.dump"
    copied = asyncio.run(backup.copy(store.url, file))
    assert (copied.receipts, copied.ledgers) == (62, 2)
    assert store.execute("SELECT count(*) FROM tai.receipts") == [(60,)]

    async def brought_back() -> int:
        async with replacing.hold(store.url) as place, place.beside("x") as url:
            await replacing.fill(url, file)
            async with await Connection.connect(url) as connection:
                return (await (await connection.execute("SELECT count(*) FROM tai.receipts")).fetchone())[0]

    assert asyncio.run(brought_back()) == 62


async def taken(saved: Store) -> None:
    """The place, by what is not even verified."""
    async with replacing.hold(saved.url) as place, place.beside("x") as url:
        await replacing.fill(url, next((saved.folder / "backups").glob("*.dump")))
        await place.take(url, aside="tai_replaced_x", replace=True)


def test_a_service_that_starts_while_a_restore_is_under_way_keeps_it_off(saved: Store) -> None:
    with (
        psycopg.connect(saved.url, application_name="just started"),
        pytest.raises(StoreUnavailable, match=r"just started \(1\)"),
    ):
        asyncio.run(taken(saved))
    assert saved.heads() == [("acme", 60), ("bob", 2)]


def test_a_restore_that_cannot_take_its_place_leaves_what_was_there(
    saved: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze = replacing.analyze

    async def stop_at_the_end(connection: Connection) -> None:
        if connection.info.dbname == saved.database:
            raise psycopg.OperationalError("the disk is full")
        await analyze(connection)

    monkeypatch.setattr(replacing, "analyze", stop_at_the_end)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        asyncio.run(taken(saved))
    assert saved.heads() == [("acme", 60), ("bob", 2)]
    assert saved.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'tai_replaced_x'") == []


def test_what_another_server_had_still_to_clean_does_not_come_along(store: Store) -> None:
    store.execute("INSERT INTO tai.erasures VALUES ('1000000000', 'FF/0')")
    assert store.tai("backup", "-q").returncode == 0
    assert store.tai("restore", "--replace", "-q").returncode == 0
    assert store.execute("SELECT count(*) FROM tai.erasures") == [(0,)]


def test_a_backup_is_for_our_eyes_alone(saved: Store) -> None:
    assert {stat.S_IMODE(each.stat().st_mode) for each in (saved.folder / "backups").iterdir()} == {0o600}


def test_erasures_of_before_the_store_noted_them_are_found_in_their_receipts(store: Store) -> None:
    assert store.tai("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q").returncode == 0
    noted = store.execute("SELECT tenant, seq, name FROM tai.erased")
    assert noted == [("acme", 1, "metadata")]
    store.execute("DROP TABLE tai.erased, tai.bases, tai.dropped")
    store.execute("DELETE FROM tai.migrations WHERE number >= 2")
    later = [number for number, _ in migrating.MIGRATIONS if number >= 2]
    done = store.tai("receipts", "import", str(store.folder / "x.jsonl"), "-q")
    assert done.returncode == 0, done.stderr
    assert store.execute("SELECT tenant, seq, name FROM tai.erased") == noted
    assert store.execute("SELECT number FROM tai.migrations WHERE number >= 2") == [(number,) for number in later]


def test_a_childs_connection_names_no_secret() -> None:
    argument, secret = child_connection("postgresql://me:a%20b@h1:1,h2:2/other?sslmode=require")
    assert "a b" not in argument
    assert "dbname=other" in argument
    assert "host=h1,h2" in argument
    assert "sslmode=require" in argument
    assert secret == {"PGPASSWORD": "a b"}
