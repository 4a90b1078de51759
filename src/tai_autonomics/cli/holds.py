"""`holds`: what keeps a tenant from being served, acted on or erased from, and who says so."""

from typing import Annotated, Any, Final, get_args

import typer

from tai_autonomics.cli import deciding
from tai_autonomics.cli.actions import Reason
from tai_autonomics.cli.deciding import Word
from tai_autonomics.cli.ledgers import Place, ask, at_place
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.spans import until_of
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.compliance import PlaceHold, ReleaseHold, Scope, parse_evidence
from tai_autonomics.domain.identifiers import HoldId, parse_tenant_id

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

app = group("Holds on a tenant: list, place, release.")

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose.")]
Evidence = Annotated[
    str, typer.Option("--evidence", metavar="URI", help="What it rests on: a URI, or a digest in hex; it stays.")
]


@app.command("list", epilog=epilog("holds list acme"))
@at_place
def list_holds(tenant: Tenant, *, place: Place, output: Output) -> None:
    """List a tenant's holds and controls, and what they close."""
    parse_tenant_id(tenant)
    document = complete(ask(place, lambda source: source.compliance(tenant)))
    output.show(document, *lines_of(document))


@app.command(epilog=epilog("holds place acme --evidence urn:case:12 --scope actions --until 30d"))
@at_place
def place(
    tenant: Tenant,
    evidence: Evidence,
    scope: Annotated[str, typer.Option("--scope", metavar="SCOPE", help=f"One of {', '.join(SCOPES)}.")] = "all",
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="WHEN", help="2027-06-30T00:00:00Z, or for how long: 30d; else until released."
        ),
    ] = None,
    reason: Reason = None,
    *,
    place: Place,
    output: Output,
) -> int:
    """Place a hold: what is in its scope is refused from now on."""
    closes = next((each for each in SCOPES if each == scope), None)
    if closes is None:
        raise typer.BadParameter(f"--scope {scope!r} is none of {', '.join(SCOPES)}")
    parse_evidence(evidence)
    expires_at = None if until is None else until_of(until, "--until")
    body = {"scope": closes, "evidence": evidence} | ({} if expires_at is None else {"expires_at": expires_at})
    word = Word("holds", "hold.place", lambda by: PlaceHold(closes, evidence, by, expires_at), body=body)
    return deciding.tell(place, tenant, word, reason, output)


@app.command(epilog=epilog("holds release acme case-12 --url http://127.0.0.1:8080"))
@at_place
def release(
    tenant: Tenant,
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Its id, as list shows it.")],
    reason: Reason = None,
    *,
    place: Place,
    output: Output,
) -> int:
    """Release a hold before its time."""
    word = Word(f"holds/{hold}/release", "hold.release", lambda by: ReleaseHold(HoldId(hold), by), {"hold": hold})
    return deciding.tell(place, tenant, word, reason, output)


def lines_of(document: dict[str, Any]) -> list[str]:
    """Holds and controls for a person."""
    compliance = document["compliance"]
    lines = [f"closed    {', '.join(compliance['closed']) or 'nothing'}"]
    for hold in compliance["holds"]:
        until = f"until {hold['expires_at']}" if "expires_at" in hold else "until it is released"
        lines.append(
            f"hold      {hold['hold_id']}  {hold['scope']:<7}  since {hold['placed_at']}, {until}, by {hold['by']}:"
            f" {hold['evidence']}"
        )
    for control in compliance["controls"]:
        required = "required" if control["required"] else "not required"
        said = f", until {control['valid_until']}, by {control['by']}: {control['evidence']}" if "by" in control else ""
        lines.append(f"control   {control['control']}: {control['standing']}, {required}{said}")
    return lines
