"""Is it well, what does it count, what does a reason mean: answered from memory, without I/O."""

from typing import Literal

from msgspec import Struct

from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.replies import REASONS, SEALED_REASONS, json_reply


class Health(Struct, frozen=True, omit_defaults=True):
    """
    Whether to send traffic here; `checks` are those of the parts that are configured.

    `retired_plans` can still be held and no longer granted, perhaps because the plans file lacks them; no fault.
    """

    status: Literal["ok", "unavailable"]
    version: str
    checks: dict[str, str]
    retired_plans: tuple[str, ...] = ()


class Liveness(Struct, frozen=True):
    """The event loop turns."""

    status: Literal["ok"]


class Meaning(Struct, frozen=True):
    """What a problem's reason means. `sealed`: a receipt records it."""

    reason: str
    status: int
    title: str
    next_step: str
    sealed: bool


async def health(exchange: Exchange, door: FrontDoor) -> Reply:
    """200, or 503 while a check fails or the process is stopping."""
    checks = dict(door.health())
    if door.drain.begun:
        checks["draining"] = "the process is stopping"
    well = all(result == "ok" for result in checks.values())
    return json_reply(
        Health("ok" if well else "unavailable", door.version, checks, door.retired_plans()), status=200 if well else 503
    )


async def live(exchange: Exchange, door: FrontDoor) -> Reply:
    """Depends on nothing outside, so that an outage of the store never restarts instances."""
    return json_reply(Liveness("ok"))


async def metrics(exchange: Exchange, door: FrontDoor) -> Reply:
    """Prometheus text, or OpenMetrics when it is asked for."""
    accept = exchange.headers.get(b"accept", b"").decode("latin-1")
    body, media = door.scrape(accept)
    return Reply(200, body, media=media.encode("latin-1"))


async def meaning(exchange: Exchange, door: FrontDoor) -> Reply:
    """What a reason means and what the caller can do."""
    reason = exchange.parameters["reason"]
    kind = REASONS.get(reason)
    if kind is None:
        raise TurnedAway("not_found", "there is no such reason")
    return json_reply(Meaning(reason, kind.status, kind.title, kind.next_step, reason in SEALED_REASONS))
