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
from tai_autonomics.domain.plans import Quota, shown
from tai_autonomics.domain.rules import Condition, ConditionFailed, Facts
from tai_autonomics.policy.syntax import Call, Constant, Expression, Unsupported, names_of, parts_of, tree_of

TEXT_CHARACTERS_MAX: Final = 1_000
PATTERN_CHARACTERS_MAX: Final = 100
LABELS_CHARACTERS_MAX: Final = 16 * 1024
"""Keys and values together. A regular expression takes time in proportion to the text that it looks at."""
DETAIL_CHARACTERS_MAX: Final = 200

OPERATORS: Final = (
    *("_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"),
    *("_+_", "_-_", "_*_", "_/_", "_%_", "-_", "@in", "_[_]"),
)
FUNCTIONS: Final = ("size", "contains", "startsWith", "endsWith", "matches", "double", "int")
"""Of CEL's standard functions those that a condition has a use for; the rest is unknown to it."""
LOOPS: Final = re.compile(r"\.(all|exists|exists_one|map|filter)\s*\(")
FIXED_NAMES: Final = ("value", "window", "labels", "plan", "quota")
RESERVED: Final = frozenset({"in", "true", "false", "null"})

CONFIGURATION: Final = cel.NewEnvConfigFromYaml(
    "stdlib:\n  include_macros: [has]\n  include_functions:\n"
    + "".join(f"    - name: '{name}'\n" for name in OPERATORS + FUNCTIONS)
)

Read = Callable[[Facts], object]


class NotACondition(Exception):
    """A text that cannot be asked: where in it, and why."""

    def __init__(self, why: str, *, line: int = 1, column: int | None = None) -> None:
        super().__init__(why)
        self.why, self.line, self.column = why, line, column


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
            raise self._explained(text, str(error)) from error
        if expression.return_type() != cel.Type.BOOL:
            raise NotACondition(f"it must be true or false, not {_type(expression.return_type().name())}")
        tree = tree_of(expression.serialize())
        _refuse_costly(tree)
        asked = names_of(tree)
        if not asked:
            raise NotACondition("it asks about nothing: it is always true or never")
        reads = tuple((name, self._reads[name][1]) for name in sorted(asked))
        return Condition(text, _Question(text, self._quotas, expression, reads)), tree

    def _explained(self, text: str, error: str) -> NotACondition:
        """What the library says, in the words of whoever wrote the condition."""
        found = COMPILE_ERROR.search(error)
        if found is None or int(found["line"]) < 1:
            # The library's own bounds have no place: on nesting while it parses, and on the depth of what it parsed.
            deep = "recursion" in error
            return NotACondition("nested deeper than 32" if deep else _first_line(error))
        line, column, what = int(found["line"]), int(found["column"]), found["what"]
        rest = text.split("\n")[line - 1][column - 1 :]
        return NotACondition(self._said(what, text, rest), line=line, column=column)

    def _said(self, what: str, text: str, rest: str) -> str:
        if unknown := UNDECLARED.match(what):
            return self._unknown(unknown["name"], text, is_called=rest.startswith("("))
        if overload := NO_OVERLOAD.match(what):
            return _untyped(overload["function"], overload["types"], text, rest)
        return _syntax(what)

    def _unknown(self, name: str, text: str, *, is_called: bool) -> str:
        if (loop := LOOPS.search(text)) is not None:
            return f"{loop[1]}(…) is not available: a condition does not loop"
        if is_called:
            return f"unknown function {name}: known are {', '.join(('has', *FUNCTIONS))}"
        head = name.partition(".")[0] + "."
        near = [known for known in self._reads if known.startswith(head)]
        return f"unknown name {name}: known are {shown(near or FIXED_NAMES)}"


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
            raise ConditionFailed(_bounded(_first_line(str(error)))) from error
        if answer.type() == cel.Type.BOOL:
            return bool(answer.value())
        raise ConditionFailed(_failure(str(answer.value())))

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
            raise NotACondition(f"quotas {names[name]} and {quota.name} are both written quota.{name}: rename one")
        names[name] = quota.name
        members = ("used",) if quota.limit is None else ("used", "limit", "remaining")
        facts.update({f"quota.{name}.{member}": (cel.Type.INT, _standing(quota.name, member)) for member in members})
    return facts


