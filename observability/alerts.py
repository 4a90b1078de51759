"""
Every alert: when it fires, how urgent it is, and the section of docs/RUNBOOK.md that says what to do.

`critical` wakes somebody: customers are refused, or receipts are in danger. `warning` is for the next working day.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from observability.promql import happened, quantile
from observability.records import SLOW_SECONDS

Severity = Literal["critical", "warning"]


class Alert(Struct, frozen=True, kw_only=True):
    """`query` is PromQL whose result fires (see promql.py); `minutes` is for how long it has to hold."""

    name: str
    severity: Severity
    summary: str
    section: str
    """A heading of docs/RUNBOOK.md."""
    query: str
    minutes: int
    labels: tuple[str, ...] = ()
    """What tells its alerts apart beside the deployment."""
    cloud_only: bool = False
    """It asks for what Google's services tell of themselves."""

    @property
    def anchor(self) -> str:
        """Of its section, as a page made from Markdown has it."""
        return re.sub(r"[^\w -]", "", self.section.lower()).replace(" ", "-")


class Objective(Struct, frozen=True, kw_only=True):
    """What is promised over 30 days; `ratio` is the recorded share of what breaks it, without its window."""

    name: str
    promise: float
    what: str
    ratio: str


AVAILABILITY: Final = Objective(
    name="Availability", promise=0.999, what="answered without a 5xx", ratio="job:tai_http_errors:ratio"
)
LATENCY: Final = Objective(
    name="Latency", promise=0.99, what=f"answered within {SLOW_SECONDS} s", ratio="job:tai_http_slow:ratio"
)
OBJECTIVES: Final = (AVAILABILITY, LATENCY)
"""The error budget is 1 - promise: 43 minutes of an outage in 30 days, and 1 request in 100."""


class Burn(Struct, frozen=True, kw_only=True):
    """
    How many times faster than it may an error budget is used, over a long window and a short one.

    The long one says that it matters, the short one that it still goes on (Google's SRE workbook, chapter 5).
    """

    name: str
    times: float
    long: str
    short: str
    severity: Severity
    means: str


BURNS: Final = (
    Burn(name="Fast", times=14.4, long="1h", short="5m", severity="critical", means="2 % of it within an hour"),
    Burn(name="Slow", times=6, long="6h", short="30m", severity="critical", means="5 % of it within six hours"),
    Burn(name="Budget", times=1, long="3d", short="6h", severity="warning", means="10 % of it within three days"),
)


def burns() -> Iterator[Alert]:
    for objective in OBJECTIVES:
        for burn in BURNS:
            limit = round(burn.times * (1 - objective.promise), 6)
            yield Alert(
                name=f"Tai{objective.name}Burn{burn.name}",
                severity=burn.severity,
                summary=(
                    f"The error budget of 30 days is being used up, {burn.means}: "
                    f"{objective.promise * 100:g} % of the requests are to be {objective.what}."
                ),
                section="An error budget burns",
                query=f"{objective.ratio}_rate{burn.long} > {limit} and {objective.ratio}_rate{burn.short} > {limit}",
                minutes=2,
            )


REQUESTS: Final = (
    Alert(
        name="TaiAbsent",
        severity="critical",
        summary="No instance tells its metrics: none runs, or none is scraped, and every other alert is silent.",
        section="No metrics arrive",
        query="absent(tai_build_info{$target})",
        minutes=5,
    ),
    Alert(
        name="TaiHttpErrors",
        severity="critical",
        summary="More than 1 % of the requests are answered with a 5xx.",
        section="Requests are answered with errors",
        query="job:tai_http_errors:ratio_rate5m > 0.01",
        minutes=5,
    ),
    Alert(
        name="TaiHttpSlow",
        severity="warning",
        summary="1 % of the requests take longer than 500 ms.",
        section="Requests are slow",
        query=f"job:tai_http_request_duration_seconds:p99_5m > {SLOW_SECONDS}",
        minutes=5,
    ),
    *burns(),
    Alert(
        name="TaiOverloaded",
        severity="warning",
        summary="An instance turns requests away because it is at capacity (429 overloaded).",
        section="An instance is at capacity",
        query='sum by ($by) (rate(tai_http_problems_total{reason="overloaded"}[5m])) > 0.1',
        minutes=5,
    ),
    Alert(
        name="TaiInternalErrors",
        severity="warning",
        summary="A request met an error of ours (500 internal).",
        section="An error of ours",
        query=happened('tai_http_problems_total{reason="internal"}', 15),
        minutes=0,
    ),
)

