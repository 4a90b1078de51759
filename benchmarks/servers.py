"""
Server processes: started on a free port and pinned to the server's core, ready when they say so, stopped by their pid.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from msgspec import Struct
from tests.journey.tokens import own_keys

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
READY_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 30.0
POLL_SECONDS: Final = 0.002
TOKEN_FILE: Final = "admin.token"

SETTINGS: Final[Mapping[str, str]] = {"LOG_FORMAT": "json", "TAI_METRICS_ADDRESS": "127.0.0.1:0"}
"""All that differs from the defaults: a free port for metrics. JSON is what the logs are anyway, off a terminal."""


class ServerGone(RuntimeError):
    """A server that ended, or did not answer 200 on /health within its bound."""


class Server(Struct, frozen=True):
    """A running server. `directory` holds its store, its token and its log."""

    port: int
    pid: int
    directory: Path
    ready_seconds: float

    @property
    def token_file(self) -> Path:
        return self.directory / TOKEN_FILE

    def resident_mib(self) -> float:
        """Resident memory now, shared pages included."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ServerGone("the server is gone")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(
    directory: Path | None = None,
    *,
    environ: Mapping[str, str] = {},
    core: int | None = SERVER_CORE,
    module: str = "tai_autonomics",
) -> Iterator[Server]:
    """
    The service at its production settings but for `environ`, on `directory` (a fresh one when None).

    On a store that is not in it, several services may have one directory: the key and the token are theirs together.
    `core` None lets it run on all of them. `module` is what Python runs: another one than ours may spoil it first.
    """
    kept = nullcontext(directory) if directory else fresh_directory()
    with kept as where:
        keys = {} if environ.get("STORE_URL", "sqlite:").startswith("sqlite:") else own_keys(where)
        with running(["-m", module, "serve"], where, environ={**keys, **environ}, core=core) as server:
            yield server


@contextmanager
def untold_service() -> Iterator[Server]:
    """The service at its production settings, but that nothing is logged or counted of a request."""
    with fresh_directory() as where, running(["-m", "benchmarks.peers.untold", "serve"], where) as server:
        yield server


@contextmanager
def echo(reply_bytes: int) -> Iterator[Server]:
    """The bare echo, whose replies are as long as the service's."""
    with fresh_directory() as where:
        (where / TOKEN_FILE).write_text("unchecked")
        with running(["-m", "benchmarks.peers.echo", "--reply-bytes", str(reply_bytes)], where) as server:
            yield server


@contextmanager
def plain_service(transactions: str) -> Iterator[Server]:
    """The plain FastAPI and SQLAlchemy service, its transactions in "threads" or in the "loop"."""
    with (
        fresh_directory() as where,
        running(["-m", "benchmarks.peers.fastapi_sqlalchemy", "--transactions", transactions], where) as server,
    ):
        yield server


@contextmanager
def constant() -> Iterator[Server]:
    """The server that answers anything with the same bytes."""
    with fresh_directory() as where:
        (where / TOKEN_FILE).write_text("unchecked")
        with running(["-m", "benchmarks.peers.constant"], where) as server:
            yield server


@contextmanager
def running(
    arguments: Sequence[str], directory: Path, *, environ: Mapping[str, str] = {}, core: int | None = SERVER_CORE
) -> Iterator[Server]:
    """
    A Python program that takes `--port` and `--data-dir`, from its first 200 on /health until the block ends.

    Its output goes to a file in the directory: its logs are written in full, as in production.
    """
    port = free_port()
    where = [] if core is None else pinned(core)
    command = [*where, sys.executable, *arguments, "--port", str(port), "--data-dir", str(directory)]
    log = directory / f"output-{port}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**_environment(), **environ}
        )
        try:
            wait_until_ready(port, process, log)
            yield Server(port, process.pid, directory, time.perf_counter() - started)
        finally:
            stop(process)


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask /health again and again until it answers 200. Raises ServerGone with the end of its log."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not is_healthy(port):
        if process.poll() is not None:
            raise ServerGone(f"the server ended with status {process.returncode}: {log.read_text()[-2000:]}")
        if time.monotonic() > deadline:
            raise ServerGone(f"no 200 on /health within {READY_SECONDS_MAX:.0f} s: {log.read_text()[-2000:]}")
        time.sleep(POLL_SECONDS)


def is_healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end and, past the bound, end it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, **SETTINGS}


@contextmanager
def fresh_directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="tai-bench-", dir=scratch()) as made:
        yield Path(made)


def scratch() -> Path:
    """Where stores are put: TAI_BENCH_DIR, or the system's temporary directory. It should be on a real disk."""
    return Path(os.environ.get("TAI_BENCH_DIR") or gettempdir())
