"""
The plans file: YAML to the domain's frozen Plans, or every mistake in it at once, each with its line.

Only plain YAML is read: one document, no anchors, no tags. So what a line says is what it means.
"""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from importlib import resources
from typing import Final, Literal, Protocol, TypeVar, get_args

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from tai_autonomics.domain.identifiers import FeatureName, PlanName, QuotaName, parse_name
from tai_autonomics.domain.plans import COUNT_MAX, Kind, OnStale, Per, Plan, Plans, Quota
from tai_autonomics.errors import InvalidPlans, Malformed

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 8
PERCENT_MAX: Final = 1_000
THRESHOLDS_MAX: Final = 20
"""So many fit into one receipt when a single command crosses them all."""
SHOWN_CHARACTERS_MAX: Final = 40

PERS: Final[tuple[Per, ...]] = get_args(Per)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ON_STALES: Final[tuple[OnStale, ...]] = get_args(OnStale)
LATER: Final = frozenset({"requires", "governor"})
"""Sections of a plan that a later release reads; to pass them over would promise what nobody does."""

STRING: Final = "tag:yaml.org,2002:str"
INTEGER: Final = "tag:yaml.org,2002:int"
PLAIN_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
"""YAML 1.1 reads 010 as 8 and 1:30 as 90; here digits mean what they say."""

T = TypeVar("T")


def shipped() -> bytes:
    """The plans file that comes with the package."""
    return resources.files("tai_autonomics.policy").joinpath("plans.yaml").read_bytes()


def load(text: bytes, *, name: str) -> Plans:
    """
    The plans that a file declares; `digest` is the SHA-256 of its bytes.

    Raises InvalidPlans with every problem, in the order of their lines, each as "name:line: what is wrong".
    """
    problems = _Problems(name)
    plans = _file(_root(text, name), problems)
    problems.raise_any()
    return Plans(sha256(text).hexdigest(), plans)


def carry_over(new: bytes, previous: bytes) -> bytes:
    """
    The new file with those plans of the previous one that it lacks, as retired: tenants that hold them keep them.

    The new text itself when it lacks none. Its comments and layout stay. Raises InvalidPlans for either.
    """
    known = load(new, name="new").plans
    lacking = [plan for plan in load(previous, name="previous").plans.values() if plan.name not in known]
    if not lacking:
        return new
    root = _root(new, "new")
    retired = next((value for key, value in root.value if key.value == "retired"), None)
    members = [f"{json.dumps(plan.name)}: {json.dumps(_written(plan))}" for plan in lacking]
    if retired is None:
        return _with_members(new, root, ['"retired": {' + ", ".join(members) + "}"])
    return _with_members(new, retired, members)


class _Mark(Protocol):
    """A place in the text, as both of PyYAML's parsers give it; its lines begin with 0."""

    @property
    def line(self) -> int: ...


class _Problems:
    """What is wrong with one file, gathered while it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[tuple[int, str]] = []

    def add(self, node: Node, what: str) -> None:
        self.found.append((_line(node.start_mark), what))

    def raise_any(self) -> None:
        if self.found:
            raise InvalidPlans(tuple(f"{self.name}:{line}: {what}" for line, what in sorted(self.found)))


def _root(text: bytes, name: str) -> MappingNode:
    """The file as a tree of nodes that know their lines."""
    if len(text) > FILE_BYTES_MAX:
        raise InvalidPlans((f"{name}:1: the file is larger than {FILE_BYTES_MAX} bytes",))
    try:
        decoded = text.decode()
        _refuse_fancy(decoded, name)
        root = yaml.compose(decoded, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InvalidPlans((f"{name}:{line}: not UTF-8",)) from error
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        raise InvalidPlans(
            (f"{name}:{line}: a character that YAML does not allow: U+{error.character:04X}",)
        ) from error
    except yaml.MarkedYAMLError as error:
        raise InvalidPlans((f"{name}:{_line(error.problem_mark)}: not YAML: {error.problem}",)) from error
    if not isinstance(root, MappingNode):
        raise InvalidPlans((f"{name}:1: a plans file is a mapping that begins with plans:",))
    return root


def _refuse_fancy(text: str, name: str) -> None:
    """Before anything is built: anchors can make a small text a huge tree, and depth can end the stack."""
    depth = documents = 0
    problems: list[str] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = f"{name}:{_line(event.start_mark)}"
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEPTH_MAX:
            raise InvalidPlans((f"{place}: nested deeper than {DEPTH_MAX}",))
        if documents > 1:
            raise InvalidPlans((f"{place}: a second document",))
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            problems.append(f"{place}: anchors and aliases are not read: write it out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            problems.append(f"{place}: tags are not read: {_short(event.tag)}")
    if problems:
        raise InvalidPlans(tuple(problems))


def _line(mark: _Mark | None) -> int:
    return 1 if mark is None else mark.line + 1


def _file(root: MappingNode, problems: _Problems) -> dict[PlanName, Plan]:
    sections = _members(root, "the file", problems, required=("plans",), optional=("retired",))
    plans = _plans(sections.get("plans"), "plans", problems)
    for name, plan in _plans(sections.get("retired"), "retired", problems).items():
        if name in plans:
            problems.add(sections["retired"], f"{name} is under plans and under retired: keep one of the two")
        plans[name] = plan
    return plans


def _plans(node: Node | None, section: str, problems: _Problems) -> dict[PlanName, Plan]:
    """A section. Ranks are unique among the plans that are offered; a retired one may share its successor's."""
    plans: dict[PlanName, Plan] = {}
    holders: dict[int, PlanName] = {}
    for name, value in _named(node, section, problems):
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