PROCESSES: Final = (
    Alert(
        name="TaiRestarts",
        severity="warning",
        summary="Processes end and begin again: twice within 15 minutes.",
        section="Processes restart",
        # An instance that begins again and again, or instances with new names that are gone as soon as they came.
        query=(
            "max by ($by) (changes(process_start_time_seconds[15m]) and on (instance) tai_build_info) >= 2"
            " or count by ($by) ((last_over_time(process_start_time_seconds[15m]) > time() - 900)"
            " and on (instance) last_over_time(tai_build_info[15m]) unless on (instance) tai_build_info) >= 2"
        ),
        minutes=0,
    ),
    Alert(
        name="TaiFilesNearlyExhausted",
        severity="warning",
        summary="A process has more than 80 % of its file descriptors open.",
        section="File descriptors run out",
        query="max by ($by) (process_open_fds / process_max_fds and on (instance) tai_build_info) > 0.8",
        minutes=5,
    ),
    Alert(
        name="TaiBackgroundFailures",
        severity="warning",
        summary="A task that nobody waits for fails again and again.",
        section="A background task fails",
        query='sum by ($by, task) (increase(tai_background_failures_total{task!~"plans|secrets"}[15m])) > 2',
        minutes=5,
        labels=("task",),
    ),
    Alert(
        name="TaiReloadRefused",
        severity="warning",
        summary="A plans file or a secret was read again and cannot be used; the old one stays in force.",
        section="A plans file or a secret is not taken",
        query=happened('tai_background_failures_total{task=~"plans|secrets"}', 15, by="$by, task"),
        minutes=0,
        labels=("task",),
    ),
    Alert(
        name="TaiTelemetryLost",
        severity="warning",
        summary="Log lines or events were lost; the receipts have everything.",
        section="Log lines are lost",
        query=(
            "sum by ($by) (increase(tai_log_lines_dropped_total[15m]))"
            " + sum by ($by) (increase(tai_telemetry_failures_total[15m])) > 0"
        ),
        minutes=0,
    ),
)

STORES: Final = (
    Alert(
        name="TaiStoreUnreachable",
        severity="critical",
        summary="An instance cannot reach its store (Firestore, PostgreSQL or the SQLite file) and decides nothing.",
        section="The store cannot be reached",
        query='min by ($by) (tai_check_up{check="store"}) == 0',
        minutes=1,
    ),
    Alert(
        name="TaiStoreFailing",
        severity="warning",
        summary="Calls of the store fail.",
        section="The store cannot be reached",
        query="sum by ($by, verb) (rate(tai_store_errors_total[5m])) > 0.05",
        minutes=5,
        labels=("verb",),
    ),
    Alert(
        name="TaiStoreSlow",
        severity="warning",
        summary="1 % of the appends take longer than 250 ms until they are durable.",
        section="The store is slow",
        query="job:tai_append_duration_seconds:p99_5m > 0.25",
        minutes=10,
    ),
    Alert(
        name="TaiStoreContended",
        severity="warning",
        summary="More than 10 % of the appends find their place taken: instances decide for the same tenants.",
        section="Instances decide for the same tenants",
        query=(
            "sum by ($by) (rate(tai_conflicts_total[15m])) / sum by ($by) (rate(tai_append_tenants_sum[15m])) > 0.1"
        ),
        minutes=15,
    ),
    Alert(
        name="TaiLedgerWentBack",
        severity="critical",
        summary="The store holds less of a ledger than was durable: acknowledged receipts may be lost.",
        section="A ledger went back",
        query="sum by ($by) (increase(tai_ledgers_went_back_total[1h])) > 0",
        minutes=0,
    ),
    Alert(
        name="TaiChecksStale",
        severity="critical",
        summary="A health check has not ended for a minute: what it said last says nothing any more.",
        section="A health check stands still",
        query="max by ($by, check) (tai_check_age_seconds) > 60",
        minutes=1,
        labels=("check",),
    ),
    Alert(
        name="TaiClockUntrusted",
        severity="critical",
        summary="An instance's clock cannot be trusted, so it seals nothing.",
        section="The clock is not trusted",
        query='min by ($by) (tai_check_up{check="clock"}) == 0',
        minutes=1,
    ),
    Alert(
        name="TaiKeysUnavailable",
        severity="critical",
        summary="Keys cannot be had, an identity provider's (keys) or Google's (push_keys): new tokens are refused.",
        section="Keys cannot be had",
        query='min by ($by, check) (tai_check_up{check=~"keys|push_keys"}) == 0',
        minutes=1,
        labels=("check",),
    ),
)

