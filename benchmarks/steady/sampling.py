"""What a service holds at one moment: memory, descriptors, lanes, its store; from /proc, /metrics and the directory."""

import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.servers import Server, ServerGone

MIB: Final = 1 << 20
SCRAPE_SECONDS_MAX: Final = 10.0
SERIES: Final = re.compile(r"^(tai_\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class Sample(Struct, frozen=True):
    """`seconds` since the soak's first. `receipts` counts those sealed since the service started."""

    seconds: float
    resident_mib: float
    descriptors: int
    threads: int
    lanes: int
    waiting: int
    receipts: int
    store_mib: float
    log_mib: float
    cpu_seconds: float


def sample(server: Server, token: str, *, seconds: float) -> Sample:
    """Raises ServerGone when the service is not there any more, OSError when it does not answer /metrics."""
    status = _status(server.pid)
    descriptors = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    told = _metrics(server.port, token)
    store = server.directory / "tai.db"
    log = store.with_name("tai.db-wal")
    return Sample(
        seconds=round(seconds, 3),
        resident_mib=round(status["VmRSS"] / 1024, 3),
        descriptors=descriptors,
        threads=status["Threads"],
        lanes=int(told["tai_lanes"]),
        waiting=int(told["tai_commands_waiting"]),
        receipts=int(told["tai_receipts_total"]),
        store_mib=round(store.stat().st_size / MIB, 3),
        log_mib=round(log.stat().st_size / MIB, 3) if log.exists() else 0.0,
        cpu_seconds=server.cpu_seconds(),
    )


def _status(pid: int) -> Mapping[str, int]:
    """Whole numbers of /proc/<pid>/status; memory in KiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as error:
        raise ServerGone("the service is gone") from error
    fields = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {name: int(words[0]) for name, words in fields.items() if words and words[0].isdigit()}


def _metrics(port: int, token: str) -> Mapping[str, float]:
    """Each metric, summed over its labels."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=SCRAPE_SECONDS_MAX) as reply:
        text = reply.read().decode()
    totals: dict[str, float] = {}
    for name, figure in SERIES.findall(text):
        totals[name] = totals.get(name, 0.0) + float(figure)
    return totals
