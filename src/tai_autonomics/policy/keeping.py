"""The `retention` section of the plans file and of a plan: how long receipts and their parts are kept at least."""

from typing import Final

from yaml import Node

from tai_autonomics.domain.plans import Retention
from tai_autonomics.policy.nodes import DAY_SECONDS, Problems, members_of, seconds_of

RETENTION_SECONDS_MIN: Final = DAY_SECONDS
RETENTION_SECONDS_MAX: Final = 36_500 * DAY_SECONDS


def read_retention(node: Node | None, what: str, problems: Problems) -> Retention:
    """What is kept; nothing is demanded where the section or a member of it is left out."""
    members = members_of(node, what, problems, required=(), optional=("receipts", "parts"))
    receipts, parts = (
        seconds_of(
            members.get(name), f"{what}: {name}", problems, least=RETENTION_SECONDS_MIN, most=RETENTION_SECONDS_MAX
        )
        for name in ("receipts", "parts")
    )
    retention = Retention(receipts or 0, parts or 0)
    if retention.parts_seconds > retention.receipts_seconds and not ("receipts" in members and receipts is None):
        problems.add(members["parts"], f"{what}: parts are kept for longer than receipts: keep receipts as long")
    return retention
