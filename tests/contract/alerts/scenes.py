"""Each fault as a monitoring system sees it: a scene says all alerts that fire in its minute `at`."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from tests.contract.alerts.series import (
    BEGINS,
    HEALTHY,
    LONG_AGO,
    MINUTES,
    SUBSCRIPTION,
    A,
    B,
    appends,
    backlog,
    begins,
    bursts,
    came,
    grows,
    of,
    requests,
    speeds_up,
    steady,
    times,
    turns,
)


class Scene(Struct, frozen=True, kw_only=True):
    """`changed` takes the place of series of HEALTHY, None leaves one out; `fires` is each alert with its labels."""

    fault: str
    changed: Mapping[str, str | None]
    at: int
    fires: tuple[tuple[str, Mapping[str, str]], ...]
    only: str = ""
    """The one form of the rules that has this alert: prometheus or google."""


def fires(*names: str, **labels: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    return tuple((name, labels) for name in names)


AVAILABILITY = ("TaiAvailabilityBurnFast", "TaiAvailabilityBurnSlow", "TaiAvailabilityBurnBudget")
LATENCY = ("TaiLatencyBurnFast", "TaiLatencyBurnSlow", "TaiLatencyBurnBudget")


def _slow(a_minute: int) -> dict[str, str | None]:
    """So many of 1,320 requests a minute take between 0.5 s and 1 s."""
    return {
        times("/marketplace", "0.005"): speeds_up(650, 650 - a_minute),
        times("/marketplace", "0.5"): speeds_up(659, 660 - a_minute),
    }


SCENES: Final = (
    Scene(
        fault="nothing is scraped any more",
        changed={each: f"1x{BEGINS} stale" for each in HEALTHY if each.startswith("tai_build_info")},
        at=30,
        fires=fires("TaiAbsent"),
    ),
    Scene(
        fault="one request of ten is answered with 503",
        changed={requests("/marketplace", "503"): speeds_up(0, 200)},
        at=60,
        fires=fires("TaiHttpErrors", *AVAILABILITY),
    ),
    Scene(
        fault="0.9 % of the requests are answered with 503",
        changed={requests("/marketplace", "503"): speeds_up(0, 17)},
        at=85,
        fires=fires("TaiAvailabilityBurnSlow", "TaiAvailabilityBurnBudget"),
    ),
    Scene(
        fault="0.4 % of the requests are answered with 503",
        changed={requests("/marketplace", "503"): speeds_up(0, 8)},
        at=85,
        fires=fires("TaiAvailabilityBurnBudget"),
    ),
    Scene(
        fault="one request of twenty is answered with 503, for two minutes",
        changed={requests("/marketplace", "503"): bursts(100, 2)},
        at=25,
        fires=fires("TaiAvailabilityBurnBudget"),
    ),
    Scene(
        fault="an outage of twenty minutes is over",
        changed={requests("/marketplace", "503"): bursts(200, 20)},
        at=80,
        fires=fires("TaiAvailabilityBurnBudget"),
    ),
    Scene(fault="three requests of ten are slow", changed=_slow(400), at=60, fires=fires("TaiHttpSlow", *LATENCY)),
    Scene(
        fault="one request of ten is slow",
        changed=_slow(130),
        at=85,
        fires=fires("TaiHttpSlow", "TaiLatencyBurnSlow", "TaiLatencyBurnBudget"),
    ),
    Scene(
        fault="3 % of the requests are slow",
        changed=_slow(40),
        at=85,
        fires=fires("TaiHttpSlow", "TaiLatencyBurnBudget"),
    ),
    Scene(
        fault="an instance is at capacity",
        changed={of("tai_http_problems_total", reason="overloaded"): speeds_up(1, 60)},
        at=30,
        fires=fires("TaiOverloaded"),
    ),
    Scene(
        fault="the first internal error of an instance",
        changed={of("tai_http_problems_total", reason="internal"): begins(steady(1))},
        at=25,
        fires=fires("TaiInternalErrors"),
    ),
    Scene(
        fault="another internal error",
        changed={of("tai_http_problems_total", reason="internal"): turns(1, 2)},
        at=25,
        fires=fires("TaiInternalErrors"),
    ),
    Scene(
        fault="an instance restarts twice",
        changed={
            of("process_start_time_seconds"): f"{LONG_AGO}x{BEGINS} 1260x2 1440x{MINUTES}",
            of("tai_background_failures_total", task="plans"): f"1x{BEGINS} stale",
            of("tai_http_problems_total", reason="internal"): f"1x{BEGINS} stale",
            of("tai_actions_total", type="webhook", outcome="unknown"): f"1x{BEGINS} stale",
        },
        at=28,
        fires=fires("TaiRestarts"),
    ),
    Scene(
        fault="instances with new names come and end",
        changed={**came("e", 22, 23), **came("f", 25, 26)},
        at=30,
        fires=fires("TaiRestarts"),
    ),
    Scene(
        fault="file descriptors are not closed",
        changed={of("process_open_fds"): turns(100, 850)},
        at=30,
        fires=fires("TaiFilesNearlyExhausted"),
    ),
    Scene(
        fault="a background task fails each minute",
        changed={of("tai_background_failures_total", task="timers"): speeds_up(0, 1)},
        at=35,
        fires=fires("TaiBackgroundFailures", task="timers"),
    ),
    Scene(
        fault="a plans file is refused",
        changed={of("tai_background_failures_total", task="plans"): turns(1, 2)},
        at=25,
        fires=fires("TaiReloadRefused", task="plans"),
    ),
    Scene(
        fault="the first secret is refused",
        changed={of("tai_background_failures_total", task="secrets"): begins(steady(1))},
        at=25,
        fires=fires("TaiReloadRefused", task="secrets"),
    ),
    Scene(
        fault="log lines are dropped",
        changed={of("tai_log_lines_dropped_total"): turns(0, 7)},
        at=25,
        fires=fires("TaiTelemetryLost"),
    ),
    Scene(
        fault="events cannot be told",
        changed={of("tai_telemetry_failures_total"): turns(0, 1)},
        at=25,
        fires=fires("TaiTelemetryLost"),
    ),
    Scene(
        fault="one instance does not reach its store",
        changed={of("tai_check_up", check="store"): turns(1, 0)},
        at=23,
        fires=fires("TaiStoreUnreachable"),
    ),
    Scene(
        fault="appends fail and the probe passes",
        changed={of("tai_store_errors_total", verb="append"): speeds_up(0, 6)},
        at=30,
        fires=fires("TaiStoreFailing", verb="append"),
    ),
    Scene(
        fault="appends are slow",
        changed={appends("0.25"): speeds_up(999, 900), appends("0.05"): speeds_up(990, 800)},
        at=40,
        fires=fires("TaiStoreSlow"),
    ),
    Scene(
        fault="two instances decide for the same tenants",
        changed={of("tai_conflicts_total"): speeds_up(30, 1500)},
        at=45,
        fires=fires("TaiStoreContended"),
    ),
    Scene(
        fault="a ledger went back",
        changed={of("tai_ledgers_went_back_total"): turns(0, 1)},
        at=23,
        fires=fires("TaiLedgerWentBack"),
    ),
    Scene(
        fault="a clock is off",
        changed={of("tai_check_up", check="clock"): turns(1, 0)},
        at=23,
        fires=fires("TaiClockUntrusted"),
    ),
    Scene(
        fault="the identity provider is away",
        changed={of("tai_check_up", check="keys"): turns(1, 0)},
        at=23,
        fires=fires("TaiKeysUnavailable", check="keys"),
    ),
    Scene(
        fault="Google's certificates cannot be had",
        changed={of("tai_check_up", check="push_keys"): turns(1, 0)},
        at=23,
        fires=fires("TaiKeysUnavailable", check="push_keys"),
    ),
    Scene(
        fault="pushes are answered with 401",
        changed={requests("/pubsub", "401"): begins(grows(100)), requests("/pubsub", "200"): speeds_up(300, 0)},
        at=38,
        fires=fires("TaiPushNotAcknowledged"),
    ),
    Scene(
        fault="no push at all is acknowledged, from the first on",
        changed={
            **{requests("/pubsub", status, target): None for status in ("200", "503") for target in (A, B)},
            requests("/pubsub", "401"): begins(grows(100)),
        },
        at=38,
        fires=fires("TaiPushNotAcknowledged"),
    ),
    Scene(
        fault="messages wait in the subscription",
        changed={backlog(SUBSCRIPTION): turns(20, 900)},
        at=30,
        fires=fires("TaiPubSubBacklog", subscription_id=SUBSCRIPTION),
        only="google",
    ),
    Scene(
        fault="signals are refused",
        changed={of("tai_signals_refused_total", reason="unknown_metric"): begins(grows(60))},
        at=50,
        fires=fires("TaiSignalsRefused", reason="unknown_metric"),
    ),
    Scene(
        fault="one command of six meets a quota that is used up",
        changed={of("tai_refusals_total", reason="quota_exceeded"): speeds_up(5, 160)},
        at=60,
        fires=fires("TaiQuotaExhausted"),
    ),
    Scene(
        fault="a receiver does not answer",
        changed={
            of("tai_action_attempts_total", type="webhook", outcome="succeeded"): speeds_up(60, 0),
            of("tai_action_attempts_total", B, type="webhook", outcome="succeeded"): speeds_up(60, 0),
            of("tai_action_attempts_total", type="webhook", outcome="timed_out"): begins(grows(60)),
        },
        at=60,
        fires=fires("TaiActionsFailing", type="webhook"),
    ),
    Scene(
        fault="a health check hangs",
        changed={of("tai_check_age_seconds", check="store"): f"4x{BEGINS} 64+60x{MINUTES}"},
        at=23,
        fires=fires("TaiChecksStale", check="store"),
    ),
    Scene(
        fault="one message of six is more than a minute old",
        changed={
            of("tai_push_message_age_seconds_bucket", le="1.0"): speeds_up(290, 190),
            of("tai_push_message_age_seconds_bucket", le="60.0"): speeds_up(297, 200),
        },
        at=35,
        fires=fires("TaiPushLate"),
    ),
    Scene(
        fault="a message stays in quarantine",
        changed={of("tai_quarantined_messages"): turns(0, 1)},
        at=55,
        fires=fires("TaiQuarantine"),
    ),
    Scene(
        fault="a tenant's quota is nearly used",
        changed={of("tai_quotas_nearly_used"): turns(0, 1)},
        at=40,
        fires=fires("TaiQuotaLow"),
    ),
    Scene(
        fault="an action is due and nobody takes it",
        changed={of("tai_actions_oldest_due_seconds"): f"5x{BEGINS} 60+60x{MINUTES}"},
        at=30,
        fires=fires("TaiActionsLate"),
    ),
    Scene(
        fault="the first action of which nobody knows how it ended",
        changed={of("tai_actions_total", type="webhook", outcome="unknown"): begins(steady(1))},
        at=25,
        fires=fires("TaiActionUnknown", type="webhook"),
    ),
    Scene(
        fault="the fleet's budget is used up",
        changed={of("tai_action_budget_left", type="webhook"): turns(20, 0)},
        at=30,
        fires=fires("TaiActionBudgetUsedUp", type="webhook"),
    ),
)
