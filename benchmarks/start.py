"""P10: from the start of the process to the first 200 on /health, beside an interpreter that imports two packages."""

import subprocess
import sys
import time
from typing import Final

from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import SERVER_CORE, fresh_directory, pinned, service

IMPORTS: Final = "import starlette, uvicorn"
ROUNDS_FACTOR: Final = 3
"""A start is short: more rounds than others have."""


def measure_start(size: Size) -> None:
    """A first start makes key, token and store; a restart finds them."""
    rounds = interleave(size.rounds * ROUNDS_FACTOR, {"first": _first_start, "restart": _restart, "imports": _imports})
    first = Series("first start", "s", tuple(rounds["first"]))
    restart = Series("restart", "s", tuple(rounds["restart"]))
    imports = Series(f'python -c "{IMPORTS}"', "s", tuple(rounds["imports"]))
    rows = [first, restart, imports, ratio("first start / imports", first, imports)]
    record("P10", [*rows, ratio("restart / imports", restart, imports)], short=size.short)


def _first_start() -> float:
    with service() as server:
        return server.ready_seconds


def _restart() -> float:
    with fresh_directory() as directory:
        with service(directory):
            pass
        with service(directory) as server:
            return server.ready_seconds


def _imports() -> float:
    started = time.perf_counter()
    subprocess.run([*pinned(SERVER_CORE), sys.executable, "-c", IMPORTS], check=True, timeout=60)
    return time.perf_counter() - started
