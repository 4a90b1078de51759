"""
`audit`: a tenant's receipts of a period for an auditor, whole and signed, and its verification.

    store --the bundle, beside DIR--> its receipt on the tenant's ledger --> signature --> DIR

There is no bundle without a receipt; a receipt whose bundle was then not kept, as after a crash, does no harm.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tai_autonomics.cli.actions import Reason
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, TokenFile, settings_of
from tai_autonomics.cli.output import Output, counted
from tai_autonomics.cli.spans import since_of
from tai_autonomics.cli.statuses import ExitStatus, epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import parse_tenant_id
from tai_autonomics.domain.moments import Moment, moment_of, plus_seconds

if TYPE_CHECKING:
    from tai_autonomics.cli.bundles import Manifest
    from tai_autonomics.cli.ledgers import Place
    from tai_autonomics.cli.served import Decided
    from tai_autonomics.cli.unbundling import Checked
    from tai_autonomics.identity.keys import Keys
    from tai_autonomics.settings import Settings

app = group("Audit bundles: export, verify.")


@app.command(epilog=epilog("audit export acme --since 30d -o acme-november"))
def export(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose receipts.")],
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="2026-11-01T00:00:00Z, or how long ago: 30d.")],
    output_dir: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A directory, there whole or not at all.")
    ],
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Receipts before that; else up to the newest.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Have the running service there seal who took it.")
    ] = None,
    token_file: TokenFile = None,
    reason: Reason = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Write a signed bundle of a tenant's receipts of a period.

    With them is what links them to its head, and the plans files that decided.

    That it was taken is sealed on the tenant's ledger: by the service at --url, as the caller of the token, or here,
    as command-line, while no service holds the store.
    """
    from tai_autonomics import __version__, wiring
    from tai_autonomics.cli.bundles import PURPOSE, SIGNATURE
    from tai_autonomics.cli.bundling import Asked, beside, put, write
    from tai_autonomics.cli.ledgers import Place
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.errors import Unknown
    from tai_autonomics.identity.signing import sign

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    # With --url the store is still where the receipts are read.
    told = Place(store=store if url is None else None, data_dir=data_dir, url=url, token_file=token_file)
    parse_tenant_id(tenant)
    now = moment_of(wiring.SystemClock().now())
    begin, end = since_of(since, "--since"), now if until is None else since_of(until, "--until")
    if begin >= end:
        raise typer.BadParameter(f"--since {begin} is not before --until {end}")
    keys = own_keys(settings)
    signing = None if keys is None else keys.signing

    async def work() -> "tuple[Manifest, Decided]":
        with beside(output_dir) as part:
            async with open_store(settings) as opened:
                head = (await opened.heads([tenant])).get(tenant)
                if head is None:
                    raise Unknown(f"{tenant} has no ledger")
                # A receipt's time may be ahead of this machine's.
                last = end if until is not None else max(end, following(head.time))
                asked = Asked(tenant, begin, last, head, now, f"tai-autonomics {__version__}")
                manifest, text = await write(opened, asked, part)
            decided = await _note(told, manifest, text, reason)
            if signing is not None:
                put(part / SIGNATURE, sign(text, signing, purpose=PURPOSE).encode("ascii") + b"\n")
        return manifest, decided

    manifest, decided = complete(work())
    kid = None if signing is None else signing.key_id
    signed = "not signed: there is no private key here" if kid is None else f"signed by {kid}"
    output.show(
        {
            "directory": str(output_dir),
            "signed_by": kid,
            "manifest": manifest,
            "receipt": decided.receipt,
            "hash": decided.hash,
        },
        f"{output_dir}: {counted(manifest.receipts, 'receipt')} of {tenant} since {begin}, head {manifest.head.seq}"
        f" {manifest.head.hash}; {signed}; that it was taken is the receipt {decided.hash}",
    )


@app.command(epilog=epilog("audit verify acme-november --keys keys.json"))
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An audit bundle.")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="Who may have signed it: JWKS or PEM; else the service's own."),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="The newest receipt's hash that you trust.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Verify an audit bundle from its bytes alone.

    Its files, its chain, its plans files and its signature are checked.

    Without a signature by a key that you know, or a head that you trust, nobody can tell who made it: 2.
    """
    from tai_autonomics.cli.unbundling import check
    from tai_autonomics.identity.keys import load_keys

    output = Output(json=as_json, quiet=quiet)
    if keys is not None:
        known: Keys | None = load_keys(keys, setting="--keys")
    else:
        known = own_keys(settings_of(store=None, data_dir=data_dir))
    checked = check(directory, known, head)
    rests_on = _rests_on(checked, head)
    output.show(
        {
            "directory": str(directory),
            "manifest": checked.manifest,
            "signed_by": checked.signed_by,
            "head_trusted": head is not None,
        },
        f"{directory}: verified {counted(checked.manifest.receipts, 'receipt')} of {checked.manifest.tenant} from"
        f" {checked.manifest.since} to {checked.manifest.until}, head {checked.manifest.head.seq}"
        f" {checked.manifest.head.hash}; {rests_on or _unknown(checked)}",
    )
    return ExitStatus.YES if rests_on else ExitStatus.UNCLEAR


async def _note(told: "Place", manifest: "Manifest", text: bytes, reason: str | None) -> "Decided":
    """The receipt of the bundle. Raises HeldBack, and what telling a service or deciding here raises."""
    from tai_autonomics.cli import deciding
    from tai_autonomics.domain.tenant import NoteExport
    from tai_autonomics.errors import HeldBack
    from tai_autonomics.ledger.receipt import digest

    since, until, head = Moment(manifest.since), Moment(manifest.until), manifest.head
    note = NoteExport(head.ledger, since, until, manifest.receipts, head.seq, head.hash, digest(text))
    body: dict[str, str | int] = {
        "since": since,
        "until": until,
        "receipts": note.receipts,
        "head_seq": note.head_seq,
        "head_hash": note.head_hash,
        "manifest_digest": note.manifest_digest,
    }
    word = deciding.Word("exports", "audit.export", lambda _: note, body=body)
    decided = await deciding.decide(told, manifest.tenant, word, reason)
    if msgspec.json.decode(decided.receipt)["type"] == "refusal":
        raise HeldBack(f"the receipt {decided.hash} refuses that it was taken, so it is not kept")
    return decided


def own_keys(settings: "Settings") -> "Keys | None":
    """The service's keys, where it has some of its own; none is made. Raises InvalidSetting."""
    from tai_autonomics import wiring
    from tai_autonomics.identity.keys import KEY_FILE

    if settings.jwt_jwks_url is not None:
        return None
    if settings.jwt_keys is None and not (settings.data_dir / KEY_FILE).exists():
        return None
    return wiring.keys(settings)


def following(time: str) -> Moment:
    """The moment after a receipt's, so that it is in a period that ends there."""
    return plus_seconds(Moment(time), 1e-6)


def _rests_on(checked: "Checked", head: str | None) -> str:
    signed = "" if checked.signed_by is None else f"signed by {checked.signed_by}"
    return " and ".join(filter(None, (signed, "" if head is None else "its head is the one that you gave")))


def _unknown(checked: "Checked") -> str:
    if checked.is_signed:
        return "its signature was not verified: give --keys with the key of whoever made it"
    return "nobody has signed it: give --head with a hash that you trust"
