"""`serve`: runs the service; in dev, prints where its token is and four calls to paste."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tai_autonomics.cli.options import DataDir, load_settings
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group

if TYPE_CHECKING:
    from tai_autonomics.wiring import Started

app = group()


@app.command(epilog=epilog("serve --dev", "serve --host 0.0.0.0 --port 8080 --data-dir /var/lib/tai"))
def serve(
    dev: Annotated[
        bool, typer.Option("--dev", help="Loopback, plain logs, .env is read, and calls to paste are printed.")
    ] = False,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Listen here; else HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="Listen here; else PORT. 0: a free one."),
    ] = None,
    data_dir: DataDir = None,
) -> int:
    """Run the service until it is told to stop (Ctrl-C or SIGTERM)."""
    from tai_autonomics import wiring

    loaded = load_settings(data_dir=data_dir, host=host, port=port, dev=dev, serving=True)
    return wiring.serve(loaded, started=announce if dev else _say_nothing)


def _say_nothing(started: "Started") -> None:
    """The log says it."""


def announce(started: "Started") -> None:
    """Tell a newcomer where the token is and what to try."""
    print("\n".join(greeting(started.url, started.data_dir, started.token_file)), flush=True)


def greeting(url: str, data_dir: Path, token_file: Path | None) -> list[str]:
    """Four calls that answer 200 as pasted, in their order, and again when they are pasted again."""
    if token_file is None:
        token, where = "$TOKEN", "Tokens come from the issuer of JWT_KEYS; say TOKEN=… first"
    else:
        token, where = f"$(cat {shlex.quote(str(token_file))})", f"The admin token is in {token_file}"
    return [
        f"Listening on {url}, data under {data_dir}. {where}. Paste this in another terminal:",
        "",
        "# 1. grant an entitlement",
        _post(
            f"{url}/marketplace",
            token,
            '{"tenant_id":"acme","entitlement_id":"ent_1","action":"grant","plan":"professional"}',
            key="first-grant",
        ),
        "# 2. check: may acme make an API call?",
        _post(f"{url}/v1/tenants/acme/check", token, '{"entitlement_id":"ent_1","quota":"api_calls"}'),
        "# 3. signal: what a machine of acme's measures",
        _post(
            f"{url}/v1/tenants/acme/signals",
            token,
            '{"metric":"cpu_utilization","value":72.5}',
            key="first-signal",
        ),
        "# 4. read the receipts",
        f'curl -sS -w "\\n" -H "Authorization: Bearer {token}" {url}/v1/tenants/acme/receipts',
        "",
        "Ctrl-C stops it.",
    ]


def _post(url: str, token: str, body: str, *, key: str | None = None) -> str:
    once = f'-H "Idempotency-Key: {key}" ' if key else ""
    return (
        f'curl -sS -w "\\n" -H "Authorization: Bearer {token}" -H "Content-Type: application/json" '
        f"{once}-d '{body}' {url}"
    )
