"""
What a regular expression may cost.

RE2 never backtracks: at each character of a text it goes through the places of the pattern where it may stand. So the
places are what is bounded, with their repetitions.
"""

import re
from typing import Final

from cel_expr_python import cel

from tai_autonomics.policy.mistakes import NotACondition, failure

TRIAL: Final = cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile('"".matches(pattern)')

PIECE: Final = re.compile(r"\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]|\{\d+(?:,\d*)?\}|.", re.ASCII | re.DOTALL)
REPETITION: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}", re.ASCII)
LARGE_ESCAPE: Final = re.compile(r"\\[pPQ]")
"""A class of Unicode is thousands of places; what \\Q quotes is not read here."""


def places_of(pattern: str) -> int:
    """
    An upper bound: each character or class is one place, a count multiplies what it stands behind.

    Raises NotACondition for what is no regular expression.
    """
    answer = TRIAL.eval(data={"pattern": pattern})
    if answer.type() != cel.Type.BOOL:
        raise NotACondition(failure(str(answer.value())))
    if large := LARGE_ESCAPE.search(pattern):
        raise NotACondition(f"{large[0]} is not available in a regular expression: name the characters, as [a-z]")
    groups = [[0]]
    for piece in PIECE.findall(pattern):
        count = REPETITION.fullmatch(piece)
        if count is not None:
            groups[-1][-1] *= max(int(count[1]), int(count[2] or 0), 1)
        elif piece == "(":
            groups.append([0])
        elif piece == ")" and len(groups) > 1:
            inner = sum(groups.pop())
            groups[-1].append(inner)
        else:
            groups[-1].append(1)
    return sum(map(sum, groups))
