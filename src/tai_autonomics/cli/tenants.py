"""`tenants`: who has a ledger, and what is in force for one of them."""

from typing import Annotated, Any

import typer

from tai_autonomics.cli.ledgers import Place, ledgers
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, TokenFile, Url
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.statuses import EPILOG
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import parse_ledger

app = group("Tenants.")


@app.command("list", epilog=EPILOG)
def list_tenants(
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the tenants that have a ledger, each with its newest receipt."""
    output, place = (
        Output(json=as_json, quiet=quiet),
        Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    )

    async def work() -> None:
        async with ledgers(place) as source:
            async for tenant in source.tenants():
                rest = [str(tenant[name]) for name in ("seq", "time", "hash") if name in tenant]
                output.show(tenant, "  ".join([f"{tenant['tenant_id']:<24}", *rest]).rstrip())

    complete(work())


@app.command(epilog=EPILOG)
def show(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Which one.")],
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a tenant's plan, entitlements and quotas as of now."""
    output, place = (
        Output(json=as_json, quiet=quiet),
        Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    )
    parse_ledger(tenant)

    async def work() -> dict[str, Any]:
        async with ledgers(place) as source:
            return await source.tenant(tenant)

    document = complete(work())
    output.show(document, *lines_of(document))


def lines_of(view: dict[str, Any]) -> list[str]:
    """The tenant for a person."""
    lines = [
        f"tenant       {view['tenant_id']}",
        f"plan         {view.get('plan') or 'none: no entitlement is in service'}",
        f"as of        receipt {view['as_of']['seq']}, {view['as_of']['time']}",
    ]
    for each in view["entitlements"]:
        shown = {name: value for name, value in each.items() if name not in ("entitlement_id", "status")}
        rest = "".join(f", {name.replace('_', ' ')} {value}" for name, value in shown.items() if value is not None)
        lines.append(f"entitlement  {each['entitlement_id']}: {each['status']}{rest}")
    return lines + [f"quota        {_quota(quota)}" for quota in view["quotas"]]


def _quota(quota: dict[str, Any]) -> str:
    limit = "unlimited" if quota.get("limit") is None else f"{quota['limit']:,}"
    resets = f", resets at {quota['resets_at']}" if quota.get("resets_at") else ""
    return f"{quota['quota']}: {quota['used']:,} of {limit} used{resets}"
