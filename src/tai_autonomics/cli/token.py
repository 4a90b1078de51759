"""`token mint`: a bearer token of our own."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tai_autonomics.cli.options import AsJson, DataDir, Quiet, load_settings
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.errors import InvalidSetting, Malformed

if TYPE_CHECKING:
    from tai_autonomics.identity.keys import Keys
    from tai_autonomics.settings import Settings

app = group("Bearer tokens: mint.")

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)


def seconds_of(text: str) -> int:
    """A duration such as 90, 90s, 15m, 1h or 7d, in seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 15m, 1h or 7d")
    return int(found[1]) * _SECONDS[found[2]]


@app.callback()
def token() -> None: ...


@app.command(
    epilog=epilog(
        "token mint --role integration --tenants acme --subject billing",
        "token mint --role operator --tenants '*' -o ann.token",
    )
)
def mint(
    role: Annotated[
        list[str],
        typer.Option("--role", metavar="ROLE", help="viewer, integration, operator, auditor or admin (repeatable)."),
    ],
    tenants: Annotated[str, typer.Option("--tenants", metavar="A,B|*", help="The tenants it reaches; '*' is all.")],
    ttl: Annotated[
        int, typer.Option("--ttl", metavar="TIME", parser=seconds_of, help="How long it lives: 90s, 15m, 1h, 7d.")
    ] = "1h",  # type: ignore[assignment]  # typer parses a default as it parses what is typed
    subject: Annotated[
        str, typer.Option("--subject", metavar="NAME", help="Who calls; receipts name it, so keep it pseudonymous.")
    ] = "operator",
    to_file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there (mode 0600), not to stdout.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Make a token.

    It is signed with the private key in JWT_KEYS, or with the data directory's own key.
    """
    from tai_autonomics import wiring
    from tai_autonomics.domain.moments import moment_of
    from tai_autonomics.identity import tokens

    settings = load_settings(data_dir=data_dir).settings
    keys, now = signing_keys(settings), wiring.SystemClock().now()
    assert keys.signing is not None, "signing_keys says so"
    try:
        made = tokens.mint(
            keys.signing,
            subject=subject,
            roles=frozenset(role),
            tenants=None if tenants.strip() == "*" else frozenset(each.strip() for each in tenants.split(",")),
            issuance=wiring.issuance(settings),
            now=now,
            lifetime_seconds=ttl,
        )
    except Malformed as error:
        raise typer.BadParameter(error.detail) from error
    document = {
        "subject": subject,
        "roles": sorted(set(role)),
        "tenants": tenants,
        "expires_at": moment_of(now.replace(microsecond=0) + timedelta(seconds=ttl)),
    }
    output = Output(json=as_json, quiet=quiet)
    if to_file is None:
        output.show({"token": made, **document}, made)
        return
    write_secret(to_file, made)
    output.show({"file": str(to_file), **document}, f"{to_file}: a token for {subject} until {document['expires_at']}")


def signing_keys(settings: "Settings") -> "Keys":
    """Keys with a private one; one that a service would not know is never made here. Raises InvalidSetting."""
    from tai_autonomics import wiring
    from tai_autonomics.identity.keys import KEY_FILE

    if settings.jwt_jwks_url is not None:
        raise InvalidSetting("JWT_JWKS_URL: the identity provider signs tokens: ask it for one")
    if settings.jwt_keys is None and not (settings.data_dir / KEY_FILE).exists():
        raise InvalidSetting(
            f"TAI_DATA_DIR: {settings.data_dir / KEY_FILE} is not there; start the service once, which makes it,"
            " or set JWT_KEYS"
        )
    keys = wiring.keys(settings)
    if keys is None or keys.signing is None:
        raise InvalidSetting(f"JWT_KEYS: {settings.jwt_keys} holds no private key, which signs tokens")
    return keys


def write_secret(file: Path, text: str) -> None:
    """A new file that we alone can read; an older one of that name is replaced."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(text + "\n")
