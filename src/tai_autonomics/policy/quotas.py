"""The quotas of a plan, as the plans file has them."""

from typing import Final, Literal, get_args

from yaml import Node, ScalarNode

from tai_autonomics.domain.identifiers import QuotaName
from tai_autonomics.domain.plans import COUNT_MAX, Kind, Per, Quota
from tai_autonomics.policy.nodes import STRING, Problems, choice_of, items_of, members_of, named_members, whole_of

PERCENT_MAX: Final = 1_000
THRESHOLDS_MAX: Final = 20
"""So many fit into one receipt when a single command crosses them all."""

PERS: Final[tuple[Per, ...]] = get_args(Per)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def read_quotas(node: Node | None, plan: str, problems: Problems) -> dict[QuotaName, Quota]:
    """The quotas that are whole; each problem begins with `plan`."""
    quotas = {
        QuotaName(name): _quota(QuotaName(name), value, f"{plan}: quota {name}", problems)
        for name, value in named_members(node, f"{plan}: quotas", problems)
    }
    return {name: quota for name, quota in quotas.items() if quota is not None}


def _quota(name: QuotaName, node: Node, what: str, problems: Problems) -> Quota | None:
    parts = members_of(node, what, problems, required=("limit", "per", "kind"), optional=("thresholds",))
    if not {"limit", "per", "kind"} <= parts.keys():
        return None
    limit = _limit(parts["limit"], f"{what}: limit", problems)
    per = choice_of(parts["per"], f"{what}: per", PERS, problems)
    kind = choice_of(parts["kind"], f"{what}: kind", KINDS, problems)
    percents = _thresholds(parts.get("thresholds"), f"{what}: thresholds", problems)
    if limit is None or per is None or kind is None:
        return None
    quota = Quota(name, None if limit == "unlimited" else limit, per, kind, tuple(percents.values()))
    for item, percent in percents.items():
        if why := _unreachable(quota, percent):
            problems.add(item, f"{what}: threshold {percent} can never be crossed: {why}")
    return quota


def _limit(node: Node, what: str, problems: Problems) -> int | Literal["unlimited"] | None:
    if isinstance(node, ScalarNode) and node.tag == STRING and node.value == "unlimited":
        return "unlimited"
    return whole_of(node, what, problems, or_else=" or unlimited")


def _thresholds(node: Node | None, what: str, problems: Problems) -> dict[Node, int]:
    """The percents, each with the place where it is written."""
    percents: dict[Node, int] = {}
    highest = 0
    for item in items_of(node, what, problems):
        percent = whole_of(item, f"{what}: each", problems, least=1, most=PERCENT_MAX)
        if percent is None:
            continue
        if percent <= highest:
            problems.add(item, f"{what}: {percent} does not come after {highest}: write them once each, ascending")
        highest = max(highest, percent)
        percents[item] = percent
    if node is not None and len(percents) > THRESHOLDS_MAX:
        problems.add(node, f"{what}: more than {THRESHOLDS_MAX}")
    return percents


def _unreachable(quota: Quota, percent: int) -> str | None:
    if quota.limit is None:
        return "the quota is unlimited"
    if quota.kind == "hard" and quota.limit == 0:
        return "nothing of the quota can be consumed"
    if quota.kind == "hard" and percent > 100:
        return "a hard quota refuses what goes over its limit"
    if quota.limit * percent > COUNT_MAX * 100:
        return f"no count goes over {COUNT_MAX}"
    return None
