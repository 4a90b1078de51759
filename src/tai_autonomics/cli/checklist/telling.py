"""Monitoring & Logging: what can be seen of it from outside."""

from typing import Final

from tai_autonomics.cli.checklist.lines import Found, Row, Section, Wrong, failed, left_open, shown
from tai_autonomics.cli.checklist.run import Run
from tai_autonomics.errors import Malformed, StoreUnavailable
from tai_autonomics.telemetry.scrapes import Scrape, read

METRICS: Final = frozenset(
    {
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "tai_action_attempts_total",
        "tai_action_budget_left",
        "tai_actions_oldest_due_seconds",
        "tai_actions_total",
        "tai_append_duration_seconds",
        "tai_append_tenants",
        "tai_background_failures_total",
        "tai_build_info",
        "tai_check_age_seconds",
        "tai_check_up",
        "tai_commands_total",
        "tai_conflicts_total",
        "tai_http_problems_total",
        "tai_http_request_duration_seconds",
        "tai_http_requests_total",
        "tai_ledgers_went_back_total",
        "tai_log_lines_dropped_total",
        "tai_push_message_age_seconds",
        "tai_quarantined_messages",
        "tai_quotas_nearly_used",
        "tai_receipts_total",
        "tai_refusals_total",
        "tai_signals_refused_total",
        "tai_store_errors_total",
        "tai_telemetry_failures_total",
    }
)
"""Those that the alerts rest on, and more of what the dashboards show."""
ERRORS_SHARE_MAX: Final = 0.01


async def scraped(run: Run) -> Scrape:
    """Raises Wrong, Malformed."""
    return read((await run.ask.get("/metrics")).expect(200).content.decode("utf-8", "replace"))


async def scraped_if_it_can_be(run: Run) -> Scrape | None:
    """None where it cannot: the line metrics says why."""
    try:
        return await scraped(run)
    except (Wrong, Malformed, StoreUnavailable):
        return None


async def metrics_are_exposed(run: Run) -> Found:
    run.scrape = scrape = await scraped(run)
    if lacking := sorted(METRICS - scrape.families):
        return failed(f"/metrics lacks {', '.join(lacking)}", families=sorted(scrape.families))
    versions = [sample.labels.get("version") for sample in scrape.samples.get("tai_build_info", ())]
    return shown(f"{len(scrape.families)} families, among them all that alerts rest on", build=versions)


async def traces_are_continued(run: Run) -> Found:
    sent = {"traceparent": f"00-{run.trace}-{run.span}-01"}
    answer = (await run.ask.post("/marketplace", run.verify(run.names.first), headers=sent)).expect(200)
    match answer.members:
        case {"receipt": {"trace": str(trace)}, "hash": str(hash_)} if trace == run.trace:
            return shown(f"the caller's trace {trace} is in receipt {hash_}", trace=trace, receipt=hash_)
        case {"receipt": {"trace": str(trace)}}:
            return failed(f"the receipt names the trace {trace}, the caller's is {run.trace}")
        case _:
            return failed(f"the receipt names no trace, the caller's is {run.trace}")


async def errors_are_rare(run: Run) -> Found:
    good = [each for each in run.ask.answers if each.good and each.path not in ("/health", "/metrics")]
    broken = [each for each in good if each.status >= 500]
    if not good:
        return left_open("no call that ought to succeed was made")
    share = len(broken) / len(good)
    said = f"{len(broken)} of {len(good)} calls that ought to succeed were answered with a 5xx"
    if share > ERRORS_SHARE_MAX:
        return failed(f"{said}, more than 1 %: {', '.join(sorted({each.call for each in broken})[:3])}")
    return shown(said)


SECTION: Final = Section(
    "Monitoring & Logging",
    (
        Row("metrics", "Prometheus scrape endpoint configured", metrics_are_exposed, late=True),
        Row("traces", "Distributed trace context propagated", traces_are_continued, needs=("marketplace",)),
        Row("errors", "No error rates elevated", errors_are_rare, late=True),
    ),
)
