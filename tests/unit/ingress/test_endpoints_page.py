"""docs/ENDPOINTS.md says what the code does."""

import re
from pathlib import Path

from tai_autonomics.ingress.authentication import ANY_TOKEN, roles_of
from tai_autonomics.ingress.exchange import Route
from tai_autonomics.ingress.marketplace import FORMS
from tai_autonomics.ingress.openapi import ALWAYS, WITH_TOKEN, reasons_of
from tai_autonomics.ingress.replies import REASONS, SEALED_REASONS
from tai_autonomics.ingress.routes import routes

PAGE = (Path(__file__).parents[3] / "docs" / "ENDPOINTS.md").read_text()


def between(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def roles_shown(route: Route) -> str:
    roles = roles_of(route.name)
    if roles is None:
        return "anyone"
    return "any token" if roles == ANY_TOKEN else ", ".join(sorted(roles))


def route_table() -> str:
    """What belongs between the markers: paste it there when the code has changed."""
    rows = ["| route | roles | what it does | own refusals |", "|---|---|---|---|"]
    for route in routes():
        own = [reason for reason in reasons_of(route) if reason not in (*ALWAYS, *WITH_TOKEN)]
        by_status = dict.fromkeys(REASONS[reason].status for reason in own)
        shown = "; ".join(
            f"{status} {', '.join(reason for reason in own if REASONS[reason].status == status)}"
            for status in by_status
        )
        rows.append(f"| `{route.name}` | {roles_shown(route)} | {route.summary} | {shown} |")
    return "\n".join(rows) + "\n"


def reason_table() -> str:
    rows = ["| status | reason | sealed | what it means | what you can do |", "|---|---|---|---|---|"]
    for reason, kind in REASONS.items():
        sealed = "yes" if reason in SEALED_REASONS else ""
        rows.append(f"| {kind.status} | `{reason}` | {sealed} | {kind.title} | {kind.next_step} |")
    return "\n".join(rows) + "\n"


def test_the_route_table_is_the_codes() -> None:
    assert between("routes") == route_table()


def test_the_reason_table_is_the_codes() -> None:
    assert between("reasons") == reason_table()


def test_the_actions_are_the_codes() -> None:
    for action, form in FORMS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith("| `") and f"`{action}`" in line.split("|")[1])
        optional = [f"`{name}`?" for name in form.optional if name != "observed_at"]
        assert row.split("|")[2].strip() == ", ".join([*(f"`{name}`" for name in form.required), *optional])
