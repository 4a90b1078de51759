"""
Conditions: a text in CEL (cel.dev) to a question about Facts, its names and types checked when it is read.

    text --compile, check types--> tree --bound what it may use--> Condition(text, holds)

A condition cannot loop: without CEL's macros, what it costs grows with its text and its labels alone, and both are
bounded. Numbers of signals are decimals in receipts and doubles here (IEEE 754, 15 significant digits are exact).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from cel_expr_python import cel

from tai_autonomics.domain.identifiers import QuotaName
from tai_autonomics.domain.plans import Quota
from tai_autonomics.domain.rules import Condition, ConditionFailed, Facts
from tai_autonomics.policy.mistakes import (
    FUNCTIONS,
    OPERATORS,
    NotACondition,
    bounded,
    explained,
    failure,
    first_line,
    type_said,
)
from tai_autonomics.policy.patterns import places_of
from tai_autonomics.policy.syntax import Call, Constant, Expression, Unsupported, names_of, parts_of, tree_of

TEXT_CHARACTERS_MAX: Final = 1_000
LABELS_CHARACTERS_MAX: Final = 2_048
"""Keys and values together."""
PATTERN_PLACES_MAX: Final = 1_000
"""
Of all regular expressions of a condition, repetitions counted. RE2 never backtracks; at each character of a text it may
have to keep so many places in mind.
"""

RESERVED: Final = frozenset({"in", "true", "false", "null"})

CONFIGURATION: Final = cel.NewEnvConfigFromYaml(
    "stdlib:\n  include_macros: [has]\n  include_functions:\n"
    + "".join(f"    - name: '{name}'\n" for name in OPERATORS + FUNCTIONS)
)

Read = Callable[[Facts], object]


class Language:
    """What the conditions of one plan may ask: the facts that there are under it, each with its type."""

    def __init__(self, quotas: Mapping[QuotaName, Quota]) -> None:
        """Raises NotACondition where two quotas would be written alike."""
        self._reads: dict[str, tuple[cel.Type, Read]] = {**FACTS, **_quota_facts(quotas)}
        self._quotas = frozenset(quotas)
        declared = {name: declaration for name, (declaration, _) in self._reads.items()}
        self._env = cel.NewEnv(config=CONFIGURATION, variables=declared)

    def read(self, text: str) -> tuple[Condition, Expression]:
        """The condition, and what it is made of. Raises NotACondition."""
        _refuse_unreadable(text)
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            raise explained(text, str(error), frozenset(self._reads)) from error
        if expression.return_type() != cel.Type.BOOL:
            raise NotACondition(f"it must be true or false, not {type_said(expression.return_type().name())}")
        tree = tree_of(expression.serialize())
        _refuse_costly(tree)
        asked = names_of(tree)
        if not asked:
            raise NotACondition("it asks about nothing: it is always true or never")
        reads = tuple((name, self._reads[name][1]) for name in sorted(asked))
        return Condition(text, _Question(text, self._quotas, expression, reads)), tree


class _Question:
    """Whether a condition holds. Two are equal when the same text asks about the same quotas."""

    __slots__ = ("_expression", "_of", "_reads")

    def __init__(
        self, text: str, quotas: frozenset[str], expression: cel.Expression, reads: tuple[tuple[str, Read], ...]
    ) -> None:
        self._of, self._expression, self._reads = (text, quotas), expression, reads

    def __call__(self, facts: Facts) -> bool:
        try:
            answer = self._expression.eval(data={name: read(facts) for name, read in self._reads})
        except RuntimeError as error:
            raise ConditionFailed(bounded(first_line(str(error)))) from error
        if answer.type() == cel.Type.BOOL:
            return bool(answer.value())
        raise ConditionFailed(failure(str(answer.value())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self._of == other._of

    def __hash__(self) -> int:
        return hash(self._of)


def _labels(facts: Facts) -> dict[str, str]:
    characters = sum(len(key) + len(value) for key, value in facts.labels.items())
    if characters > LABELS_CHARACTERS_MAX:
        raise ConditionFailed(f"the labels have more than {LABELS_CHARACTERS_MAX} characters")
    return dict(facts.labels)


FACTS: Final[Mapping[str, tuple[cel.Type, Read]]] = {
    "value": (cel.Type.DOUBLE, lambda facts: float(facts.value)),
    "window.avg": (cel.Type.DOUBLE, lambda facts: float(facts.window.avg)),
    "window.min": (cel.Type.DOUBLE, lambda facts: float(facts.window.min)),
    "window.max": (cel.Type.DOUBLE, lambda facts: float(facts.window.max)),
    "window.last": (cel.Type.DOUBLE, lambda facts: float(facts.window.last)),
    "window.count": (cel.Type.INT, lambda facts: facts.window.count),
    "labels": (cel.Type.Map(cel.Type.STRING, cel.Type.STRING), _labels),
    "plan": (cel.Type.STRING, lambda facts: str(facts.plan)),
}


def spelled(quota: str) -> str:
    """A quota's name as a condition writes it: CEL's names have no other characters, and four words of its own."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", quota)
    return f"_{name}" if name[0].isdigit() or name in RESERVED else name


def _quota_facts(quotas: Mapping[QuotaName, Quota]) -> dict[str, tuple[cel.Type, Read]]:
    """An unlimited quota has no limit to ask for."""
    facts: dict[str, tuple[cel.Type, Read]] = {}
    names: dict[str, str] = {}
    for quota in quotas.values():
        name = spelled(quota.name)
        if name in names:
            raise NotACondition(
                f"quotas {names[name]} and {quota.name} are both written quota.{name} in a condition: rename one"
            )
        names[name] = quota.name
        members = ("used",) if quota.limit is None else ("used", "limit", "remaining")
        facts.update({f"quota.{name}.{member}": (cel.Type.INT, _standing(quota.name, member)) for member in members})
    return facts


def _standing(quota: QuotaName, member: str) -> Read:
    def read(facts: Facts) -> object:
        standing = facts.quota.get(quota)
        if standing is None:
            raise ConditionFailed(bounded(f"there is no quota {quota}"))
        return getattr(standing, member)

    return read


def _refuse_unreadable(text: str) -> None:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise NotACondition(f"longer than {TEXT_CHARACTERS_MAX} characters")
    for character in text:
        if not character.isprintable() and character not in "\n\t":
            raise NotACondition(f"a character that nobody sees: U+{ord(character):04X}: write it as an escape")


def _refuse_costly(tree: Expression) -> None:
    places = 0
    for part in parts_of(tree):
        match part:
            case Unsupported():
                raise NotACondition("maps and messages are not available in a condition")
            case Call("matches", (_, Constant(str(pattern)))):
                places += places_of(pattern)
            case Call("matches"):
                raise NotACondition("matches(…) takes its regular expression as a literal, so that it can be checked")
            case _:
                pass
    if places > PATTERN_PLACES_MAX:
        raise NotACondition(
            f"its regular expressions have {places} places, repetitions counted: at most {PATTERN_PLACES_MAX}"
        )
