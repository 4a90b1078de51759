"""
What a monitoring system sees of a running service: scrapes of /metrics, what in them stands out, and which alerts fire.

    calm, fault, over: each two or more scrapes  -->  series of one sample a minute  -->  promtool  -->  names of alerts

A stretch between scrapes goes on at its own pace for as many minutes as the rules want: counters grow as fast as they
did, gauges stay where they were, a process is as old as it was.
"""

import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.alerts.judging import RULES, judged, unit_test
from tests.engines.ports import free_port
from tests.journey.service import Service

CALM, FAULT, OVER = 20, 365, 365
"""Minutes: the alerts that look back furthest fire, or end, after six hours."""
STARTED: Final = "process_start_time_seconds"
COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")
TROUBLE: Final = {
    "tai_background_failures_total": ("task",),
    "tai_check_up": ("check",),
    "tai_action_attempts_total": ("outcome",),
    "tai_actions_total": ("outcome",),
    "tai_conflicts_total": (),
    "tai_http_problems_total": (),
    "tai_ledgers_went_back_total": (),
    "tai_log_lines_dropped_total": (),
    "tai_quarantined_messages": (),
    "tai_quotas_nearly_used": (),
    "tai_refusals_total": (),
    "tai_signals_refused_total": (),
    "tai_spans_dropped_total": (),
    "tai_store_errors_total": (),
    "tai_telemetry_failures_total": (),
}
"""What stands still, or is 0, while all is well, with the labels that say which trouble it is."""
SLOW: Final = {
    "tai_append_duration_seconds": (0.25, 0.01),
    "tai_http_request_duration_seconds": (0.5, 0.01),
    "tai_push_message_age_seconds": (60.0, 0.05),
}
"""Where more than this share takes longer than so many seconds."""
RESTARTS_MAX: Final = 1
"""As an upgrade restarts each instance."""
PROBES: Final = {"/health", "/health/live", "/metrics"}

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


class Sight(Struct):
    """One scrape of all instances, at seconds since 1970; of one that does not answer there is nothing."""

    at: float
    samples: dict[Series, float]


