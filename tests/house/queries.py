"""PromQL, as far as it names something: series, the labels that select them, and those that results are grouped by."""

import re
from typing import Final

from msgspec import Struct
from observability.promql import RECORD

SERIES: Final = re.compile(
    r'(?<![\w:"$])((?:tai|process)_\w+|pubsub_googleapis_com:\w+)(?![\w:])(?:\{(?P<given>[^}]*)\})?'
)
MATCHER: Final = re.compile(r'(?P<label>\w+)(?P<how>=~|!~|!=|=)"(?P<value>[^"]*)"')
GROUPED: Final = re.compile(r"\b(?:by|on|without|ignoring) \((?P<labels>[^)]*)\)")


class Named(Struct, frozen=True):
    """What one query names."""

    series: dict[str, list[tuple[str, str]]]
    """Each with its matchers: label and value, a pattern's alternatives one by one."""
    grouped: set[str]
    records: set[str]


def named_in(query: str) -> Named:
    series: dict[str, list[tuple[str, str]]] = {}
    for found in SERIES.finditer(query):
        matchers = series.setdefault(found[1], [])
        for matcher in MATCHER.finditer(found["given"] or ""):
            values = matcher["value"].split("|") if matcher["how"].endswith("~") else [matcher["value"]]
            matchers += [(matcher["label"], value) for value in values]
    grouped = {label.strip() for found in GROUPED.finditer(query) for label in found["labels"].split(",")}
    return Named(series, grouped, set(RECORD.findall(query)))
