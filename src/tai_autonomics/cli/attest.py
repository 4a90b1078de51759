"""`attest`: an auditor's verdict on a control of a tenant."""

from typing import Annotated, Final, get_args

import typer

from tai_autonomics.cli import deciding
from tai_autonomics.cli.actions import Reason
from tai_autonomics.cli.deciding import Word
from tai_autonomics.cli.holds import Evidence, Tenant
from tai_autonomics.cli.ledgers import Place
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, TokenFile, Url
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.spans import until_of
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.compliance import Verdict, parse_evidence
from tai_autonomics.domain.identifiers import parse_name

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)

app = group()


@app.command(epilog=epilog("attest acme soc2 --evidence urn:report:7 --until 365d --url http://127.0.0.1:8080"))
def attest(
    tenant: Tenant,
    control: Annotated[str, typer.Argument(metavar="CONTROL", help="As the plan's requires names it.")],
    evidence: Evidence,
    until: Annotated[
        str,
        typer.Option("--until", metavar="WHEN", help="It counts until 2027-12-31T00:00:00Z, or for how long: 365d."),
    ],
    status: Annotated[
        str, typer.Option("--status", metavar="STATUS", help=f"One of {', '.join(VERDICTS)}.")
    ] = "compliant",
    reason: Reason = None,
    url: Url = None,
    token_file: TokenFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Attest a control.

    Only over --url, as the auditor whose token it is.
    """
    place = Place(store=None, data_dir=data_dir, url=url, token_file=token_file)
    if url is None:
        raise typer.BadParameter("a verdict is an auditor's: give --url, and --token-file with that person's token")
    if status not in VERDICTS:
        raise typer.BadParameter(f"--status {status!r} is none of {', '.join(VERDICTS)}")
    parse_name(control)
    parse_evidence(evidence)
    body = {"control": control, "status": status, "evidence": evidence, "valid_until": until_of(until, "--until")}
    word = Word("attestations", "attest", None, body=body)
    return deciding.tell(place, tenant, word, reason, Output(json=as_json, quiet=quiet))
