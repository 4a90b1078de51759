"""
A fresh service on a free port of loopback, and locust on it: what `make load` and `make soak` have in common.

    key of the load's own --> its public half is the service's JWT_KEYS; locust signs tokens with the private one
    service on core 0 | locust, and the probe that it starts, on core 1

The service runs at its production settings on an empty SQLite store: no --dev, its logs written in full to a file.
Settings of ours in the environment (TAI_…) are its own, so that a bound can be tried.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import Struct

from benchmarks.load import PLAN
from benchmarks.measure import HERE
from benchmarks.servers import LOAD_CORE, SERVER_CORE, Server, fresh_directory, pinned, service
from benchmarks.steady.callers import AUDIENCE, ISSUER

ROOT: Final = HERE.parent
LOCUST: Final = ROOT / ".venv-load" / "bin" / "locust"
STOP_SECONDS_MAX: Final = 60.0
"""Over the time that was asked for: until locust has stopped its users and its probe."""


RAMP_SECONDS: Final = 5
"""Until all users are there."""


class LoadFailed(RuntimeError):
    """The load could not be made at all; the message says why."""


class Pace(Struct, frozen=True):
    """`rate` is requests a second of one user; `seconds` is how long, `history_seconds` how often it is told."""

    users: int
    rate: float
    seconds: int
    tenants: int
    history_seconds: float = 1.0


@contextmanager
def fresh_service(module: str = "tai_autonomics") -> Iterator[tuple[Server, Path]]:
    """The service, and the private key whose tokens it takes; store, key and log are gone afterwards."""
    with fresh_directory() as directory:
        key, public = directory / "load-key.pem", directory / "load-public.pem"
        _make_keys(key, public)
        environ = {
            "STORE_URL": f"sqlite:///{directory}/tai.db",
            "PLANS_FILE": "",
            "JWT_KEYS": str(public),
            "JWT_JWKS_URL": "",
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
        }
        core = SERVER_CORE if _cores() > 1 else None
        with service(directory, environ=environ, core=core, module=module) as server:
            yield server, key


@contextmanager
def locust(server: Server, key: Path, pace: Pace, *, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """locust at that pace, until the block ends; what it saw is left in `directory`. Raises LoadFailed."""
    if not LOCUST.exists():
        raise LoadFailed("locust is not installed: make .venv-load/.made")
    command = [
        *(pinned(LOAD_CORE) if _cores() > 1 else ()),
        *(str(LOCUST), "-f", str(ROOT / "locustfile.py"), "--headless", "--only-summary", "--loglevel", "WARNING"),
        *("-u", str(pace.users), "-r", str(max(1, pace.users // RAMP_SECONDS)), "-t", f"{pace.seconds}s"),
        *("--host", f"http://127.0.0.1:{server.port}"),
    ]
    settings = {
        "LOAD_KEY_FILE": str(key),
        "LOAD_TOKEN": "",
        "LOAD_DIR": str(directory),
        "LOAD_RATE": str(pace.rate),
        "LOAD_TENANTS": str(pace.tenants),
        "LOAD_PLAN": PLAN,
        "LOAD_HISTORY_SECONDS": str(pace.history_seconds),
    }
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **settings}, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def number(name: str, default: float, *, lowest: float) -> float:
    """A setting from the environment; a wrong one ends the program with one line."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= 1e6:
        sys.exit(f"{name}={text}: it must be a number from {lowest:g} to 1000000")
    return value


def _make_keys(key: Path, public: Path) -> None:
    made = Ed25519PrivateKey.generate()
    key.touch(mode=0o600)
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
