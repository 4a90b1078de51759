"""
`make soak`: a steady load below the peak on a service of its own, watched; exit 1 when anything that should not grows.

    fresh service --> warm-up at full speed --> steady load | samples of the process, its metrics and its store
                  --> every figure judged by its rule (flatness.py) --> results/soak: JSON, Markdown, a picture each
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from benchmarks.load import FailedRequests
from benchmarks.measure import RESULTS, say
from benchmarks.servers import Server, ServerGone
from benchmarks.steady.callers import claims, signed
from benchmarks.steady.flatness import RULES, judge
from benchmarks.steady.probe import health_of, read
from benchmarks.steady.report import Soaked, write
from benchmarks.steady.sampling import MIB, Sample, sample
from benchmarks.steady.series import figures, history
from benchmarks.steady.traffic import STOP_SECONDS_MAX, LoadFailed, Pace, fresh_service, locust, number
from benchmarks.steady.warming import warm_up

SAMPLES: Final = 300
"""In a run, however long; at least a second apart."""


class Asked(Struct, frozen=True):
    """How the soak was asked for; `rate` is requests a second of all users together."""

    seconds: int
    rate: float
    users: int
    tenants: int

    @property
    def every(self) -> float:
        """Seconds between two samples."""
        return max(1.0, self.seconds / SAMPLES)

    @property
    def pace(self) -> Pace:
        each = self.rate / self.users
        return Pace(users=self.users, rate=each, seconds=self.seconds, tenants=self.tenants, history_seconds=self.every)


def main() -> int:
    asked = Asked(
        seconds=int(number("SOAK_SECONDS", 600, lowest=10)),
        rate=number("SOAK_RATE", 200, lowest=1),
        users=int(number("SOAK_USERS", 50, lowest=1)),
        tenants=int(number("SOAK_TENANTS", 50, lowest=1)),
    )
    directory = Path(os.environ.get("SOAK_DIR") or RESULTS / "soak")
    soaked = soak(asked)
    write(soaked, directory)
    missed = [line for line in soaked.lines if line.startswith("MISSED")]
    print("\n".join([*(str(each) for each in soaked.verdicts), *missed, f"The report is {directory / 'SOAK.md'}"]))
    return 1 if soaked.lines else 0


def soak(asked: Asked, *, module: str = "tai_autonomics") -> Soaked:
    """Raises LoadFailed, FailedRequests or ServerGone where there is nothing to judge."""
    with TemporaryDirectory(prefix="tai-soak-") as made, fresh_service(module) as (server, key):
        say(f"filling what is bounded, over {asked.tenants} tenants")
        say(f"{warm_up(server, key, asked.tenants):,} requests sent; now {asked.rate:g}/s for {asked.seconds} s")
        samples = watched(server, key, asked.pace, every=asked.every, kept=Path(made))
        return judged(asked, samples, Path(made))


def watched(server: Server, key: Path, pace: Pace, *, every: float, kept: Path) -> list[Sample]:
    """A sample each `every` seconds, as long as the load runs. Raises LoadFailed when it did not end as it should."""
    samples: list[Sample] = []
    with locust(server, key, pace, directory=kept) as running:
        begun = time.monotonic()
        while not _ended(running, begun + len(samples) * every - time.monotonic()):
            now = time.monotonic() - begun
            if now > pace.seconds + STOP_SECONDS_MAX:
                raise LoadFailed("the load did not end")
            token = signed(claims("soak", "viewer"), key, int(time.time()))
            samples.append(sample(server, token, seconds=now))
    if running.returncode not in (0, 1):
        raise LoadFailed(f"locust ended with status {running.returncode}")
    return [each for each in samples if each.seconds <= pace.seconds]


def judged(asked: Asked, samples: Sequence[Sample], kept: Path) -> Soaked:
    """What the run comes to, from the samples and from what locust and its probe left in `kept`."""
    told, health = history(kept / "history.jsonl"), read(kept / "health.jsonl")
    seen, probed = figures(samples, told, health, every=asked.every), health_of(health)
    first, last = samples[0], samples[-1]
    return Soaked(
        settings=asdict(asked),
        requests=sum(each.requests for each in told) + (probed.probes if probed else 0),
        failures=sum(each.failures for each in told) + (probed.errors if probed else 0),
        receipts=last.receipts - first.receipts,
        store_bytes=round((last.store_mib + last.log_mib - first.store_mib - first.log_mib) * MIB),
        stamped=probed.stamped if probed else "not at all",
        figures=seen,
        verdicts=[judge(rule, seen[rule.figure]) for rule in RULES],
    )


def _ended(running: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended within so many seconds."""
    try:
        running.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LoadFailed, FailedRequests, ServerGone, OSError) as error:
        sys.exit(f"The soak came to nothing: {error}")
