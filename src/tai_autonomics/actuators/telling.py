"""What an action tells those that it reaches, and what its outcome tells us: short, and the same in every attempt."""

from typing import Final

import msgspec

from tai_autonomics.application.ports import NotDone, Target
from tai_autonomics.domain.actions import Action

DETAIL_CHARACTERS_MAX: Final = 200
TARGET_BYTES_MAX: Final = 4_096
"""A receipt holds the target."""
RETRY_AFTER_SECONDS_MAX: Final = 3_600.0
"""What another side may ask us to wait at most."""

EVENT_TYPE: Final = "tai.action.requested"


def facts(action: Action) -> dict[str, str]:
    """What led to the action and until when it is wanted: nothing that a receiver needs to ask back for."""
    return {
        "action_id": action.id,
        "tenant": action.tenant,
        "rule": action.rule,
        "metric": action.metric,
        "value": action.value,
        "requested_at": action.requested_at,
        "deadline": action.deadline,
    }


def detail(text: str) -> str:
    """One printable line within the bound; for text that another side wrote."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * DETAIL_CHARACTERS_MAX]).split())
    return line if len(line) <= DETAIL_CHARACTERS_MAX else line[: DETAIL_CHARACTERS_MAX - 1] + "…"


def within_bounds(target: Target) -> Target | NotDone:
    """The target, unless a receipt could not hold it."""
    size = len(msgspec.json.encode(target))
    if size > TARGET_BYTES_MAX:
        return NotDone(f"the target has {size} bytes; a receipt holds {TARGET_BYTES_MAX}", temporary=False)
    return target