def _plan(name: PlanName, node: Node, retired: bool, problems: _Problems) -> Plan | None:
    what = f"plan {name}"
    parts = _members(node, what, problems, required=("rank",), optional=("features", "quotas", "on_stale"))
    rank = _whole(parts.get("rank"), f"{what}: rank", problems)
    features = _features(parts.get("features"), f"{what}: features", problems)
    quotas = {
        QuotaName(quota_name): _quota(QuotaName(quota_name), value, f"{what}: quota {quota_name}", problems)
        for quota_name, value in _named(parts.get("quotas"), f"{what}: quotas", problems)
    }
    on_stale = _one_of(parts["on_stale"], f"{what}: on_stale", ON_STALES, problems) if "on_stale" in parts else "allow"
    if rank is None or on_stale is None:
        return None
    known = {quota_name: quota for quota_name, quota in quotas.items() if quota is not None}
    return Plan(name, rank, features, known, on_stale, retired)


def _features(node: Node | None, what: str, problems: _Problems) -> frozenset[FeatureName]:
    features: set[FeatureName] = set()
    for item in _items(node, what, problems):
        name = _name(item, what, problems)
        if name in features:
            problems.add(item, f"{what}: {name} is listed twice")
        elif name is not None:
            features.add(FeatureName(name))
    return frozenset(features)


def _quota(name: QuotaName, node: Node, what: str, problems: _Problems) -> Quota | None:
    parts = _members(node, what, problems, required=("limit", "per", "kind"), optional=("thresholds",))
    if not {"limit", "per", "kind"} <= parts.keys():
        return None
    limit = _limit(parts["limit"], f"{what}: limit", problems)
    per = _one_of(parts["per"], f"{what}: per", PERS, problems)
    kind = _one_of(parts["kind"], f"{what}: kind", KINDS, problems)
    percents = _thresholds(parts.get("thresholds"), f"{what}: thresholds", problems)
    if limit is None or per is None or kind is None:
        return None
    quota = Quota(name, None if limit == "unlimited" else limit, per, kind, tuple(percents.values()))
    for item, percent in percents.items():
        if why := _unreachable(quota, percent):
            problems.add(item, f"{what}: threshold {percent} can never be crossed: {why}")
    return quota


def _limit(node: Node, what: str, problems: _Problems) -> int | Literal["unlimited"] | None:
    if isinstance(node, ScalarNode) and node.tag == STRING and node.value == "unlimited":
        return "unlimited"
    return _whole(node, what, problems, or_else=" or unlimited")


def _thresholds(node: Node | None, what: str, problems: _Problems) -> dict[Node, int]:
    """The percents, each with the place where it is written."""
    percents: dict[Node, int] = {}
    highest = 0
    for item in _items(node, what, problems):
        percent = _whole(item, f"{what}: each", problems, least=1, most=PERCENT_MAX)
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


