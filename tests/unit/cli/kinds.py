"""Every kind of event that the domain has, each with values of its own, made from the domain's own types."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, get_args

import msgspec
from msgspec import inspect

from tai_autonomics.domain.tenant import Event

KINDS: tuple[type[Any], ...] = get_args(Event)


def whole(kind: type[Any]) -> dict[str, Any]:
    """An event of the kind with a value for every member, as a receipt's body holds it."""
    return {"type": kind.__name__, **{field.encode_name: first(field.type) for field in fields_of(kind)}}


def changed(kind: type[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole event with one thing in it changed, in every way that its type allows; and what was changed."""
    event = whole(kind)
    for field in fields_of(kind):
        for other in others(field.type, event[field.encode_name]):
            yield field.encode_name, {**event, field.encode_name: other}
        if not field.required:
            yield field.encode_name, {name: value for name, value in event.items() if name != field.encode_name}


def fields_of(kind: type[Any]) -> tuple[inspect.Field, ...]:
    type_ = inspect.type_info(kind)
    assert isinstance(type_, inspect.StructType)
    return type_.fields


def first(type_: inspect.Type) -> Any:
    return next(iter(values(type_)))


def others(type_: inspect.Type, value: Any) -> list[Any]:
    return [other for other in values(type_) if other != value and other is not None]


def values(type_: inspect.Type) -> list[Any]:
    """At least two, all different, as JSON has them: of a literal all, of a structure one with each member changed."""
    match type_:
        case inspect.StrType():
            return ["one", "two"]
        case inspect.IntType():
            return [71, 72]
        case inspect.BoolType():
            return [True, False]
        case inspect.LiteralType(literals):
            return list(literals)
        case inspect.VarTupleType(item):
            return [[first(item)], values(item)[:2], values(item)[1:2]]
        case inspect.DictType(_, value):
            return [{"a": each} for each in values(value)] + [{"b": first(value)}]
        case inspect.UnionType(types):
            return list(chain.from_iterable(values(each) for each in types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType(cls, fields, tag_field=tag_field, tag=tag):
            named = {tag_field: tag} if tag_field is not None else {}
            event = {**named, **{field.encode_name: first(field.type) for field in fields}}
            one_changed = [
                {**event, field.encode_name: other}
                for field in fields
                for other in others(field.type, event[field.encode_name])
            ]
            assert cls is not None
            return [event, *one_changed]
        case _:
            raise AssertionError(f"no values for {type_}")


def event(members: dict[str, Any]) -> Event:
    converted: Event = msgspec.convert(members, Event)
    return converted
