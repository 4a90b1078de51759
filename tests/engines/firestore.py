"""Google's Firestore emulator: a process on a free port, started once, with a project of its own for every test."""

import atexit
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from itertools import count
from os import environ, getpid, urandom
from pathlib import Path
from typing import Any

from tests.engines.absence import absent
from tests.engines.ports import free_port

from tai_autonomics.ledger.records import Leased
from tai_autonomics.stores.firestore import FirestoreStore

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20

ENGINE = "the Firestore emulator"
REMEDY_JAVA = "apt-get install --no-install-recommends default-jre-headless"
REMEDY_JAR = (
    "gcloud components install cloud-firestore-emulator (or apt-get install google-cloud-cli-firestore-emulator)"
)
JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"

_projects = count()


def new_project() -> str:
    """A project id that no test had before: nothing of another test is in it."""
    return f"test-{getpid()}-{next(_projects)}"


@cache
def jar() -> Path:
    """Where FIRESTORE_EMULATOR_JAR says, or in the Cloud SDK; ends the test where there is none."""
    if shutil.which("java") is None:
        absent(ENGINE, REMEDY_JAVA)
    if named := environ.get("FIRESTORE_EMULATOR_JAR"):
        found = Path(named)
    elif gcloud := shutil.which("gcloud"):
        root = subprocess.run(
            [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, timeout=60
        ).stdout.strip()
        found = Path(root) / JAR
    else:
        absent(ENGINE, REMEDY_JAR)
    if not found.exists():
        absent(ENGINE, REMEDY_JAR)
    return found


class Emulator:
    """`kill` is kill -9; everything is in its memory, so `start` after it begins with an empty database."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Emulator":
        command = ["java", "-Duser.language=en", "-Xmx512m", "-cp", str(jar())]
        command += ["com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self._log.seek(0)
                output = self._log.read().decode(errors="replace")
                self.kill()
                raise AssertionError(f"{ENGINE} did not start:\n{output}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS_MAX)
            self._end()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)
            self._end()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It answers nothing meanwhile, and then all that it was asked."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        self._process = None
        self._log.close()


@cache
def emulator() -> Emulator:
    """The session's; do not kill it."""
    started = Emulator().start()
    atexit.register(started.stop)
    return started


def hand_timed(store: FirestoreStore) -> FirestoreStore:
    """The store, with the time that a lease is given in place of the engine's clock; without one it stays that."""
    lease, engine_now = store.lease, store._engine.now

    async def by(now: str) -> datetime:
        return time_of(now)

    async def hand_timed_lease(limit: int, seconds: float, now: str | None = None) -> tuple[Leased, ...]:
        store._engine.now = engine_now if now is None else partial(by, now)
        try:
            return await lease(limit, seconds)
        finally:
            store._engine.now = engine_now

    store.lease = hand_timed_lease
    return store


async def open_store(project: str | None = None, *, database: str = "(default)", **options: Any) -> FirestoreStore:
    """A store in the session's emulator, hand-timed: an empty one, unless a project is named."""
    options = {"chance": urandom, "emulator": emulator().address, **options}
    return hand_timed(await FirestoreStore.open(project or new_project(), database, **options))


def time_of(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
