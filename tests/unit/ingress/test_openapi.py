"""The document is made of the types that parse and answer, and names every status that can come."""

import json
from typing import Any

import pytest
from tests.unit.ingress.front import House

from tai_autonomics.ingress.authentication import roles_of
from tai_autonomics.ingress.openapi import document, reasons_of, statuses_of
from tai_autonomics.ingress.replies import REASONS
from tai_autonomics.ingress.routes import routes

DOCUMENT: dict[str, Any] = json.loads(document(routes(), version="1.2.3"))
NOT_IN_A_DOCUMENT = {"method_not_allowed"}
"""A method that is not there has no place in it."""


def references(value: Any) -> set[str]:
    match value:
        case dict():
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(inner) for inner in value.values()))
        case list():
            return set().union(*(references(inner) for inner in value))
        case _:
            return set()


def test_the_document_is_served_to_anyone() -> None:
    house = House()
    first, second = (house.get("/openapi.json", token=None) for _ in range(2))
    assert first.status == 200
    assert first.body == second.body
    assert json.loads(first.body)["openapi"] == "3.1.0"


def test_every_route_is_described() -> None:
    described = {f"{method.upper()} {path}" for path, each in DOCUMENT["paths"].items() for method in each}
    assert described == {route.name for route in routes()}


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.name)
def test_a_route_names_its_statuses_and_roles(route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert set(operation["responses"]) == {str(status) for status in statuses_of(route)}
    roles = roles_of(route.name)
    assert ("security" in operation) == (roles is not None)
    assert operation.get("x-roles", []) == (
        [] if roles is None else [each if each != "*" else "any" for each in sorted(roles)]
    )


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_reason_can_come_from_some_route() -> None:
    can_come = {reason for route in routes() for reason in reasons_of(route)}
    assert set(REASONS) - can_come == NOT_IN_A_DOCUMENT


def test_ids_of_operations_are_their_own() -> None:
    ids = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))