LOOP: Final = (
    Alert(
        name="TaiPushNotAcknowledged",
        severity="critical",
        summary="More than 5 % of the Pub/Sub pushes are not acknowledged: they come again later, and all fall behind.",
        section="Pub/Sub messages fall behind",
        query=(
            '1 - (sum by ($by) (rate(tai_http_requests_total{route="/pubsub",status=~"2.."}[5m]))'
            ' or 0 * sum by ($by) (rate(tai_http_requests_total{route="/pubsub"}[5m])))'
            ' / sum by ($by) (rate(tai_http_requests_total{route="/pubsub"}[5m])) > 0.05'
        ),
        minutes=10,
    ),
    Alert(
        name="TaiPushLate",
        severity="critical",
        summary="Pub/Sub messages are decided more than a minute after they were published (5 % of them, or more).",
        section="Pub/Sub messages fall behind",
        query=f"{quantile(0.95, 'tai_push_message_age_seconds', '5m')} > 60",
        minutes=5,
    ),
    Alert(
        name="TaiPubSubBacklog",
        severity="critical",
        summary="The oldest message of the subscription has waited for more than 5 minutes.",
        section="Pub/Sub messages fall behind",
        query=(
            "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age"
            '{monitored_resource="pubsub_subscription",subscription_id="$subscription"}) > 300'
        ),
        minutes=5,
        labels=("subscription_id",),
        cloud_only=True,
    ),
    Alert(
        name="TaiQuarantine",
        severity="warning",
        summary="Messages are in quarantine and stay there: acknowledged, and not decided.",
        section="Messages in quarantine",
        query="max by ($by) (tai_quarantined_messages) > 0",
        minutes=30,
    ),
    Alert(
        name="TaiSignalsRefused",
        severity="warning",
        summary="Signals are refused and gone.",
        section="Signals are refused",
        query="sum by ($by, reason) (rate(tai_signals_refused_total[15m])) > 0.1",
        minutes=15,
        labels=("reason",),
    ),
    Alert(
        name="TaiQuotaExhausted",
        severity="warning",
        summary="More than 5 % of the commands are refused because a quota is used up.",
        section="Quotas are used up",
        query=(
            'sum by ($by) (rate(tai_refusals_total{reason="quota_exceeded"}[15m]))'
            " / sum by ($by) (rate(tai_commands_total[15m])) > 0.05"
        ),
        minutes=15,
    ),
    Alert(
        name="TaiQuotaLow",
        severity="warning",
        summary="Tenants have nearly used up a quota.",
        section="Quotas are used up",
        query="max by ($by) (tai_quotas_nearly_used) > 0",
        minutes=15,
    ),
    Alert(
        name="TaiActionsFailing",
        severity="warning",
        summary="More than half of the attempts of an action's type do not succeed.",
        section="Actions fail or hang",
        query=(
            'sum by ($by, type) (rate(tai_action_attempts_total{outcome!="succeeded"}[15m]))'
            " / sum by ($by, type) (rate(tai_action_attempts_total[15m])) > 0.5"
        ),
        minutes=15,
        labels=("type",),
    ),
    Alert(
        name="TaiActionsLate",
        severity="warning",
        summary="An action has been due for more than 2 minutes and is not attempted.",
        section="Actions fail or hang",
        query="max by ($by) (tai_actions_oldest_due_seconds) > 120",
        minutes=5,
    ),
    Alert(
        name="TaiActionUnknown",
        severity="warning",
        summary="Nobody knows how an action ended, and it is not repeated: its governor waits for a person.",
        section="Nobody knows how an action ended",
        query=happened('tai_actions_total{outcome="unknown"}', 15, by="$by, type"),
        minutes=0,
        labels=("type",),
    ),
    Alert(
        name="TaiActionBudgetUsedUp",
        severity="warning",
        summary="The fleet's budget of a type of action is used up: no tenant's rule acts by it until the window ends.",
        section="A budget is used up",
        query="min by ($by, type) (tai_action_budget_left) <= 0",
        minutes=5,
        labels=("type",),
    ),
)

GROUPS: Final = {"requests": REQUESTS, "processes": PROCESSES, "store": STORES, "loop": LOOP}
ALERTS: Final = tuple(alert for group in GROUPS.values() for alert in group)
