"""The `governor` section of a plan: its budget, its breaker and its rules, as the plans file has them."""

import re
from collections.abc import Mapping
from typing import Final, get_args

from yaml import Node, ScalarNode

from tai_autonomics.domain.identifiers import MetricName, QuotaName, RuleName
from tai_autonomics.domain.plans import Quota
from tai_autonomics.domain.rules import (
    RULES_MAX,
    SAMPLES_MAX,
    Approval,
    Budget,
    Condition,
    Governance,
    Lasting,
    Mode,
    Rule,
    Samples,
)
from tai_autonomics.policy.bands import clashes
from tai_autonomics.policy.cel import Language
from tai_autonomics.policy.mistakes import NotACondition
from tai_autonomics.policy.nodes import (
    DAY_SECONDS,
    DURATION,
    STRING,
    Problems,
    choice_of,
    described,
    items_of,
    line_of,
    members_of,
    name_of,
    seconds_of,
    whole_of,
)
from tai_autonomics.policy.orders import read_order
from tai_autonomics.policy.syntax import Expression

BUDGET_MAX: Final = 1_000_000
FAILURES_MAX: Final = 100
ATTEMPTS_MAX: Final = 10
TIMEOUT_SECONDS_MAX: Final = 300
COOLDOWN_SECONDS_MAX: Final = 30 * DAY_SECONDS
BUDGET_SECONDS_MAX: Final = 30 * DAY_SECONDS
WINDOW_SECONDS_MAX: Final = 7 * DAY_SECONDS
APPROVAL_SECONDS_MAX: Final = 7 * DAY_SECONDS
APPROVAL: Final = Approval(within_seconds=3_600)
"""What `mode: approve` means where nothing else is said."""

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
OVER: Final = re.compile(r"([1-9][0-9]{0,3}) samples?", re.ASCII)
REQUIRED: Final = ("name", "signal", "over", "act_when", "clear_when", "cooldown", "action", "mode")
OPTIONAL: Final = ("warn_when", "with", "approval", "attempts", "timeout")
CONDITIONS: Final = ("warn_when", "act_when", "clear_when")


def read_governor(node: Node | None, plan: str, quotas: Mapping[QuotaName, Quota], problems: Problems) -> Governance:
    """The section, or what of it is whole; each problem begins with `plan`. An absent one has no rules."""
    what = f"{plan}: governor"
    parts = members_of(node, what, problems, required=(), optional=("budget", "breaker", "rules"))
    budget = read_budget(parts.get("budget"), f"{what}: budget", problems)
    failures_max = _failures_max(parts.get("breaker"), f"{what}: breaker", problems)
    rules = _rules(parts.get("rules"), plan, quotas, problems)
    if rules and "budget" not in parts:
        problems.add(parts["rules"], f"{what}: budget is missing: rules need one, as budget: {{max: 5, per: 1h}}")
    return Governance(rules, budget, failures_max)


def read_budget(node: Node | None, what: str, problems: Problems) -> Budget | None:
    parts = members_of(node, what, problems, required=("max", "per"))
    most = whole_of(parts.get("max"), f"{what}: max", problems, least=1, most=BUDGET_MAX)
    per_seconds = seconds_of(parts.get("per"), f"{what}: per", problems, least=60, most=BUDGET_SECONDS_MAX)
    return None if most is None or per_seconds is None else Budget(most, per_seconds)


def _failures_max(node: Node | None, what: str, problems: Problems) -> int | None:
    parts = members_of(node, what, problems, required=("failures",))
    return whole_of(parts.get("failures"), f"{what}: failures", problems, least=1, most=FAILURES_MAX)


def _rules(node: Node | None, plan: str, quotas: Mapping[QuotaName, Quota], problems: Problems) -> tuple[Rule, ...]:
    items = items_of(node, f"{plan}: rules", problems)
    if not items or node is None:
        return ()
    if len(items) > RULES_MAX:
        problems.add(items[RULES_MAX], f"{plan}: rules: more than {RULES_MAX}")
    try:
        language = Language(quotas)
    except NotACondition as error:
        problems.add(node, f"{plan}: {error.why}")
        return ()
    rules: dict[str, Rule] = {}
    lines: dict[str, int] = {}
    for number, item in enumerate(items[:RULES_MAX], start=1):
        rule = _rule(item, plan, number, language, problems)
        if rule is None:
            continue
        if rule.name in lines:
            problems.add(item, f"{plan}: rule {rule.name} is there twice, first in line {lines[rule.name]}")
        lines.setdefault(rule.name, line_of(item.start_mark))
        rules[rule.name] = rule
    return tuple(rules.values())


