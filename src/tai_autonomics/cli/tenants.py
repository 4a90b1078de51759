"""`tenants`: who has a ledger, and what is in force for one of them."""

from typing import Annotated, Any

import typer

from tai_autonomics.cli.ledgers import Place, ask, at_place, ledgers
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import parse_ledger

app = group("Tenants: list, show.")


@app.command("list", epilog=epilog("tenants list", "tenants list --url http://127.0.0.1:8080"))
@at_place
def list_tenants(*, place: Place, output: Output) -> None:
    """List the tenants that have a ledger, each with its newest receipt."""

    async def work() -> None:
        async with ledgers(place) as source:
            async for tenant in source.tenants():
                rest = [str(tenant[name]) for name in ("seq", "time", "hash") if name in tenant]
                output.show(tenant, "  ".join([f"{tenant['tenant_id']:<24}", *rest]).rstrip())

    complete(work())


@app.command(epilog=epilog("tenants show acme"))
@at_place
def show(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Which one.")],
    *,
    place: Place,
    output: Output,
) -> None:
    """Show a tenant's plan, entitlements and quotas as of now."""
    parse_ledger(tenant)
    document = complete(ask(place, lambda source: source.tenant(tenant)))
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
