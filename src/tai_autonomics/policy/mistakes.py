"""What the CEL library finds wrong with a text, in the words of whoever wrote it."""

import re
from collections.abc import Set as AbstractSet
from typing import Final

from tai_autonomics.domain.plans import shown

OPERATORS: Final = (
    *("_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"),
    *("_+_", "_-_", "_*_", "_/_", "_%_", "-_", "@in", "_[_]"),
)
FUNCTIONS: Final = ("size", "contains", "startsWith", "endsWith", "matches", "double", "int")
"""Of CEL's standard functions those that a condition has a use for; the rest is unknown to it."""
FACTS: Final = ("value", "window", "labels", "plan", "quota")

DETAIL_CHARACTERS_MAX: Final = 200
"""Of why a condition has no answer: it goes into a receipt."""
WHY_CHARACTERS_MAX: Final = 300
"""Of why a text is no condition: it may quote the text, and names that the vendor gave."""

LOOPS: Final = re.compile(r"\.(all|exists|exists_one|map|filter)\s*\(")
COMPILE_ERROR: Final = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<what>.*)")
UNDECLARED: Final = re.compile(r"undeclared reference to '(?P<name>.*)' \(in container")
NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(?P<function>.*)' applied to '\((?P<types>.*)\)'")
WHOLE_AFTER: Final = re.compile(r"\W*?(?P<number>-?\d+)(?![\d.eEuUx])")
WHOLE_BEFORE: Final = re.compile(r"(?<![\w.])(?P<number>-?\d+)\s*$")
MISSING_KEY: Final = re.compile(r"Key not found in map : \"?(?P<key>.*?)\"?$", re.DOTALL)
CODE: Final = re.compile(r"^[A-Z_]+: ")
SYNTAX: Final = {
    "mismatched input": "not expected here:",
    "extraneous input": "not expected here:",
    "no viable alternative at input": "not understood:",
    "token recognition error at:": "not understood:",
}
ELSEWHERE: Final = {"'and'": "&&", "'or'": "||", "'= '": "=="}
"""What other languages write, and CEL writes otherwise."""


class NotACondition(Exception):
    """A text that cannot be asked: where in it, and why."""

    def __init__(self, why: str, *, line: int = 1, column: int | None = None) -> None:
        self.why = why if len(why) <= WHY_CHARACTERS_MAX else why[: WHY_CHARACTERS_MAX - 1] + "…"
        self.line, self.column = line, column
        super().__init__(self.why)


def explained(text: str, error: str, known: AbstractSet[str]) -> NotACondition:
    """`error` is what the library says of the text; `known` are the names that it may use."""
    found = COMPILE_ERROR.search(error)
    if found is None or int(found["line"]) < 1:
        # The library's own bounds have no place: on nesting while it parses, and on the depth of what it parsed.
        return NotACondition("nested deeper than 32" if "recursion" in error else first_line(error))
    line, column = int(found["line"]), int(found["column"])
    lines = text.split("\n")
    before, rest = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1]]), lines[line - 1][column - 1 :]
    return NotACondition(_said(found["what"], before, rest, known), line=line, column=column)


def first_line(error: str) -> str:
    return CODE.sub("", error.partition("\n")[0])


def type_said(name: str) -> str:
    return {"DOUBLE": "a number", "INT": "a whole number", "STRING": "a text"}.get(name, name.lower())


def _said(what: str, before: str, rest: str, known: AbstractSet[str]) -> str:
    if unknown := UNDECLARED.match(what):
        return _unknown(unknown["name"], before, rest, known)
    if overload := NO_OVERLOAD.match(what):
        return _untyped(_symbol(overload["function"]), overload["types"], before, rest)
    return _syntax(what)


def _unknown(name: str, before: str, rest: str, known: AbstractSet[str]) -> str:
    if (loop := LOOPS.search(before + rest)) is not None:
        return f"{loop[1]}(…) is not available: a condition does not loop"
    if rest.startswith("("):
        return f"unknown function {name}: known are {', '.join(('has', *FUNCTIONS))}"
    head = name.partition(".")[0] + "."
    near = sorted(each for each in known if each.startswith(head))
    return f"unknown name {name}: known are {shown(near or FACTS)}"


def _untyped(symbol: str, types: str, before: str, rest: str) -> str:
    said = f"{symbol} does not take ({types})"
    if not ("double" in types and "int" in types.replace("uint", "")):
        return said
    whole = WHOLE_AFTER.match(rest.removeprefix(symbol)) or WHOLE_BEFORE.search(before)
    how = f"write {whole['number']}.0" if whole else "write double(…) around the whole number"
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
    said = what.removeprefix("Syntax error: ").partition(" expecting ")[0].replace("'<EOF>'", "the end")
    for words, ours in SYNTAX.items():
        said = said.replace(words, ours)
    return next((f"{said}: write {instead}" for word, instead in ELSEWHERE.items() if word in said), said)


def failure(error: str) -> str:
    """Why there is no answer, in a short sentence."""
    if missing := MISSING_KEY.search(error):
        return bounded(f"there is no label {missing['key']}")
    return bounded(first_line(error))


def bounded(detail: str) -> str:
    """In a receipt's bounds, and of characters that it can hold."""
    readable = "".join(character if character.isprintable() else "?" for character in detail)
    return readable if len(readable) <= DETAIL_CHARACTERS_MAX else readable[: DETAIL_CHARACTERS_MAX - 1] + "…"
