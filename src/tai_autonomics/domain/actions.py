"""
What may be done, and the bounds that each request carries.

    order (a rule's, from the plans file) --act--> action (one request of it) --resolve--> target --attempt--> outcome

An order may be relative ("one instance more"); a target is absolute and the same in every attempt.
"""

import re
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.domain.identifiers import ActionId, RuleName
from tai_autonomics.domain.moments import Moment

ActionType = Literal[
    "webhook", "pubsub.publish", "cloud_run.scale", "cloud_run.rollback", "throttle", "entitlement.suspend"
]
INSIDE: Final[frozenset[ActionType]] = frozenset({"throttle", "entitlement.suspend"})
"""What is done to the rule's own tenant, in its ledger: nothing outside is called."""

URL_CHARACTERS_MAX: Final = 2_000
"""Of a webhook's URL: every receipt of its actions holds it."""
_PROJECT: Final = r"projects/[a-z][a-z0-9.:-]{4,62}[a-z0-9]"
# Pub/Sub keeps names that begin with goog for itself; Cloud Run's have fewer than 50 characters.
_TOPIC: Final = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_SERVICE: Final = r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?"
BARE_TOPIC: Final = re.compile(_TOPIC, re.ASCII)
FULL_TOPIC: Final = re.compile(rf"{_PROJECT}/topics/{_TOPIC}", re.ASCII)
BARE_SERVICE: Final = re.compile(_SERVICE, re.ASCII)
FULL_SERVICE: Final = re.compile(rf"{_PROJECT}/locations/[a-z0-9-]{{1,63}}/services/{_SERVICE}", re.ASCII)
TOPIC: Final = re.compile(rf"{FULL_TOPIC.pattern}|{_TOPIC}", re.ASCII)
SERVICE: Final = re.compile(rf"{FULL_SERVICE.pattern}|{_SERVICE}", re.ASCII)

Result = Literal["succeeded", "failed", "timed_out", "unknown", "lapsed", "cancelled"]
"""How an action ends. `unknown`: it may have been done or not, and a person must look."""

Target = dict[str, "str | int | bool"]
"""What an action is to make true, in absolute terms: the first attempt's receipt holds it, every attempt sends it."""


class Webhook(Struct, frozen=True, tag="webhook", tag_field="type", forbid_unknown_fields=True):
    """A signed POST to `url` (Standard Webhooks). `idempotent`: the receiver takes one webhook-id once."""

    url: str
    idempotent: bool = True


class Publish(Struct, frozen=True, tag="pubsub.publish", tag_field="type", forbid_unknown_fields=True):
    """A CloudEvent to `topic` ("projects/<project>/topics/<name>", or a bare name in the service's own project)."""

    topic: str


class Scale(Struct, frozen=True, tag="cloud_run.scale", tag_field="type", forbid_unknown_fields=True):
    """
    Moves a Cloud Run service's minimum of instances by `step` (which may be negative), kept within `min` and `max`.

    `service` is a full name ("projects/<p>/locations/<l>/services/<s>"), or a bare one in the service's own project
    and region.
    """

    service: str
    step: int
    max: int
    min: int = 0


class Rollback(Struct, frozen=True, tag="cloud_run.rollback", tag_field="type", forbid_unknown_fields=True):
    """Sends all traffic of a Cloud Run service to the ready revision before the one that has it."""

    service: str


class Throttle(Struct, frozen=True, tag="throttle", tag_field="type", forbid_unknown_fields=True):
    """At most `requests` in `per_seconds` of the tenant's checks and consumes, for `for_seconds` (per instance)."""

    requests: int
    per_seconds: int
    for_seconds: int


class SuspendEntitlements(Struct, frozen=True, tag="entitlement.suspend", tag_field="type", forbid_unknown_fields=True):
    """Suspends every entitlement of the tenant that is in service."""


Order = Webhook | Publish | Scale | Rollback | Throttle | SuspendEntitlements


class Action(Struct, frozen=True):
    """One request to act. It may be attempted `attempts_max` times, each within `timeout_seconds`, until `deadline`."""

    id: ActionId
    tenant: str
    rule: RuleName
    order: Order
    attempts_max: int
    timeout_seconds: int
    deadline: Moment
    requested_at: Moment
    metric: str
    value: str
    """The measurement that led to it, as the receipt holds it."""


def type_of(order: Order) -> ActionType:
    """The order's type as plans files, receipts and metrics name it."""
    match order:
        case Webhook():
            return "webhook"
        case Publish():
            return "pubsub.publish"
        case Scale():
            return "cloud_run.scale"
        case Rollback():
            return "cloud_run.rollback"
        case Throttle():
            return "throttle"
        case SuspendEntitlements():
            return "entitlement.suspend"


def is_idempotent(order: Order) -> bool:
    """Whether a second attempt of the same action does no more than the first."""
    return order.idempotent if isinstance(order, Webhook) else True