def _rule(node: Node, plan: str, number: int, language: Language, problems: Problems) -> Rule | None:
    parts = members_of(node, f"{plan}: rule {number}", problems, required=REQUIRED, optional=OPTIONAL)
    name = name_of(parts.get("name"), f"{plan}: rule {number}: name", problems)
    what = f"{plan}: rule {name or number}"
    signal = name_of(parts.get("signal"), f"{what}: signal", problems)
    over = _over(parts.get("over"), f"{what}: over", problems)
    conditions = _conditions(parts, what, over, language, problems)
    cooldown = seconds_of(parts.get("cooldown"), f"{what}: cooldown", problems, least=1, most=COOLDOWN_SECONDS_MAX)
    order = read_order(parts, what, problems)
    mode = choice_of(parts.get("mode"), f"{what}: mode", MODES, problems)
    approval = _approval(parts.get("approval"), mode, f"{what}: approval", problems)
    attempts = whole_of(parts.get("attempts"), f"{what}: attempts", problems, least=1, most=ATTEMPTS_MAX)
    timeout = seconds_of(parts.get("timeout"), f"{what}: timeout", problems, least=1, most=TIMEOUT_SECONDS_MAX)
    if not {"act_when", "clear_when"} <= conditions.keys():
        return None
    if name is None or signal is None or over is None or cooldown is None or order is None or mode is None:
        return None
    return Rule(
        name=RuleName(name),
        signal=MetricName(signal),
        over=over,
        warn_when=conditions.get("warn_when"),
        act_when=conditions["act_when"],
        clear_when=conditions["clear_when"],
        cooldown_seconds=cooldown,
        order=order,
        mode=mode,
        approval=approval,
        **{"attempts_max": attempts} if attempts is not None else {},
        **{"timeout_seconds": timeout} if timeout is not None else {},
    )


def _over(node: Node | None, what: str, problems: Problems) -> Samples | Lasting | None:
    """A window: of so many samples, or of a duration."""
    if node is None:
        return None
    text = node.value if isinstance(node, ScalarNode) and node.tag == STRING else ""
    if DURATION.fullmatch(text):
        seconds = seconds_of(node, what, problems, least=1, most=WINDOW_SECONDS_MAX)
        return None if seconds is None else Lasting(seconds)
    samples = OVER.fullmatch(text)
    if samples is not None and int(samples[1]) <= SAMPLES_MAX:
        return Samples(int(samples[1]))
    problems.add(node, f"{what} must be as 3 samples (1 to {SAMPLES_MAX}) or as 5m, not {described(node)}")
    return None


def _conditions(
    parts: dict[str, Node], what: str, over: Samples | Lasting | None, language: Language, problems: Problems
) -> dict[str, Condition]:
    conditions: dict[str, Condition] = {}
    trees: dict[str, Expression] = {}
    for member in CONDITIONS:
        node = parts.get(member)
        read = None if node is None else _condition(node, f"{what}: {member}", language, problems)
        if read is not None:
            conditions[member], trees[member] = read
    for member, why in clashes(trees, over):
        problems.add(parts[member], f"{what}: {member}: {why}")
    return conditions


def _condition(node: Node, what: str, language: Language, problems: Problems) -> tuple[Condition, Expression] | None:
    if not isinstance(node, ScalarNode) or node.tag != STRING:
        problems.add(node, f"{what} must be a condition, as window.avg > 80.0, not {described(node)}")
        return None
    try:
        return language.read(node.value.rstrip())
    except NotACondition as error:
        place = "" if error.column is None else f"column {error.column}: "
        if "\n" in node.value.rstrip() and error.column is not None:
            place = f"line {error.line} of the condition, {place}"
        problems.add(node, f"{what}: {place}{error.why}")
        return None


def _approval(node: Node | None, mode: Mode | None, what: str, problems: Problems) -> Approval | None:
    if mode == "approve" and node is None:
        return APPROVAL
    if mode in ("enforce", "shadow") and node is not None:
        problems.add(node, f"{what}: nobody is asked in mode {mode}")
    parts = members_of(node, what, problems, required=("within",), optional=("people",))
    within = seconds_of(parts.get("within"), f"{what}: within", problems, least=60, most=APPROVAL_SECONDS_MAX)
    people = whole_of(parts["people"], f"{what}: people", problems, least=1, most=2) if "people" in parts else 1
    return None if within is None or people is None else Approval(within, people)
