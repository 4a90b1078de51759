"""What a rule does: its `action` and the members that each type takes in `with`."""

import re
from typing import Final, get_args
from urllib.parse import urlsplit

from yaml import Node, ScalarNode

from tai_autonomics.domain.actions import (
    SERVICE,
    TOPIC,
    URL_CHARACTERS_MAX,
    ActionType,
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
)
from tai_autonomics.policy.nodes import (
    DAY_SECONDS,
    STRING,
    Problems,
    boolean_of,
    choice_of,
    described,
    members_of,
    seconds_of,
    string_of,
    whole_of,
)

ACTION_TYPES: Final[tuple[ActionType, ...]] = get_args(ActionType)
INSTANCES_MAX: Final = 10_000
REQUESTS_MAX: Final = 1_000_000_000
THROTTLE_PER_SECONDS_MAX: Final = 3_600
THROTTLE_SECONDS_MAX: Final = 30 * DAY_SECONDS

VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


def read_order(rule: dict[str, Node], what: str, problems: Problems) -> Order | None:
    """The order of a rule's members `action` and `with`; None where a problem was found."""
    action = choice_of(rule.get("action"), f"{what}: action", ACTION_TYPES, problems)
    given = rule.get("with")
    if action is None:
        return None
    if given is None and TAKES[action]:
        problems.add(rule["action"], f"{what}: with is missing: {action} takes {', '.join(TAKES[action])}")
        return None
    return _order(action, given, f"{what}: with", problems)


TAKES: Final[dict[ActionType, tuple[str, ...]]] = {
    "webhook": ("url",),
    "pubsub.publish": ("topic",),
    "cloud_run.scale": ("service", "step", "max"),
    "cloud_run.rollback": ("service",),
    "throttle": ("requests", "per", "for"),
    "entitlement.suspend": (),
}
MAY_TAKE: Final[dict[ActionType, tuple[str, ...]]] = {"webhook": ("idempotent",), "cloud_run.scale": ("min",)}


def _order(action: ActionType, given: Node | None, what: str, problems: Problems) -> Order | None:
    parts = members_of(given, what, problems, required=TAKES[action], optional=MAY_TAKE.get(action, ()))
    match action:
        case "webhook":
            return _webhook(parts, what, problems)
        case "pubsub.publish":
            such_as = 'a topic: "projects/<project>/topics/<name>", or a name in the service\'s own project'
            topic = string_of(parts.get("topic"), f"{what}: topic", problems, form=TOPIC, such_as=such_as)
            return None if topic is None else Publish(topic)
        case "cloud_run.scale":
            return _scale(parts, what, problems)
        case "cloud_run.rollback":
            service = _service(parts, what, problems)
            return None if service is None else Rollback(service)
        case "throttle":
            return _throttle(parts, what, problems)
        case "entitlement.suspend":
            return SuspendEntitlements()


def _webhook(parts: dict[str, Node], what: str, problems: Problems) -> Webhook | None:
    idempotent = boolean_of(parts.get("idempotent"), f"{what}: idempotent", problems)
    node = parts.get("url")
    if node is None:
        return None
    url = node.value if isinstance(node, ScalarNode) and node.tag == STRING else ""
    if why := _unusable(url):
        problems.add(node, f"{what}: url must be an absolute https or http URL, not {described(node)}: {why}")
        return None
    return Webhook(url, idempotent is not False)


def _unusable(url: str) -> str | None:
    """What is wrong with the shape of a URL; where it leads is looked at when it is called."""
    if len(url) > URL_CHARACTERS_MAX:
        return f"longer than {URL_CHARACTERS_MAX} characters"
    if VISIBLE.fullmatch(url) is None:
        return "it is of visible ASCII characters"
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError as error:
        return str(error)
    if parsed.scheme not in ("https", "http") or not host:
        return "it has a scheme and a host"
    if "@" in parsed.netloc:
        return "a name or password in it would be seen in every receipt"
    return "a fragment is never sent" if "#" in url else None


def _scale(parts: dict[str, Node], what: str, problems: Problems) -> Scale | None:
    service = _service(parts, what, problems)
    step = whole_of(parts.get("step"), f"{what}: step", problems, least=-INSTANCES_MAX, most=INSTANCES_MAX)
    most = whole_of(parts.get("max"), f"{what}: max", problems, least=1, most=INSTANCES_MAX)
    least = whole_of(parts.get("min"), f"{what}: min", problems, most=INSTANCES_MAX) if "min" in parts else 0
    if step == 0:
        problems.add(parts["step"], f"{what}: step 0 changes nothing")
    if most is not None and least is not None and least >= most:
        problems.add(parts["min"], f"{what}: min {least} leaves nothing below max {most}")
    if service is None or step is None or most is None or least is None:
        return None
    return Scale(service, step, most, least)


def _service(parts: dict[str, Node], what: str, problems: Problems) -> str | None:
    such_as = 'a service: "projects/<p>/locations/<l>/services/<s>", or a name in the service\'s own project and region'
    return string_of(parts.get("service"), f"{what}: service", problems, form=SERVICE, such_as=such_as)


def _throttle(parts: dict[str, Node], what: str, problems: Problems) -> Throttle | None:
    requests = whole_of(parts.get("requests"), f"{what}: requests", problems, least=1, most=REQUESTS_MAX)
    per = seconds_of(parts.get("per"), f"{what}: per", problems, least=1, most=THROTTLE_PER_SECONDS_MAX)
    lasting = seconds_of(parts.get("for"), f"{what}: for", problems, least=1, most=THROTTLE_SECONDS_MAX)
    if requests is None or per is None or lasting is None:
        return None
    return Throttle(requests, per, lasting)