def _standing(quota: QuotaName, member: str) -> Read:
    def read(facts: Facts) -> object:
        standing = facts.quota.get(quota)
        if standing is None:
            raise ConditionFailed(_bounded(f"there is no quota {quota}"))
        return getattr(standing, member)

    return read


def _refuse_unreadable(text: str) -> None:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise NotACondition(f"longer than {TEXT_CHARACTERS_MAX} characters")
    for character in text:
        if not character.isprintable() and character not in "\n\t":
            raise NotACondition(f"a character that nobody sees: U+{ord(character):04X}: write it as an escape")


def _refuse_costly(tree: Expression) -> None:
    for part in parts_of(tree):
        match part:
            case Unsupported():
                raise NotACondition("maps and messages are not available in a condition")
            case Call("matches", (_, Constant(str(pattern)))):
                _refuse_pattern(pattern)
            case Call("matches"):
                raise NotACondition("matches(…) takes its regular expression as a literal, so that it can be checked")
            case _:
                pass


def _refuse_pattern(pattern: str) -> None:
    """RE2 has no backtracking: it takes time in proportion to the text, and refuses what it cannot hold."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise NotACondition(f"a regular expression longer than {PATTERN_CHARACTERS_MAX} characters")
    answer = PATTERN_TRIAL.eval(data={"pattern": pattern})
    if answer.type() != cel.Type.BOOL:
        raise NotACondition(_failure(str(answer.value())))


PATTERN_TRIAL: Final = cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile('"".matches(pattern)')

COMPILE_ERROR: Final = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<what>.*)")
UNDECLARED: Final = re.compile(r"undeclared reference to '(?P<name>.*)' \(in container")
NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(?P<function>.*)' applied to '\((?P<types>.*)\)'")
WHOLE_AFTER: Final = re.compile(r"\W*?(?P<number>-?\d+)(?![\d.eEuUx])")
WHOLE_BEFORE: Final = re.compile(r"(?<![\w.])(?P<number>-?\d+)\s*$")
MISSING_KEY: Final = re.compile(r"Key not found in map : \"?(?P<key>.*?)\"?$", re.DOTALL)
CODE: Final = re.compile(r"^[A-Z_]+: ")


def _untyped(function: str, types: str, text: str, rest: str) -> str:
    said = f"{_symbol(function)} does not take ({types})"
    if not ("double" in types and "int" in types.replace("uint", "")):
        return said
    symbol = _symbol(function)
    after = rest.removeprefix(symbol)
    whole = WHOLE_AFTER.match(after) or WHOLE_BEFORE.search(text[: len(text) - len(rest)])
    how = f"write {whole['number']}.0" if whole else "write whole numbers as 60.0, or double(…) around what is one"
    return f"{said}: {how}"


def _symbol(function: str) -> str:
    """An operator as it is written: "_>_" is >."""
    match function:
        case "@in":
            return "in"
        case "_?_:_":
            return "?:"
        case "_[_]":
            return "[]"
        case _ if function in OPERATORS:
            return function.strip("_")
        case _:
            return function


def _syntax(what: str) -> str:
    """The library's sentence without its list of all that could have been there instead."""
    what = what.removeprefix("Syntax error: ").partition(" expecting {")[0].replace("'<EOF>'", "the end")
    for word, instead in (("'and'", "&&"), ("'or'", "||"), ("'not'", "!"), ("'= '", "==")):
        if word in what:
            return f"{what}: write {instead}"
    return what


def _failure(error: str) -> str:
    """Why there is no answer, in a short sentence."""
    if missing := MISSING_KEY.search(error):
        return _bounded(f"there is no label {missing['key']}")
    return _bounded(CODE.sub("", error))


def _bounded(detail: str) -> str:
    """In a receipt's bounds, and of characters that it can hold."""
    readable = "".join(character if character.isprintable() else "?" for character in detail)
    return readable if len(readable) <= DETAIL_CHARACTERS_MAX else readable[: DETAIL_CHARACTERS_MAX - 1] + "…"


def _first_line(error: str) -> str:
    return CODE.sub("", error.partition("\n")[0])


def _type(name: str) -> str:
    return {"DOUBLE": "a number", "INT": "a whole number", "STRING": "a text"}.get(name, name.lower())
