"""`governor`: how a tenant's autonomic governor stands, and the hands-off switch."""

from typing import Annotated, Any

import typer

from tai_autonomics.cli import deciding
from tai_autonomics.cli.actions import Reason, summary_of
from tai_autonomics.cli.deciding import Word
from tai_autonomics.cli.ledgers import Place, ask, at_place
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.governor import PauseGovernor, ResumeGovernor
from tai_autonomics.domain.identifiers import parse_tenant_id

app = group("A tenant's governor: show, pause, resume.")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose governor.")]


@app.command(epilog=epilog("governor show acme"))
@at_place
def show(tenant: Tenant, *, place: Place, output: Output) -> None:
    """
    Show a governor as of now.

    It shows what stops it, its rules, budget and breaker, and the action in flight.
    """
    parse_tenant_id(tenant)
    document = complete(ask(place, lambda source: source.governor(tenant)))
    output.show(document, *lines_of(document))


@app.command(epilog=epilog("governor pause acme --reason maintenance --url http://127.0.0.1:8080"))
@at_place
def pause(tenant: Tenant, reason: Reason = None, *, place: Place, output: Output) -> int:
    """Hands off: no rule acts until it is resumed. What is in flight goes on."""
    word = Word("governor/pause", "governor.pause", lambda _: PauseGovernor())
    return deciding.tell(place, tenant, word, reason, output)


@app.command(epilog=epilog("governor resume acme --url http://127.0.0.1:8080"))
@at_place
def resume(tenant: Tenant, reason: Reason = None, *, place: Place, output: Output) -> int:
    """
    End a pause, an open breaker, or the wait after an unknown result.

    That is an action of which nobody knows whether it was done.
    """
    word = Word("governor/resume", "governor.resume", lambda _: ResumeGovernor())
    return deciding.tell(place, tenant, word, reason, output)


def lines_of(document: dict[str, Any]) -> list[str]:
    """The governor for a person."""
    governor = document["governor"]
    since = f", since {governor['since']}" if "since" in governor else ""
    breaker = f"; the breaker opens at {governor['failures_max']}" if "failures_max" in governor else ""
    lines = [
        f"tenant       {document['tenant_id']}",
        f"as of        receipt {document['as_of']['seq']}, {document['as_of']['time']}",
        f"governor     {governor['state']}{since}",
        *(f"cause        {_cause(cause)}" for cause in governor["causes"]),
        *(f"rule         {_rule(rule)}" for rule in governor["rules"]),
        f"failures     {governor['failures']} in a row{breaker}",
        *(f"{name:<12} {_budget(governor[name])}" for name in ("budget", "shadowed") if name in governor),
    ]
    if (throttle := governor.get("throttle")) is not None:
        rate = f"{throttle['requests']} in {throttle['per_seconds']} s"
        lines.append(f"throttle     {rate} until {throttle['until']}, by the action {throttle['action_id']}")
    return [*lines, f"action       {summary_of(document['action'])}"] if "action" in document else lines


def _cause(cause: dict[str, Any]) -> str:
    ends = "until compliance permits actions (holds list)" if cause["cause"] == "hold" else "until a person resumes it"
    until = f"until {cause['until']}" if "until" in cause else ends
    of = f"; the action {cause['action_id']}" if "action_id" in cause else ""
    return f"{cause['cause']}, since {cause['since']}, {until}{of}"


def _rule(rule: dict[str, Any]) -> str:
    mode = f"mode {rule['mode']}" if "mode" in rule else "not in the plan any more"
    rests = f", rests until {rule['cooldown_until']}" if "cooldown_until" in rule else ""
    return f"{rule['rule']}: {rule['level']}, {mode}{rests}"


def _budget(budget: dict[str, Any]) -> str:
    used = f"{budget['used']:,} of {budget['max']:,} actions per {budget['per_seconds']:,} s"
    return f"{used}, resets at {budget['resets_at']}"
