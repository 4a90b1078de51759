"""
DRILL: what `backup drill` measures at full size: 1,000,000 receipts of 10,000 ledgers, on SQLite and on PostgreSQL.

    fill --> backup --> drill: restored beside the live store, every chain verified, RTO and RPO

Nothing is sealed after the backup, so the RPO must be 0. PostgreSQL keeps fsync on.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from tests.engines import postgresql

from benchmarks.measure import Series, Size, record, say
from benchmarks.servers import fresh_directory

RECEIPTS: Final = 1_000_000
LEDGERS: Final = 10_000
SHORT_FACTOR: Final = 100


class Drilled(Struct, frozen=True):
    """Seconds; the drill's own are as the command says them."""

    backup: float
    rto: float
    rpo: float

    def rows(self, store: str) -> list[Series]:
        figures = {"backup": self.backup, "RTO": self.rto, "RPO": self.rpo}
        return [Series(f"{what}, {store}", "s", (seconds,)) for what, seconds in figures.items()]


def measure_drill(size: Size) -> None:
    factor = SHORT_FACTOR if size.short else 1
    receipts, ledgers = RECEIPTS // factor, LEDGERS // factor
    with fresh_directory() as directory, postgresql.running(durable=True) as cluster:
        sqlite = f"sqlite:///{directory}/tai.db"
        filling = ["--data-dir", str(directory), "--receipts", str(receipts), "--tenants", str(ledgers)]
        subprocess.run([sys.executable, "-m", "benchmarks.fill", *filling], check=True)
        rows = _drilled(sqlite, directory / "sqlite", receipts).rows("SQLite")
        database = cluster.url(cluster.database())
        export = directory / "export.jsonl"
        _run("receipts", "export", "-o", str(export), store=sqlite)
        _run("receipts", "import", str(export), store=database)
        export.unlink()
        rows += _drilled(database, directory / "postgresql", receipts).rows("PostgreSQL")
        version = cluster.execute("SHOW server_version")[0][0]
    record("DRILL", rows, notes={"receipts": receipts, "ledgers": ledgers, "postgresql": version}, short=size.short)


def _drilled(store: str, backups: Path, receipts: int) -> Drilled:
    where = ["--backups", str(backups), "--json"]
    made = json.loads(_run("backup", *where, store=store))
    done = json.loads(_run("backup", "drill", *where, store=store))
    if not (made["receipts"] == done["receipts"] >= receipts and done["met"]):
        raise AssertionError(f"the drill saw something else: {done}")
    seen = Drilled(made["seconds"], done["rto_seconds"], done["rpo_seconds"])
    say(f"  {seen}")
    return seen


def _run(*arguments: str, store: str) -> Any:
    command = [sys.executable, "-m", "tai_autonomics", *arguments, "--store", store]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
