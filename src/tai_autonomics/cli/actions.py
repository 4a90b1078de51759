"""`actions`: what rules have asked for, and what operators decide of the one in flight."""

from functools import partial
from typing import Annotated, Any, Final

import typer

from tai_autonomics.application.actions import RESULTS, STAGES
from tai_autonomics.cli import deciding
from tai_autonomics.cli.deciding import Word
from tai_autonomics.cli.explaining.words import json_text
from tai_autonomics.cli.ledgers import Place, ask, at_place, ledgers
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, TokenFile, Url
from tai_autonomics.cli.output import Output, counted
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.governor import CancelAction, DenyAction
from tai_autonomics.domain.identifiers import ActionId, parse_name, parse_tenant_id

LIST_LIMIT: Final = 100
LIMIT_MAX: Final = 1_000_000

app = group("Actions of rules: list, show, approve, deny, cancel.")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose action.")]
Action = Annotated[str, typer.Argument(metavar="ACTION", help="Its id, as list shows it.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; an erasable part of the receipt.")]


@app.command("list", epilog=epilog("actions list", "actions list -t acme"))
@at_place
def list_actions(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose; without it, those in flight of all.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help=f"One of {', '.join((*STAGES, *RESULTS))}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="So many.")] = LIST_LIMIT,
    *,
    place: Place,
    output: Output,
) -> None:
    """
    List a tenant's actions, the newest first, each in a line.

    Without a tenant, those in flight of every one.
    """
    if tenant is not None:
        parse_tenant_id(tenant)
    state = next((each for each in (*STAGES, *RESULTS) if each == status), None)
    if status is not None and state is None:
        raise typer.BadParameter(f"--status {status!r} is none of {', '.join((*STAGES, *RESULTS))}")
    if tenant is None and status in RESULTS:
        raise typer.BadParameter(f"without --tenant, those in flight are listed; none of them is {status}")

    async def work() -> None:
        async with ledgers(place) as source:
            async for action in source.actions(tenant, state, limit):
                output.show(action, summary_of(action))

    complete(work())


@app.command(epilog=epilog("actions show acme ACTION"))
@at_place
def show(tenant: Tenant, action: Action, *, place: Place, output: Output) -> None:
    """Show an action, and what became of it, receipt by receipt."""
    parse_tenant_id(tenant)
    parse_name(action)
    document = complete(ask(place, lambda source: source.action(tenant, action)))
    output.show(document, *lines_of(document))


@app.command(epilog=epilog("actions approve acme ACTION --url http://127.0.0.1:8080 --token-file ann.token"))
def approve(
    tenant: Tenant,
    action: Action,
    reason: Reason = None,
    url: Url = None,
    token_file: TokenFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Approve an action that waits for it.

    Only over --url, as the person whose token it is.

    Where several people must approve, each needs a token of their own.
    """
    place = Place(store=None, data_dir=data_dir, url=url, token_file=token_file)
    if url is None:
        raise typer.BadParameter("an approval is a person's: give --url, and --token-file with that person's token")
    return deciding.tell(place, tenant, _word("approve", action, None), reason, Output(json=as_json, quiet=quiet))


@app.command(epilog=epilog("actions deny acme ACTION --reason 'too early' --url http://127.0.0.1:8080"))
@at_place
def deny(tenant: Tenant, action: Action, reason: Reason = None, *, place: Place, output: Output) -> int:
    """Deny an action that waits for approval: nothing is done."""
    return deciding.tell(place, tenant, _word("deny", action, DenyAction), reason, output)


@app.command(epilog=epilog("actions cancel acme ACTION --url http://127.0.0.1:8080"))
@at_place
def cancel(tenant: Tenant, action: Action, reason: Reason = None, *, place: Place, output: Output) -> int:
    """
    Cancel an action, while no attempt of it is under way.

    Nothing more is done.
    """
    return deciding.tell(place, tenant, _word("cancel", action, CancelAction), reason, output)


def _word(verb: str, action: str, command: type[DenyAction] | type[CancelAction] | None) -> Word:
    of_action = None if command is None else partial(command, ActionId(action))
    return Word(f"actions/{action}/{verb}", f"action.{verb}", of_action, {"action": action})


def summary_of(action: dict[str, Any]) -> str:
    """When it was requested, where it stands, whose, which rule's and what, its id, and what is said of its end."""
    detail = f"  {action['detail']}" if "detail" in action else ""
    return (
        f"{action['requested_at']}  {action['state']:<17}  {action['tenant_id']}  {action['rule']}  {action['type']}"
        f"  {action['action_id']}{detail}"
    )


def lines_of(action: dict[str, Any]) -> list[str]:
    """The action for a person."""
    lines = [
        f"action       {action['action_id']} of {action['tenant_id']}",
        f"state        {action['state']}" + _told(action, "settled_at", ", since ") + _told(action, "by", ", by "),
        f"rule         {action['rule']}: {action['metric']} was {action['value']} at {action['requested_at']}",
        f"order        {json_text(action['order'])}",
        f"attempts     {action['attempts']} of {action['attempts_max']}, {action['timeout_seconds']} s each",
    ]
    if (approval := action.get("approval")) is not None:
        by = ", ".join(action.get("approved_by", ())) or "nobody yet"
        people = counted(approval["people"], "approval")
        lines.append(f"approval     {people} wanted before {approval['until']}; by {by}")
    if "target" in action:
        lines.append(f"target       {json_text(action['target'])}")
    names = {"deadline": "deadline", "leased_until": "lost at", "retry_at": "retry at", "detail": "detail"}
    lines += [f"{shown:<12} {action[name]}" for name, shown in names.items() if name in action]
    return lines + [
        f"receipt      {each['seq']}  {each['time']}  {each['event']['type']} by {each['by']}"
        for each in action.get("history", ())
    ]


def _told(action: dict[str, Any], name: str, before: str) -> str:
    return f"{before}{action[name]}" if name in action else ""
