"""
Every query that the store makes. Firestore answers only those that an index serves: firestore.indexes.json has them.

The engine takes no other query, so a test that compares QUERIES with that file has seen all of them.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from google.cloud.firestore_v1 import types
from msgspec import Struct

from tai_autonomics.stores.firestore.documents import RECEIPTS, fill_value

Operator = Literal["==", "in", ">", ">=", "<", "<="]

_OPERATORS: Final = types.StructuredQuery.FieldFilter.Operator
OPERATORS: Final[dict[Operator, int]] = {
    "==": _OPERATORS.EQUAL,
    "in": _OPERATORS.IN,
    ">": _OPERATORS.GREATER_THAN,
    ">=": _OPERATORS.GREATER_THAN_OR_EQUAL,
    "<": _OPERATORS.LESS_THAN,
    "<=": _OPERATORS.LESS_THAN_OR_EQUAL,
}

NAME: Final = "__name__"
"""The document's own name, which is always indexed in its order."""


class Query(Struct, frozen=True):
    """The shape of a query: `where` without its values, the field that orders it (none: by name), fields read."""

    collection: str
    where: tuple[tuple[str, Operator], ...] = ()
    order: str | None = None
    descending: bool = False
    select: tuple[str, ...] = ()

    def structured(self, limit: int, *, place: str, values: Sequence[str | int | Sequence[int]]) -> Any:
        """The query in the engine's own form, with one of `values` for each condition; `place` is the one above it."""
        made = types.StructuredQuery.pb()()
        made.limit.value = limit
        made.from_.add().collection_id = self.collection
        if self.where:
            made.where.composite_filter.op = types.StructuredQuery.CompositeFilter.Operator.AND
        for (field, operator), value in zip(self.where, values, strict=True):
            condition = made.where.composite_filter.filters.add().field_filter
            condition.field.field_path = field
            condition.op = OPERATORS[operator]
            if field == NAME:
                condition.value.reference_value = f"{place}/{self.collection}/{value}"
            else:
                fill_value(condition.value, value)
        if self.order is not None:
            ordered = made.order_by.add()
            ordered.field.field_path = self.order
            direction = types.StructuredQuery.Direction
            ordered.direction = direction.DESCENDING if self.descending else direction.ASCENDING
        for field in self.select:
            made.select.fields.add().field_path = field
        return made


SEGMENTS: Final = Query(RECEIPTS, (("tenant", "=="), ("last", ">")), order="last")
"""A ledger's segments that hold receipts after a seq, in order."""

ACTION_SEGMENTS: Final = Query(RECEIPTS, (("tenant", "=="), ("actions", "=="), ("last", ">")), order="last")
"""Of those, the segments that say what became of actions."""

ACTION_SEGMENTS_BEFORE: Final = Query(
    RECEIPTS, (("tenant", "=="), ("actions", "=="), ("first", "<")), order="first", descending=True
)
"""The same before a seq, the newest first."""

WITH_DUE: Final = Query("due", (("kind", "=="), ("tenant", ">")), order="tenant", select=("tenant",))
"""The due rows of a kind, by tenant."""

PARTS: Final = Query("parts", ((NAME, ">="), (NAME, "<")))
"""The parts of a ledger between two names."""

ERASED: Final = Query("erased", ((NAME, ">="),))
"""Which parts were taken away, those whose names follow one."""

TENANTS: Final = Query("heads", (("tenant", ">"),), order="tenant", select=("tenant",))

NEWEST_HEAD: Final = Query("heads", (("shard", "=="),), order="written", descending=True, select=("written", "time"))
"""The head of a shard that was written last."""

READY: Final = Query("due", (("shard", "in"), ("ready", "<=")), order="ready")
"""The due rows of some shards whose time has come, the longest due first."""

READY_OF: Final = Query("due", (("kind", "=="), ("shard", "in"), ("ready", "<=")), order="ready")
"""Of those, the rows of one kind: with all shards, more kinds would be more alternatives than one query may have."""

QUARANTINED: Final = Query("quarantine", (("id", ">"),), order="id")

TO_REDRIVE: Final = Query("quarantine", (("redrive_at", "<="),), order="redrive_at")

EVERY_QUARANTINED: Final = Query("quarantine")
"""Counted, never read."""

NEWEST_POLICY: Final = Query("policies", order="kept", descending=True)

QUERIES: Final = (
    SEGMENTS,
    ACTION_SEGMENTS,
    ACTION_SEGMENTS_BEFORE,
    WITH_DUE,
    PARTS,
    ERASED,
    TENANTS,
    NEWEST_HEAD,
    READY,
    READY_OF,
    QUARANTINED,
    TO_REDRIVE,
    EVERY_QUARANTINED,
    NEWEST_POLICY,
)
