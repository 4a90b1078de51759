"""The queries of `checklist --since`, over a window `$w` and the series that `--matching` selects."""

from typing import Final

NO_PROBES: Final = 'route!~"/health|/health/live|/metrics"'
BROKEN: Final = 'status=~"5.."'
STEPS: Final = 288
"""So often the window is looked at where something of every moment counts: every 2.5 h of 30 days."""
STEP_SECONDS_MIN: Final = 60
RATE_SECONDS: Final = 300


class Queries:
    def __init__(self, seconds: int, matching: str) -> None:
        self._w = f"{seconds}s"
        self._quarter = f"{seconds // 4}s"
        self._before = f"{seconds - seconds // 4}s"
        self._step = f"{max(STEP_SECONDS_MIN, seconds // STEPS)}s"
        self._rate = f"{max(RATE_SECONDS, seconds // STEPS)}s"
        self._matching = matching

    def _of(self, series: str, *labels: str) -> str:
        given = ",".join(each for each in (*labels, self._matching) if each)
        return f"{series}{{{given}}}"

    def _alive(self) -> str:
        """The instances that are ours: a Prometheus has processes of others too."""
        return self._of("tai_build_info")

    def _over(self, query: str, how: str) -> str:
        return f"{how}(({query})[{self._w}:{self._step}])"

    def covered(self) -> str:
        seen = self._over(f"count({self._alive()})", "count_over_time")
        return f"{seen} / {self._over('vector(1)', 'count_over_time')}"

    def critical(self) -> dict[str, str]:
        """By what it is: how often."""
        counters = {
            "500 internal": self._of("tai_http_problems_total", 'reason="internal"'),
            "a ledger that went back": self._of("tai_ledgers_went_back_total"),
            "an action of unknown end": self._of("tai_actions_total", 'outcome="unknown"'),
        }
        return {name: self._risen(counter) for name, counter in counters.items()}

    def _risen(self, counter: str) -> str:
        """A series that was not there at the window's beginning began with its first count, which no increase sees."""
        risen = f"increase({counter}[{self._w}]) and {counter} offset {self._w}"
        return f"sum(({risen}) or max_over_time({counter}[{self._w}]))"

    def restarts(self) -> str:
        changes = f"changes({self._of('process_start_time_seconds')}[{self._w}])"
        return f"sum({changes} and on (job, instance) last_over_time({self._alive()}[{self._w}]))"

    def upgrades(self) -> str:
        versions = (
            f"count by (job, instance) (count by (job, instance, version) (last_over_time({self._alive()}[{self._w}])))"
        )
        return f"sum({versions} - 1)"

    def instances_max(self) -> str:
        return self._over(f"count({self._alive()})", "max_over_time")

    def instances_min(self) -> str:
        return self._over(f"count({self._alive()})", "min_over_time")

    def unevenness(self) -> str:
        """While there are several: the busiest one's rate to the mean, averaged over time."""
        each = f"sum by (job, instance) (rate({self._of('tai_http_requests_total', NO_PROBES)}[{self._rate}]))"
        ratio = f"max({each}) / (avg({each}) > 0) and (count({each}) > 1)"
        return self._over(ratio, "avg_over_time")

    def p99_first_and_last(self) -> tuple[str, str]:
        bucket = self._of("tai_http_request_duration_seconds_bucket", NO_PROBES)
        first = f"histogram_quantile(0.99, sum by (le) (rate({bucket}[{self._quarter}] offset {self._before})))"
        last = f"histogram_quantile(0.99, sum by (le) (rate({bucket}[{self._quarter}])))"
        return first, last

    def answered(self) -> str:
        every = f"sum(increase({self._of('tai_http_requests_total', NO_PROBES)}[{self._w}]))"
        broken = f"sum(increase({self._of('tai_http_requests_total', NO_PROBES, BROKEN)}[{self._w}]))"
        return f"1 - ({broken} or vector(0)) / ({every} > 0)"

    def within(self) -> dict[str, str]:
        """By target: the share of all that met it."""
        requests = "tai_http_request_duration_seconds"
        return {
            "500 ms for every request": self._share(requests, "0.5", NO_PROBES),
            "5 ms for /health": self._share(requests, "0.005", 'route="/health"'),
            "100 ms for /marketplace": self._share(requests, "0.1", 'route="/marketplace"'),
            "50 ms for a receipt": self._share("tai_append_duration_seconds", "0.05"),
        }

    def _share(self, histogram: str, le: str, *labels: str) -> str:
        bucket = self._of(f"{histogram}_bucket", f'le="{le}"', *labels)
        within = f"sum(increase({bucket}[{self._w}]))"
        every = f"sum(increase({self._of(f'{histogram}_count', *labels)}[{self._w}]))"
        return f"{within} / ({every} > 0)"

    def memory_growth(self) -> str:
        """Of each instance of ours that did not restart: its median memory of the last quarter to the first's."""
        memory, began = self._of("process_resident_memory_bytes"), self._of("process_start_time_seconds")
        last = f"quantile_over_time(0.5, {memory}[{self._quarter}])"
        first = f"quantile_over_time(0.5, {memory}[{self._quarter}] offset {self._before})"
        steady = f"(changes({began}[{self._w}]) == 0)"
        return f"({last} / {first}) and on (job, instance) {steady} and on (job, instance) {self._alive()}"

    def files_share_max(self) -> str:
        share = f"{self._of('process_open_fds')} / {self._of('process_max_fds')} and on (job, instance) {self._alive()}"
        return f"max({self._over(share, 'max_over_time')})"

    def turned_away(self) -> str:
        problems = self._of("tai_http_problems_total", 'reason="overloaded"')
        away = f"sum(increase({problems}[{self._w}]))"
        every = f"sum(increase({self._of('tai_http_requests_total', NO_PROBES)}[{self._w}]))"
        return f"{away} / ({every} > 0)"
