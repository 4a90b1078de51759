"""`simulate`: what the rules of a plan would do with a file of signals, without a store and without doing it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from tai_autonomics.cli.options import AsJson, Quiet
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.spans import seconds_of
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import parse_name, parse_tenant_id
from tai_autonomics.errors import InvalidSignals, Malformed

if TYPE_CHECKING:
    from tai_autonomics.application.rehearsing import Assumed
    from tai_autonomics.cli.signals_file import Recorded
    from tai_autonomics.domain.plans import Plan, Plans
    from tai_autonomics.domain.quota import Consume

NOBODY: Final = "simulated"
"""The tenant of a file that names none."""
LATENCY_SECONDS_MAX: Final = 3_600

Ends = Literal["succeeded", "failed", "timed_out", "unknown"]
Outcome = Annotated[Ends, typer.Option("--outcome", help="How every attempt of an action ends.")]
Latency = Annotated[
    float, typer.Option("--latency", metavar="SECONDS", min=0, max=LATENCY_SECONDS_MAX, help="How long one takes.")
]
ApproveAfter = Annotated[
    str | None, typer.Option("--approve-after", metavar="10m", help="People approve then; else nobody does.")
]

app = group()


@app.command(
    epilog=epilog(
        "simulate plans.yaml --signals signals.csv",
        "simulate plans.yaml --signals signals.csv --plot cpu.svg",
    )
)
def simulate(
    plans: Annotated[Path, typer.Argument(metavar="PLANS", help="The plans file.")],
    signals: Annotated[
        Path, typer.Option("--signals", metavar="FILE", help="CSV or JSON Lines of signals; - is standard input.")
    ],
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose, where the file has several.")
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Which plan; else the one that has rules.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Write a picture there.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="METRIC", help="Of what the picture is; else the first observed.")
    ] = None,
    used: Annotated[
        list[str] | None,
        typer.Option("--used", metavar="QUOTA=N", help="So much of the quota is used before the first (repeatable)."),
    ] = None,
    outcome: Outcome = "succeeded",
    latency: Latency = 1.0,
    approve_after: ApproveAfter = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Run signals through the rules of a plan, and do nothing.

    The service's own decider gives a timeline and, with --plot, a picture; there is no action.
    """
    from tai_autonomics.application import rehearsing
    from tai_autonomics.cli.moving import target
    from tai_autonomics.cli.picturing import Collected
    from tai_autonomics.cli.plot import svg
    from tai_autonomics.cli.signals_file import read
    from tai_autonomics.cli.timeline import Timeline, assumed_said, document_of
    from tai_autonomics.domain.identifiers import MetricName
    from tai_autonomics.policy.file import load

    output = Output(json=as_json, quiet=quiet)
    assumed = assumed_of(outcome, latency, approve_after)
    drawn = None if metric is None else MetricName(_name(metric, "--metric"))
    in_force = load(plans.read_bytes(), name=str(plans))
    chosen = _plan(in_force, plan)
    one = _OneTenant(None if tenant is None else parse_tenant_id(tenant))
    timeline, collected = Timeline(), Collected(drawn)
    if not as_json:
        output.show(None, assumed_said(assumed))
    for step in rehearsing.simulate(
        ((each.signal, each.at) for each in one.of(read(signals))),
        in_force,
        chosen.name,
        assumed=assumed,
        consumed=_consumed(used or (), chosen),
    ):
        lines = list(timeline.lines_of(step))
        if plot is not None:
            collected.add(step)
        if as_json:
            output.show(document_of(step))
        else:
            output.show(None, *lines)
    if not timeline.signals:
        raise InvalidSignals(f"{signals}: it holds no signal of {tenant}")
    if plot is not None:
        picture = collected.picture(tenant=one.tenant or NOBODY, plan=chosen)
        with target(plot) as file:
            file.write(svg(picture).encode())
    summary = {"tenant": one.tenant or NOBODY, "plan": chosen.name, "policy": in_force.digest, **timeline.document()}
    output.show({"summary": summary}, *timeline.summary(chosen.governor.rules))


def assumed_of(outcome: Ends, latency_seconds: float, approve_after: str | None) -> "Assumed":
    """What the options say of what is not rehearsed."""
    from tai_autonomics.application.rehearsing import Assumed

    approval = None if approve_after is None else seconds_of(approve_after, "--approve-after")
    return Assumed(outcome, latency_seconds, approval)


class _OneTenant:
    """Lets the signals of one tenant pass: of the one that is asked for, or of the only one that there is."""

    def __init__(self, asked: str | None) -> None:
        self.tenant = asked
        self._asked = asked is not None

    def of(self, signals: "Iterator[Recorded]") -> "Iterator[Recorded]":
        for number, each in enumerate(signals):
            if self._asked:
                if each.tenant in (None, self.tenant):
                    yield each
                continue
            if number and each.tenant != self.tenant:
                names = f"{self.tenant or 'nobody'} and {each.tenant or 'nobody'}"
                raise InvalidSignals(f"there are signals of {names} in it: say whose with --tenant")
            self.tenant = each.tenant
            yield each


def _plan(plans: "Plans", asked: str | None) -> "Plan":
    if asked is not None:
        found = [plan for plan in plans.plans.values() if plan.name == asked]
        among = list(plans.plans)
    else:
        found = [plan for plan in plans.plans.values() if plan.governor.rules]
        among = [plan.name for plan in found]
    if len(found) != 1:
        what = "no plan has rules" if not among else f"say --plan with one of {', '.join(among)}"
        raise typer.BadParameter(what)
    return found[0]


def _consumed(used: "list[str] | tuple[()]", plan: "Plan") -> "Iterator[Consume]":
    from tai_autonomics.domain.identifiers import QuotaName
    from tai_autonomics.domain.plans import COUNT_MAX
    from tai_autonomics.domain.quota import Consume

    for text in used:
        name, _, amount = text.rpartition("=")
        if name not in plan.quotas:
            raise typer.BadParameter(f"--used {text!r}: plan {plan.name} has no quota {name!r}")
        if not (amount.isascii() and amount.isdigit() and 1 <= int(amount) <= COUNT_MAX):
            raise typer.BadParameter(f"--used {text!r} is not as {name}=1000")
        yield Consume(QuotaName(name), int(amount))


def _name(text: str, option: str) -> str:
    try:
        return parse_name(text)
    except Malformed as error:
        raise typer.BadParameter(f"{option} {text!r}: {error.detail}") from error
