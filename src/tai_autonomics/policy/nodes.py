"""
Reading plain YAML as nodes that know their lines, and gathering what is wrong with them.

Only plain YAML is read: one document, no anchors, no tags. So what a line says is what it means.
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from tai_autonomics.domain.identifiers import parse_name
from tai_autonomics.domain.plans import COUNT_MAX
from tai_autonomics.errors import InvalidPlans, Malformed

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 8
SHOWN_CHARACTERS_MAX: Final = 40
DAY_SECONDS: Final = 86_400

STRING: Final = "tag:yaml.org,2002:str"
INTEGER: Final = "tag:yaml.org,2002:int"
BOOLEAN: Final = "tag:yaml.org,2002:bool"
PLAIN_DIGITS: Final = re.compile(r"0|-?[1-9][0-9]{0,15}", re.ASCII)
"""YAML 1.1 reads 010 as 8 and 1:30 as 90; here digits mean what they say."""
DURATION: Final = re.compile(r"([1-9][0-9]{0,7})([smhd])", re.ASCII)
UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS}

T = TypeVar("T")


class Mark(Protocol):
    """A place in the text, as both of PyYAML's parsers give it; its lines begin with 0."""

    @property
    def line(self) -> int: ...


class Problems:
    """What is wrong with one file, gathered while it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[tuple[int, str]] = []

    def add(self, node: Node, what: str) -> None:
        self._found.append((line_of(node.start_mark), what))

    def raise_any(self) -> None:
        if self._found:
            raise InvalidPlans(tuple(f"{self.name}:{line}: {what}" for line, what in sorted(self._found)))


def root_of(text: bytes, name: str) -> MappingNode:
    """The file as a tree of nodes that know their lines. Raises InvalidPlans."""
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
        raise InvalidPlans((f"{name}:{line_of(error.problem_mark)}: not YAML: {error.problem}",)) from error
    if not isinstance(root, MappingNode):
        raise InvalidPlans((f"{name}:1: a plans file is a mapping that begins with plans:",))
    return root


def _refuse_fancy(text: str, name: str) -> None:
    """Before anything is built: anchors can make a small text a huge tree, and depth can end the stack."""
    depth = documents = 0
    problems: list[str] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = f"{name}:{line_of(event.start_mark)}"
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
            problems.append(f"{place}: tags are not read: {short(event.tag)}")
    if problems:
        raise InvalidPlans(tuple(problems))


def line_of(mark: Mark | None) -> int:
    return 1 if mark is None else mark.line + 1


def members_of(
    node: Node | None, what: str, problems: Problems, *, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Node]:
    """The known members of a mapping; what is unknown, double or missing is a problem."""
    members: dict[str, Node] = {}
    for key, value in _pairs(node, what, problems):
        if key.value in required or key.value in optional:
            members[key.value] = value
        else:
            known = f"known are {', '.join(required + optional)}" if required or optional else "it takes none"
            problems.add(key, f"{what}: unknown key {short(key.value)}: {known}")
    if isinstance(node, MappingNode):
        for missing in required:
            if missing not in members:
                problems.add(node, f"{what}: {missing} is missing")
    return members


def named_members(node: Node | None, what: str, problems: Problems) -> Iterator[tuple[str, Node]]:
    """The members of a mapping whose keys are names that the vendor gave."""
    for key, value in _pairs(node, what, problems):
        name = name_of(key, what, problems)
        if name is not None:
            yield name, value


def chosen_members(
    node: Node | None, what: str, allowed: tuple[T, ...], problems: Problems
) -> Iterator[tuple[T, Node]]:
    """The members of a mapping whose keys are of a fixed choice."""
    for key, value in _pairs(node, what, problems):
        choice = choice_of(key, f"{what}: a key", allowed, problems)
        if choice is not None:
            yield choice, value


def _pairs(node: Node | None, what: str, problems: Problems) -> Iterator[tuple[ScalarNode, Node]]:
    """The members of a mapping, each key once. An absent mapping has none."""
    if node is None:
        return
    if not isinstance(node, MappingNode):
        problems.add(node, f"{what} must be a mapping, not {described(node)}")
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode) or key.tag != STRING:
            problems.add(key, f"{what}: a key must be a string, not {described(key)}: quote it")
        elif key.value in lines:
            problems.add(key, f"{what}: {short(key.value)} is there twice, first in line {lines[key.value]}")
        else:
            lines[key.value] = line_of(key.start_mark)
            yield key, value


def items_of(node: Node | None, what: str, problems: Problems) -> list[Node]:
    """The items of a list. An absent list has none."""
    if node is None:
        return []
    if not isinstance(node, SequenceNode):
        problems.add(node, f"{what} must be a list, not {described(node)}")
        return []
    return list(node.value)


def name_of(node: Node | None, what: str, problems: Problems) -> str | None:
    if node is None:
        return None
    if not isinstance(node, ScalarNode) or node.tag != STRING:
        problems.add(node, f"{what}: a name must be a string, not {described(node)}: quote it")
        return None
    try:
        return parse_name(node.value)
    except Malformed as error:
        problems.add(node, f"{what}: {short(node.value)}: {error.detail}")
        return None


def string_of(node: Node | None, what: str, problems: Problems, *, form: re.Pattern[str], such_as: str) -> str | None:
    """A string that fits the form in whole; `such_as` says it to a reader."""
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.tag == STRING and form.fullmatch(node.value):
        return str(node.value)
    problems.add(node, f"{what} must be {such_as}, not {described(node)}")
    return None


def whole_of(
    node: Node | None, what: str, problems: Problems, *, least: int = 0, most: int = COUNT_MAX, or_else: str = ""
) -> int | None:
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.tag == INTEGER and PLAIN_DIGITS.fullmatch(node.value):
        number = int(node.value)
        if least <= number <= most:
            return number
    problems.add(
        node, f"{what} must be a whole number from {least} to {most} in plain digits{or_else}, not {described(node)}"
    )
    return None


def seconds_of(node: Node | None, what: str, problems: Problems, *, least: int, most: int) -> int | None:
    """A duration: a whole number with its unit (s, m, h, d). `least` and `most` are in seconds."""
    if node is None:
        return None
    written = DURATION.fullmatch(node.value) if isinstance(node, ScalarNode) and node.tag == STRING else None
    if written is not None:
        seconds = int(written[1]) * UNIT_SECONDS[written[2]]
        if least <= seconds <= most:
            return seconds
    problems.add(
        node,
        f"{what} must be a duration from {duration(least)} to {duration(most)}, as 30s or 10m, not {described(node)}",
    )
    return None


def duration(seconds: int) -> str:
    """As `seconds_of` reads it, in the largest unit that fits."""
    for unit, size in reversed(UNIT_SECONDS.items()):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    raise AssertionError("every whole number of seconds is a multiple of one second")


def boolean_of(node: Node | None, what: str, problems: Problems) -> bool | None:
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.tag == BOOLEAN and node.value in ("true", "false"):
        return bool(node.value == "true")
    problems.add(node, f"{what} must be true or false, not {described(node)}")
    return None


def choice_of(node: Node | None, what: str, allowed: tuple[T, ...], problems: Problems) -> T | None:
    if node is None:
        return None
    if isinstance(node, ScalarNode) and node.tag == STRING:
        for word in allowed:
            if word == node.value:
                return word
    problems.add(node, f"{what} must be one of {', '.join(map(str, allowed))}, not {described(node)}")
    return None


def described(node: Node) -> str:
    match node:
        case MappingNode():
            return "a mapping"
        case SequenceNode():
            return "a list"
        case _ if not node.value:
            return "nothing" if node.tag != STRING else "an empty string"
        case _:
            kind = node.tag.rpartition(":")[2]
            return f"{short(node.value)} ({kind})"


def short(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…")
