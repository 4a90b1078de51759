"""
MOVE: ledgers from store to store by `receipts export` and `import`, at full size, as an operator does it.

    1,000,000 receipts of 10,000 ledgers   SQLite -> PostgreSQL -> SQLite
      100,000 receipts of  1,000 ledgers   SQLite -> PostgreSQL -> Firestore's emulator -> SQLite

Each step is a process of its own; its time is that from its start to its end. Where ledgers arrived they are verified
in their store and exported again: the same bytes, or the benchmark ends. PostgreSQL keeps fsync on.
"""

import filecmp
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from tests.engines import firestore, postgresql

from benchmarks.measure import Series, Size, record, say
from benchmarks.servers import fresh_directory

RECEIPTS: Final = 1_000_000
LEDGERS: Final = 10_000
RECEIPTS_EMULATOR: Final = 100_000
LEDGERS_EMULATOR: Final = 1_000
SHORT_FACTOR: Final = 100


class Place(Struct, frozen=True):
    """A store, its URL, and what else a command needs to reach it."""

    name: str
    url: str
    environ: Mapping[str, str] = {}


class Step(Struct, frozen=True):
    """One command: its seconds, and the memory that it had at most."""

    what: str
    seconds: float
    resident_mib: float


class Move:
    """Ledgers that go from place to place; `steps` are the commands so far, `file` the export that goes along."""

    def __init__(self, directory: Path, receipts: int, first: Place) -> None:
        self._directory, self._receipts, self._place = directory, receipts, first
        self.steps: list[Step] = []
        self._file = self._export()

    def to(self, place: Place) -> None:
        self._run(f"import into {place.name}", "import", str(self._file), place=place)
        self._run(f"verify in {place.name}", "verify", "--quiet", place=place)
        before, self._place = self._file, place
        self._file = self._export()
        if not filecmp.cmp(before, self._file, shallow=False):
            raise AssertionError(f"{place.name} holds something else than was imported")
        before.unlink()

    def rows(self) -> list[Series]:
        of = f"{self._receipts:,} receipts"
        rates = [Series(f"{each.what}, {of}", "receipts/s", (self._receipts / each.seconds,)) for each in self.steps]
        times = [Series(f"{each.what}, {of}", "s", (each.seconds,)) for each in self.steps]
        memory = Series(f"resident memory at most, {of}", "MiB", (max(each.resident_mib for each in self.steps),))
        return [*rates, *times, memory]

    def _export(self) -> Path:
        file = self._directory / f"{len(self.steps)}.jsonl"
        self._run(f"export from {self._place.name}", "export", "-o", str(file), place=self._place)
        return file

    def _run(self, what: str, *arguments: str, place: Place) -> None:
        command = [sys.executable, "-m", "tai_autonomics", "receipts", *arguments, "--store", place.url]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **place.environ})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        step = Step(what, time.perf_counter() - started, used.ru_maxrss / 1024)
        self.steps.append(step)
        rate = self._receipts / step.seconds
        say(f"  {what}: {step.seconds:.1f} s, {rate:,.0f} receipts/s, {step.resident_mib:.0f} MiB")


def measure_move(size: Size) -> None:
    factor = SHORT_FACTOR if size.short else 1
    with fresh_directory() as directory, postgresql.running(durable=True) as cluster:
        version = cluster.execute("SHOW server_version")[0][0]
        large = _large(directory, cluster, factor)
        through_emulator = _through_emulator(directory, cluster, factor)
    notes = {
        "ledgers": LEDGERS // factor,
        "ledgers_emulator": LEDGERS_EMULATOR // factor,
        "postgresql": version,
        "firestore": "Google's emulator, in memory: its figures say nothing about the cloud",
        "byte_for_byte": True,
    }
    record("MOVE", [*large, *through_emulator], notes=notes, short=size.short)


def _large(directory: Path, cluster: postgresql.Cluster, factor: int) -> list[Series]:
    with _filled(directory / "large", RECEIPTS // factor, LEDGERS // factor) as (folder, first):
        move = Move(folder, RECEIPTS // factor, first)
        move.to(Place("PostgreSQL", cluster.url(cluster.database())))
        move.to(Place("SQLite again", f"sqlite:///{folder}/back.db"))
        return move.rows()


def _through_emulator(directory: Path, cluster: postgresql.Cluster, factor: int) -> list[Series]:
    emulator = firestore.Emulator().start()
    with ExitStack() as ending:
        ending.callback(emulator.stop)
        folder, first = ending.enter_context(
            _filled(directory / "emulator", RECEIPTS_EMULATOR // factor, LEDGERS_EMULATOR // factor)
        )
        move = Move(folder, RECEIPTS_EMULATOR // factor, first)
        move.to(Place("PostgreSQL", cluster.url(cluster.database())))
        move.to(Place("the emulator", "firestore://benchmark", {"FIRESTORE_EMULATOR_HOST": emulator.address}))
        move.to(Place("SQLite again", f"sqlite:///{folder}/back.db"))
        return move.rows()


@contextmanager
def _filled(directory: Path, receipts: int, ledgers: int) -> Iterator[tuple[Path, Place]]:
    directory.mkdir()
    # In a process of its own: what this one has had in memory would count as each command's.
    options = ["--data-dir", str(directory), "--receipts", str(receipts), "--tenants", str(ledgers)]
    subprocess.run([sys.executable, "-m", "benchmarks.fill", *options], check=True)
    yield directory, Place("SQLite", f"sqlite:///{directory}/tai.db")
    for file in directory.iterdir():
        file.unlink()
