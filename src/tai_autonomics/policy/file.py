"""The plans file: YAML to the domain's frozen Plans, or every mistake in it at once, each with its line."""

from hashlib import sha256
from importlib import resources
from typing import Final, get_args

from yaml import MappingNode, Node

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.identifiers import ControlName, FeatureName, PlanName
from tai_autonomics.domain.plans import OnStale, Plan, Plans
from tai_autonomics.domain.rules import Budget
from tai_autonomics.policy.governing import read_budget, read_governor
from tai_autonomics.policy.keeping import read_retention
from tai_autonomics.policy.nodes import (
    FILE_BYTES_MAX,
    Problems,
    choice_of,
    chosen_members,
    items_of,
    members_of,
    name_of,
    named_members,
    root_of,
    whole_of,
)
from tai_autonomics.policy.orders import ACTION_TYPES
from tai_autonomics.policy.quotas import read_quotas
from tai_autonomics.policy.writing import with_members, written

__all__ = ["FILE_BYTES_MAX", "carry_over", "load", "shipped"]

REQUIRES_MAX: Final = 16
"""So many controls fit into one receipt beside everything else that it says."""
ON_STALES: Final[tuple[OnStale, ...]] = get_args(OnStale)


def shipped() -> bytes:
    """The plans file that comes with the package."""
    return resources.files("tai_autonomics.policy").joinpath("plans.yaml").read_bytes()


def load(text: bytes, *, name: str) -> Plans:
    """
    The plans that a file declares; `digest` is the SHA-256 of its bytes.

    Raises InvalidPlans with every problem, in the order of their lines, each as "name:line: what is wrong".
    """
    problems = Problems(name)
    optional = ("retired", "fleet", "retention")
    sections = members_of(root_of(text, name), "the file", problems, required=("plans",), optional=optional)
    plans = _all_plans(sections, problems)
    fleet = _fleet(sections.get("fleet"), problems)
    retention = read_retention(sections.get("retention"), "retention", problems)
    problems.raise_any()
    return Plans(sha256(text).hexdigest(), plans, fleet, retention)


def carry_over(new: bytes, previous: bytes) -> bytes:
    """
    The new file with those plans of the previous one that it lacks, as retired: tenants that hold them keep them.

    The new text itself when it lacks none. Its comments and layout stay. Raises InvalidPlans for either.
    """
    known = load(new, name="new").plans
    lacking = [plan for plan in load(previous, name="previous").plans.values() if plan.name not in known]
    if not lacking:
        return new
    root = root_of(new, "new")
    retired = next((value for key, value in root.value if key.value == "retired"), None)
    members = [written(plan) for plan in lacking]
    if retired is None:
        return with_members(new, root, ['"retired": {' + ", ".join(members) + "}"])
    return with_members(new, retired, members)


def _all_plans(sections: dict[str, Node], problems: Problems) -> dict[PlanName, Plan]:
    plans = _plans(sections.get("plans"), "plans", problems)
    for name, plan in _plans(sections.get("retired"), "retired", problems).items():
        if name in plans:
            problems.add(sections["retired"], f"{name} is under plans and under retired: keep one of the two")
        plans[name] = plan
    return plans


def _plans(node: Node | None, section: str, problems: Problems) -> dict[PlanName, Plan]:
    """A section. Ranks are unique among the plans that are offered; a retired one may share its successor's."""
    plans: dict[PlanName, Plan] = {}
    holders: dict[int, PlanName] = {}
    for name, value in named_members(node, section, problems):
        plan = _plan(PlanName(name), value, section == "retired", problems)
        if plan is None:
            continue
        if not plan.retired and plan.rank in holders:
            problems.add(value, f"plan {name}: rank {plan.rank} is the rank of {holders[plan.rank]} too")
        holders[plan.rank] = plan.name
        plans[plan.name] = plan
    if section == "plans" and isinstance(node, MappingNode) and not node.value:
        problems.add(node, "plans must hold at least one plan")
    return plans


def _plan(name: PlanName, node: Node, retired: bool, problems: Problems) -> Plan | None:
    what = f"plan {name}"
    optional = ("features", "quotas", "on_stale", "requires", "governor", "retention")
    parts = members_of(node, what, problems, required=("rank",), optional=optional)
    rank = whole_of(parts.get("rank"), f"{what}: rank", problems)
    features = _features(parts.get("features"), f"{what}: features", problems)
    quotas = read_quotas(parts.get("quotas"), what, problems)
    on_stale = choice_of(parts.get("on_stale"), f"{what}: on_stale", ON_STALES, problems) or "allow"
    governor = read_governor(parts.get("governor"), what, quotas, problems)
    requires = _requires(parts.get("requires"), f"{what}: requires", problems)
    retention = read_retention(parts.get("retention"), f"{what}: retention", problems)
    return (
        None if rank is None else Plan(name, rank, features, quotas, on_stale, retired, governor, requires, retention)
    )


def _features(node: Node | None, what: str, problems: Problems) -> frozenset[FeatureName]:
    return frozenset(FeatureName(name) for name in _names(node, what, problems))


def _requires(node: Node | None, what: str, problems: Problems) -> tuple[ControlName, ...]:
    controls = tuple(ControlName(name) for name in _names(node, what, problems))
    if node is not None and len(controls) > REQUIRES_MAX:
        problems.add(node, f"{what}: more than {REQUIRES_MAX}")
    return controls


def _names(node: Node | None, what: str, problems: Problems) -> list[str]:
    """A list of names, each once, in its order."""
    names: list[str] = []
    for item in items_of(node, what, problems):
        name = name_of(item, what, problems)
        if name in names:
            problems.add(item, f"{what}: {name} is listed twice")
        elif name is not None:
            names.append(name)
    return names


def _fleet(node: Node | None, problems: Problems) -> dict[ActionType, Budget]:
    """The bounds of an action type over all tenants together."""
    budgets: dict[ActionType, Budget] = {}
    for action, value in chosen_members(node, "fleet", ACTION_TYPES, problems):
        budget = read_budget(value, f"fleet: {action}", problems)
        if budget is not None:
            budgets[action] = budget
    return budgets