class Watched:
    """A service whose metrics are scraped without a token, also by whoever has none."""

    def __init__(self, name: str, data_dir: Path, **environ: str) -> None:
        self.name, self._port = name, free_port()
        address = {"TAI_METRICS_ADDRESS": f"127.0.0.1:{self._port}", "LOG_FORMAT": "json"}
        data_dir.mkdir(exist_ok=True)
        self.service = Service(data_dir, environ={**address, **environ})

    def log_since(self, before: Sequence[str]) -> list[str]:
        """The lines after those; of a service that was started again, all."""
        now = list(self.service.output)
        return now[len(before) :] if now[: len(before)] == before else now

    def samples(self) -> dict[Series, float]:
        try:
            text = httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=20).text
        except httpx.ConnectError:
            return {}
        target = {"job": "tai", "namespace": "tai", "instance": f"{self.name}:9464"}
        return {
            (sample.name, tuple(sorted({**sample.labels, **target}.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def seen(*watched: Watched) -> Sight:
    samples = {key: value for each in watched for key, value in each.samples().items()}
    return Sight(time.time(), samples)


def thinned(sights: list[Sight]) -> list[Sight]:
    """The first and the last, and those between after which another process answered, or none."""

    def processes(sight: Sight) -> dict[Series, float]:
        return {key: value for key, value in sight.samples.items() if key[0] == STARTED}

    changed = [a for a, b in pairwise(sights[1:]) if processes(a) != processes(b)]
    return [sights[0], *changed, *sights[1:][-1:]]


def said(lines: Sequence[str]) -> frozenset[str]:
    """The messages above info, of a library its name; a request's own line counts as requests do."""
    logged: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    loud = [line for line in logged if line["severity"] in ("WARNING", "ERROR") and "httpRequest" not in line]
    return frozenset(line["logger"].partition(".")[0] if "logger" in line else line["message"] for line in loud)


# ---- what stands out


def signs(sights: Sequence[Sight]) -> frozenset[str]:
    """Metrics that say from the first scrape to the last that something is wrong, with the label that says what."""
    before, after = sights[0], sights[-1]
    trouble = {_named(key) for key, value in after.samples.items() if _is_trouble(key, value, before)}
    slow = {name for name, (bound, share) in SLOW.items() if _share_over(name, bound, before, after) > share}
    begun = {key: {sight.samples.get(key) for sight in sights} - {None} for key in after.samples if key[0] == STARTED}
    return frozenset(trouble | slow | {STARTED for starts in begun.values() if len(starts) > RESTARTS_MAX + 1})


def _is_trouble(key: Series, value: float, before: Sight) -> bool:
    name, labels = key
    if name not in TROUBLE or ("outcome", "succeeded") in labels:
        return False
    if name == "tai_check_up":
        return value == 0
    return value > (before.samples.get(key, 0) if name.endswith("_total") else 0)


def _named(key: Series) -> str:
    name, labels = key
    told = ",".join(f'{label}="{dict(labels)[label]}"' for label in TROUBLE[name])
    return f"{name}{{{told}}}" if told else name


def _share_over(name: str, bound: float, before: Sight, after: Sight) -> float:
    def grown(le: float) -> float:
        return sum(
            value - before.samples.get(key, 0)
            for key, value in after.samples.items()
            if key[0] == f"{name}_bucket"
            and float(dict(key[1])["le"]) == le
            and dict(key[1]).get("route") not in PROBES
        )

    every = grown(float("inf"))
    return 1 - grown(bound) / every if every > 0 else 0


# ---- which alerts fire


def firing(
    promtool: str, directory: Path, stretches: Sequence[Sequence[Sight]], expected: Sequence[frozenset[str]]
) -> str:
    """
    What promtool objects to: where others than the expected alerts fire in calm, during the fault, and when it is over.

    Its own words, of which a test that fails shows `exp` and `got`.
    """
    calm, fault, over = CALM - 1, CALM + FAULT - 1, CALM + FAULT + OVER - 1
    asked = [
        {
            "expr": f'max by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{minutes}m]))',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
        }
        for (minute, minutes), names in zip(((calm, CALM), (fault, FAULT), (over, 1)), expected, strict=True)
    ]
    file = directory / "fault.yaml"
    file.write_text(unit_test(RULES, _series(stretches), promql_expr_test=asked))
    return judged(promtool, "test", "rules", file)


def _series(stretches: Sequence[Sequence[Sight]]) -> dict[str, str]:
    """Those that a rule asks for, with their values as promtool writes them."""
    rules = "".join(file.read_text() for file in RULES)
    keys = {key for sights in stretches for sight in sights for key in sight.samples if key[0] in rules}
    return {_written(key): _values(key, stretches) for key in sorted(keys)}


def _written(key: Series) -> str:
    return key[0] + "{" + ",".join(f'{name}="{value}"' for name, value in key[1]) + "}"


def _values(key: Series, stretches: Sequence[Sequence[Sight]]) -> str:
    values: Callable[..., list[float | None]] = _counted if key[0].endswith(COUNTERS) else _gauged
    found: list[float | None] = []
    for sights, minutes in zip(stretches, (CALM, FAULT, OVER), strict=True):
        last = next((value for value in reversed(found) if value is not None), None)
        found += values(key, sights, minutes, last, len(found))
    there = ["stale" if value is None else f"{value:.6f}" for value in found]
    first = next((place for place, value in enumerate(found) if value is not None), len(found))
    return " ".join(["_"] * first + there[first:])


def _counted(key: Series, sights: Sequence[Sight], minutes: int, last: float | None, _: int) -> list[float | None]:
    """It grows as fast as it did, also where it began anew in between."""
    if key not in sights[-1].samples:
        return [None] * minutes
    numbers = [sight.samples.get(key, 0) for sight in sights]
    grown = sum(b - a if b >= a else b for a, b in pairwise(numbers))
    pace = grown * 60 / (sights[-1].at - sights[0].at)
    return [(last or 0) + pace * (minute + 1) for minute in range(minutes)]


def _gauged(key: Series, sights: Sequence[Sight], minutes: int, last: float | None, begins: int) -> list[float | None]:
    """Its value in one scrape after another, then in the last; of a process's start, what makes it as old as it was."""
    found: list[float | None] = []
    before = sights[0].samples.get(key)
    for place in range(minutes):
        sight = sights[min(place + 1, len(sights) - 1)]
        value = sight.samples.get(key)
        if key[0] == STARTED and value is not None:
            same = value == before and last is not None
            before, value = value, last if same else (begins + place) * 60 - (sight.at - value)
            last = value
        found.append(value)
    return found
