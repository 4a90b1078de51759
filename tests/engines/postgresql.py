"""
A throwaway PostgreSQL cluster on a free port, a database of its own for each test, and a store whose clock tests set.

The cluster is made with the installed server's binaries, as another user where we are root, whom the server refuses.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, Literal

import psycopg
from tests.engines.absence import absent
from tests.engines.ports import free_port

from tai_autonomics.ledger.records import Leased
from tai_autonomics.stores.postgres import PostgresStore

REMEDY: Final = "apt-get install --no-install-recommends postgresql"
SERVER_USER: Final = "postgres"
SUPERUSER: Final = "tai"
SECONDS_MAX: Final = 60
ENGLISH: Final = ("--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
"""The databases order texts as English does, and not by their bytes."""

_NUMBERS: Final = count()


def binary(name: str) -> str:
    """The server's program, from the PATH or from where Debian keeps it."""
    found = shutil.which(name)
    if found is None or not Path(found).resolve().with_name("postgres").exists():
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_major)
        found = str(installed[-1]) if installed else None
    if found is None:
        absent("PostgreSQL's server", REMEDY)
    return found


def _major(program: Path) -> int:
    return int(program.parts[-3])


class Cluster:
    """Made by `running`. `durable` keeps fsync on, which tests that kill the server's machine would need."""

    def __init__(self, folder: Path, port: int, *, durable: bool) -> None:
        self.folder, self.port = folder, port
        self._durable = durable

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{port or self.port}/{database}"

    def database(self) -> str:
        """The name of a fresh, empty one."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        _as_server(
            binary("pg_ctl"), "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start"
        )

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        _as_server(binary("pg_ctl"), "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """As the superuser; what it answers."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running(*, durable: bool = False) -> Iterator[Cluster]:
    """A started cluster, stopped and removed at the end."""
    program = binary("initdb")
    folder = Path(tempfile.mkdtemp(prefix="tai-postgresql-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam(SERVER_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        _as_server(program, "-D", folder / "data", "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", *ENGLISH, "-N")
        cluster = Cluster(folder, free_port(), durable=durable)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_server(*command: str | Path) -> None:
    """Raises AssertionError with what the program said."""
    other = ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups"]
    # Into a file: a started server keeps the descriptors that it is given.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [*(other if os.geteuid() == 0 else []), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=SECONDS_MAX,
            check=False,
        )
        said.seek(0)
        assert done.returncode == 0, said.read().decode()


class ClockSet(PostgresStore):
    """A store for the contract: on its server it is the time that a lease names, and checkpoints come in time."""

    set_clock: Callable[[str], None]
    checkpoint: Callable[[], object]

    async def lease(
        self, limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        if now is not None:
            self.set_clock(now)
        return await super().lease(limit, seconds, kinds=kinds)

    async def journal_clean(self) -> bool:
        self.checkpoint()
        return await super().journal_clean()


async def open_with_clock(cluster: Cluster, *, quarantine_max: int) -> ClockSet:
    """On a fresh database."""
    database = cluster.database()
    store = await ClockSet.open(cluster.url(database), quarantine_max=quarantine_max)
    assert isinstance(store, ClockSet)
    store.set_clock = lambda now: set_clock(cluster, database, now)
    store.checkpoint = lambda: cluster.execute("CHECKPOINT")
    return store


def set_clock(cluster: Cluster, database: str, now: str) -> None:
    statement = (
        "CREATE OR REPLACE FUNCTION tai.clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$SELECT '{}'::timestamptz$$"
    )
    cluster.execute(statement.format(now), database)