def _members(
    node: Node | None, what: str, problems: _Problems, *, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, Node]:
    """The known members of a mapping; what is unknown, double or missing is a problem."""
    members: dict[str, Node] = {}
    for key, value in _pairs(node, what, problems):
        if key.value in required or key.value in optional:
            members[key.value] = value
        elif key.value in LATER:
            problems.add(key, f"{what}: {key.value} is not available in this release")
        else:
            problems.add(key, f"{what}: unknown key {_short(key.value)}: known are {', '.join(required + optional)}")
    if isinstance(node, MappingNode):
        for missing in required:
            if missing not in members:
                problems.add(node, f"{what}: {missing} is missing")
    return members


def _named(node: Node | None, what: str, problems: _Problems) -> Iterator[tuple[str, Node]]:
    """The members of a mapping whose keys are names that the vendor gave."""
    for key, value in _pairs(node, what, problems):
        name = _name(key, what, problems)
        if name is not None:
            yield name, value


def _pairs(node: Node | None, what: str, problems: _Problems) -> Iterator[tuple[ScalarNode, Node]]:
    """The members of a mapping, each key once. An absent mapping has none."""
    if node is None:
        return
    if not isinstance(node, MappingNode):
        problems.add(node, f"{what} must be a mapping, not {_described(node)}")
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode) or key.tag != STRING:
            problems.add(key, f"{what}: a key must be a string, not {_described(key)}: quote it")
        elif key.value in lines:
            problems.add(key, f"{what}: {_short(key.value)} is there twice, first in line {lines[key.value]}")
        else:
            lines[key.value] = _line(key.start_mark)
            yield key, value


def _items(node: Node | None, what: str, problems: _Problems) -> list[Node]:
    """The items of a list. An absent list has none."""
    if node is None:
        return []
    if not isinstance(node, SequenceNode):
        problems.add(node, f"{what} must be a list, not {_described(node)}")
        return []
    return list(node.value)


def _name(node: Node, what: str, problems: _Problems) -> str | None:
    if not isinstance(node, ScalarNode) or node.tag != STRING:
        problems.add(node, f"{what}: a name must be a string, not {_described(node)}: quote it")
        return None
    try:
        return parse_name(node.value)
    except Malformed as error:
        problems.add(node, f"{what}: {_short(node.value)}: {error.detail}")
        return None


def _whole(
    node: Node | None, what: str, problems: _Problems, *, least: int = 0, most: int = COUNT_MAX, or_else: str = ""
) -> int | None:
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.tag == INTEGER and PLAIN_DIGITS.fullmatch(node.value):
        number = int(node.value)
        if least <= number <= most:
            return number
    problems.add(
        node, f"{what} must be a whole number from {least} to {most} in plain digits{or_else}, not {_described(node)}"
    )
    return None


def _one_of(node: Node, what: str, allowed: tuple[T, ...], problems: _Problems) -> T | None:
    if isinstance(node, ScalarNode) and node.tag == STRING:
        for word in allowed:
            if word == node.value:
                return word
    problems.add(node, f"{what} must be one of {', '.join(map(str, allowed))}, not {_described(node)}")
    return None


def _described(node: Node) -> str:
    match node:
        case MappingNode():
            return "a mapping"
        case SequenceNode():
            return "a list"
        case _ if not node.value:
            return "nothing" if node.tag != STRING else "an empty string"
        case _:
            kind = node.tag.rpartition(":")[2]
            return f"{_short(node.value)} ({kind})"


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…")


def _written(plan: Plan) -> dict[str, object]:
    """The plan as `load` reads it."""
    return {
        "rank": plan.rank,
        "features": sorted(plan.features),
        "quotas": {
            quota.name: {
                "limit": "unlimited" if quota.limit is None else quota.limit,
                "per": quota.per,
                "kind": quota.kind,
                "thresholds": quota.thresholds,
            }
            for quota in plan.quotas.values()
        },
        "on_stale": plan.on_stale,
    }


def _with_members(text: bytes, mapping: MappingNode, members: list[str]) -> bytes:
    """
    The text with more members at the beginning of a mapping, in its own style.

    At the beginning, because there is only one way in: at the end there may be a comment, a comma or a document's end.
    """
    decoded = text.decode()
    at, column = mapping.start_mark.index, mapping.start_mark.column
    if mapping.flow_style:
        return (decoded[: at + 1] + "".join(f"{member}, " for member in members) + decoded[at + 1 :]).encode()
    return (decoded[:at] + "".join(f"{member}\n{' ' * column}" for member in members) + decoded[at:]).encode()
