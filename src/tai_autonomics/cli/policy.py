"""`policy`: what other rules would have done with recorded signals, and what rules in mode shadow would have done."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, Tenants, settings_of
from tai_autonomics.cli.output import Output, columns, counted
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.simulate import ApproveAfter, Latency, Outcome, assumed_of
from tai_autonomics.cli.spans import since_of
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group

if TYPE_CHECKING:
    from tai_autonomics.application.backtesting import Backtest
    from tai_autonomics.application.ports import Store
    from tai_autonomics.application.shadows import Shadow
    from tai_autonomics.application.tallying import Act
    from tai_autonomics.domain.plans import Plans

ACTS_SHOWN_MAX: Final = 20
"""Of one tenant; --json has all."""

app = group("What rules would do, or would have done: backtest, diff.")


@app.command(epilog=epilog("policy backtest --plans new.yaml --since 7d"))
def backtest(
    plans: Annotated[Path, typer.Option("--plans", metavar="NEW", help="The other plans file.")],
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="2026-11-24T00:00:00Z, or how long ago: 7d.")],
    tenant: Tenants = None,
    outcome: Outcome = "succeeded",
    latency: Latency = 1.0,
    approve_after: ApproveAfter = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Run recorded signals again under another plans file.

    It prints what would differ, by tenant, and writes nothing.
    """
    from tai_autonomics.application.backtesting import backtest as run
    from tai_autonomics.cli.moving import heads_named
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.domain.tenant import Bounds

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    assumed, begin, text = assumed_of(outcome, latency, approve_after), since_of(since, "--since"), plans.read_bytes()
    bounds = Bounds(settings.entitlements_max, settings.observed_ahead_seconds_max)

    async def work() -> tuple[int, int]:
        told = differing = done = 0
        async with open_store(settings) as opened:
            in_force = await _carried_over(opened, text, str(plans))
            heads = {name: head for name, head in (await heads_named(opened, tenant)).items() if head.time >= begin}
            total = sum(head.seq for head in heads.values())
            with progress("running again", total=total, unit="receipts", shown=not quiet) as tell:
                for name, head in heads.items():
                    found = await run(opened, name, in_force, since=begin, bounds=bounds, assumed=assumed)
                    done += head.seq
                    tell(done)
                    if found.signals or found.unrecorded:
                        told += 1
                        differing += found.differs
                        output.show(_document(found), *(_lines(found) if found.differs else ()))
        return told, differing

    told, differing = complete(work())
    output.show(
        {"summary": {"since": begin, "tenants": told, "differing": differing}},
        f"{counted(told, 'tenant')} with signals since {begin}: {differing:,} would differ under {plans}",
    )


@app.command(epilog=epilog("policy diff --since 7d -t acme"))
def diff(
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="2026-11-24T00:00:00Z, or how long ago: 7d; else all.")
    ] = None,
    tenant: Tenants = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Print what rules in mode shadow would have done.

    What they would have done is counted by tenant and rule.
    """
    from tai_autonomics.application.shadows import shadows
    from tai_autonomics.cli.moving import heads_named
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.domain.moments import FIRST

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    begin = FIRST if since is None else since_of(since, "--since")
    rows: list[tuple[str, ...]] = []

    async def work() -> None:
        async with open_store(settings) as opened:
            heads = {name: head for name, head in (await heads_named(opened, tenant)).items() if head.time >= begin}
            total, done = sum(head.seq for head in heads.values()), 0
            with progress("reading", total=total, unit="receipts", shown=not quiet) as tell:
                for name, head in heads.items():
                    for shadow in await shadows(opened, name, head, begin):
                        rows.append(_row(name, shadow))
                        if as_json:
                            output.show({"tenant": name, **_members(shadow)})
                    done += head.seq
                    tell(done)

    complete(work())
    if not as_json:
        titles = ("tenant", "rule", "action", "would have acted", "first", "last", "withheld")
        output.show(None, *(columns([titles, *rows]) if rows else ["no rule in mode shadow would have acted"]))


async def _carried_over(store: "Store", text: bytes, name: str) -> "Plans":
    """As a service would take the file: a plan that it lacks keeps its last stored definition. Raises InvalidPlans."""
    from tai_autonomics.policy.file import carry_over, load

    in_force = load(text, name=name)
    kept = await store.newest_policy()
    return in_force if kept is None else load(carry_over(text, kept[1]), name=name)


def _document(found: "Backtest") -> dict[str, Any]:
    return {
        "tenant": found.tenant,
        "signals": found.signals,
        "unrecorded": found.unrecorded,
        **({} if found.archived_until is None else {"archived_until": found.archived_until}),
        "differs": found.differs,
        "gone": found.gone,
        "new": found.new,
        "recorded": {"rules": found.recorded.rules, "refused": found.recorded.refused},
        "rehearsed": {"rules": found.rehearsed.rules, "refused": found.rehearsed.refused},
    }


def _lines(found: "Backtest") -> list[str]:
    from tai_autonomics.cli.timeline import listed, said_of

    unrecorded = f", {counted(found.unrecorded, 'message')} not recorded" if found.unrecorded else ""
    archived = "" if found.archived_until is None else f", what was before {found.archived_until} is archived"
    lines = [f"{found.tenant}: {counted(found.signals, 'signal')}{unrecorded}{archived}"]
    for title, side in (("recorded", found.recorded), ("would be", found.rehearsed)):
        rules = [f"{rule}: {said_of(tally)}" for rule, tally in side.rules.items()]
        refused = [f"signals refused: {listed(side.refused)}"] if side.refused else []
        lines += [f"  {title}  {said}" for said in (*rules, *refused)] or [f"  {title}  nothing"]
    acts = sorted([*((act, "-") for act in found.gone), *((act, "+") for act in found.new)])
    lines += [f"  {sign} {_said(act)}" for act, sign in acts[:ACTS_SHOWN_MAX]]
    more = len(acts) - ACTS_SHOWN_MAX
    return [*lines, f"  and {more:,} more"] if more > 0 else lines


def _said(act: "Act") -> str:
    how = "requested" if act.kind == "requested" else "would have been done (shadow)"
    return f"{act.at}  {act.rule}: {act.action} {how}"


def _row(tenant: str, shadow: "Shadow") -> tuple[str, ...]:
    from tai_autonomics.cli.timeline import listed

    return (
        tenant,
        shadow.rule,
        shadow.action,
        f"{shadow.acts:,}",
        shadow.first,
        shadow.last,
        listed(shadow.withheld),
    )


def _members(shadow: "Shadow") -> dict[str, Any]:
    return {name: getattr(shadow, name) for name in shadow.__struct_fields__}
