"""
What locust is told beside the mix: the health probe runs as long as the load, and the floor decides the exit status.

    test_start: probe, history --> requests --> test_stop: the probe ends --> quitting: figures, 0 or 1 --> quit: lines

LOAD_DIR keeps health.jsonl (the probe's seconds), history.jsonl (a line each LOAD_HISTORY_SECONDS) and figures.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner
from locust.stats import RequestStats, calculate_response_time_percentile

from benchmarks.quantiles import at
from benchmarks.steady.goals import Figures, missed, summary
from benchmarks.steady.probe import health_of, read

ROOT: Final = Path(__file__).parents[2]
DIRECTORY: Final = os.environ.get("LOAD_DIR", "")
HISTORY_SECONDS: Final = float(os.environ.get("LOAD_HISTORY_SECONDS", "1"))
PROBE_STOP_SECONDS_MAX: Final = 15.0
"""Longer than the probe waits for an answer."""


class Watch:
    """
    One run. `receipts` are the names of requests that end in a receipt.

    Its end waits for the requests in flight, up to `answer_seconds_max` each: those are the slowest ones, and a run
    that left them out would say less of a service the longer it hangs.
    """

    def __init__(self, receipts: Collection[str], *, answer_seconds_max: float) -> None:
        self._receipts = receipts
        self._answer_seconds_max = answer_seconds_max
        self._kept = tempfile.TemporaryDirectory(prefix="tai-load-") if not DIRECTORY else None
        self._directory = Path(DIRECTORY or (self._kept.name if self._kept else "."))
        self._probe: subprocess.Popen[bytes] | None = None
        self._began = self._ended = 0.0
        self._failures = 0
        self._lines: list[str] = []
        self._latencies, self._latencies_receipts = array("d"), array("d")

    def listen(self) -> None:
        events.init_command_line_parser.add_listener(take_url)
        events.test_start.add_listener(self._start)
        events.request.add_listener(self._asked)
        events.test_stop.add_listener(self._stop)
        events.quitting.add_listener(self._judge)
        events.quit.add_listener(self._say)

    def _start(self, environment: Environment, **_: object) -> None:
        environment.stop_timeout = max(environment.stop_timeout, self._answer_seconds_max)
        if isinstance(environment.runner, WorkerRunner):
            return
        self._began = time.monotonic()
        self._probe = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.steady.probe", str(environment.host)),
                *("--output", str(self._directory / "health.jsonl")),
            ],
            cwd=ROOT,
        )
        gevent.spawn(self._tell_history)

    def _asked(self, name: str, response_time: float, exception: object, **_: object) -> None:
        self._latencies.append(response_time)
        if name in self._receipts:
            self._latencies_receipts.append(response_time)
        self._failures += exception is not None

    def _tell_history(self) -> None:
        """Until the run ends, a line from time to time; with workers of its own, the master sees no single request."""
        with (self._directory / "history.jsonl").open("wb", buffering=0) as output:
            while not self._ended:
                gevent.sleep(HISTORY_SECONDS)
                output.write(json.dumps(self._since_last()).encode() + b"\n")

    def _since_last(self) -> dict[str, Any]:
        every, receipts, failures = sorted(self._latencies), sorted(self._latencies_receipts), self._failures
        self._latencies, self._latencies_receipts, self._failures = array("d"), array("d"), 0
        return {
            "seconds": round(time.monotonic() - self._began, 3),
            "requests": len(every),
            "failures": failures,
            "p50_ms": round(at(every, 0.5), 3),
            "p99_ms": round(at(every, 0.99), 3),
            "receipt_p99_ms": round(at(receipts, 0.99), 3),
        }

    def _stop(self, **_: object) -> None:
        self._ended = time.monotonic()
        if self._probe is not None and self._probe.poll() is None:
            self._probe.terminate()
            self._probe.wait(PROBE_STOP_SECONDS_MAX)

    def _judge(self, environment: Environment, **_: object) -> None:
        if not self._began:
            return
        figures = self._figures(environment)
        lines = missed(figures)
        (self._directory / "figures.json").write_text(
            json.dumps({**figures._asdict(), "missed": lines}, indent=2) + "\n"
        )
        self._lines = [*self._lines, summary(figures), *lines]
        environment.process_exit_code = 1 if lines else 0
        if self._kept is not None:
            self._kept.cleanup()

    def _say(self, **_: object) -> None:
        """After locust's own tables."""
        print("\n".join(self._lines), flush=True)

    def _figures(self, environment: Environment) -> Figures:
        stats, runner = environment.stats, environment.runner
        health = health_of(read(self._directory / "health.jsonl"))
        if health is not None:
            probes = f"{health.probes:,} probes, p50 {health.p50_ms:.3g} ms, stamped {health.stamped}"
            self._lines.append(f"GET /health: {probes}")
        # A task that raised asked nothing more: what it would have asked has failed.
        raised = sum(int(each["count"]) for each in runner.exceptions.values()) if runner is not None else 0
        return Figures(
            requests=stats.num_requests + raised + (health.probes if health else 0),
            failures=stats.num_failures + raised + (health.errors if health else 0),
            per_second=stats.num_requests / max(self._ended - self._began, 1e-9),
            p99_ms=float(stats.total.get_response_time_percentile(0.99) or 0),
            receipt_p99_ms=_p99_of(stats, self._receipts),
            health_p99_ms=None if health is None else health.p99_ms,
        )


def _p99_of(stats: RequestStats, names: Collection[str]) -> float | None:
    """Over the requests of these names; None where there were none."""
    times: dict[int, int] = {}
    for (name, _), entry in stats.entries.items():
        if name in names:
            for milliseconds, count in entry.response_times.items():
                times[milliseconds] = times.get(milliseconds, 0) + count
    total = sum(times.values())
    return float(calculate_response_time_percentile(times, total, 0.99)) if total else None


def take_url(parser: LocustArgumentParser, **_: object) -> None:
    """The checklist's command ends with the service's URL, where locust wants names of users: no browser then."""
    if sys.argv[-1].startswith(("http://", "https://")) and sys.argv[-2] not in ("-H", "--host"):
        sys.argv[-1:] = ["--host", sys.argv[-1]]
        parser.set_defaults(headless=True)
