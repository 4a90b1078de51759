"""Signals, through /pubsub and /v1: one command of a tenant, one receipt, an answer for each."""

from base64 import b64encode
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.ingress.front import GRANT, House, Response, envelope

from tai_autonomics.domain.governor import Observe
from tai_autonomics.errors import ConcurrentWrite, Overloaded

OF = "pubsub:projects/p/subscriptions/s"
CPU = {"metric": "cpu_utilization", "value": 81.5}
UNNAMED = {"metric": "unnamed", "value": 1}
PATH = "/v1/tenants/acme/signals"


def pushed(signal: dict[str, Any], tenant: str = "acme", **more: Any) -> dict[str, Any]:
    return {"tenant_id": tenant, **signal, **more}


def push(house: House, payload: Any) -> Response:
    return house.post("/pubsub", envelope(payload), token="integration")


def statuses(response: Response) -> list[int]:
    return [item["status"] for item in response.json["items"]]


def test_the_signals_of_a_tenant_in_a_message_are_one_command_with_the_id_of_its_first() -> None:
    house = House()
    response = push(house, [GRANT, pushed(CPU), pushed(CPU, "other"), pushed(UNNAMED), pushed(CPU)])
    assert statuses(response) == [200, 200, 200, 422, 200]
    assert [(each.tenant, each.command_id) for each in house.corridor.submissions] == [
        ("acme", f"{OF}:17/0"),
        ("acme", f"{OF}:17/1"),
        ("other", f"{OF}:17/2"),
    ]
    items = response.json["items"]
    assert items[3]["reason"] == "unknown_metric"
    assert {items[index]["instance"] for index in (1, 3, 4)} == {"/v1/tenants/acme/receipts/2"}
    assert {items[index]["hash"] for index in (1, 3, 4)} == {house.corridor.ledgers["acme"][1].hash}
    assert house.quarantined == []


def test_a_bare_signal_has_the_messages_id() -> None:
    house = House()
    assert statuses(push(house, pushed(CPU))) == [200]
    assert house.corridor.submissions[0].command_id == f"{OF}:17"


def test_a_signal_with_an_id_of_its_own_is_a_command_of_its_own() -> None:
    house = House()
    event = {"specversion": "1.0", "id": "e1", "source": "s", "type": "t", "data": pushed(CPU)}
    assert statuses(push(house, [event, pushed(CPU, request_id="r1"), pushed(CPU)])) == [200, 200, 200]
    assert [each.command_id for each in house.corridor.submissions] == ["event:s:e1", f"{OF}:r1", f"{OF}:17/2"]


def test_signals_of_more_than_one_receipt_are_split_and_stay_in_order() -> None:
    house = House()
    assert statuses(push(house, [pushed(CPU)] * 99 + [pushed(UNNAMED)])) == [200] * 99 + [422]
    commands = [each.command for each in house.corridor.submissions]
    sizes = [len(each.signals) for each in commands if isinstance(each, Observe)]
    assert len(sizes) > 1
    assert sum(sizes) == 100
    assert [each.command_id for each in house.corridor.submissions][1] == f"{OF}:17/{sizes[0]}"


def test_a_value_never_passes_through_a_float() -> None:
    house = House()
    raw = b'{"tenant_id":"acme","metric":"cpu","value":123456789012345678.123456789}'
    assert statuses(push(house, raw)) == [200]
    command = house.corridor.submissions[0].command
    assert isinstance(command, Observe)
    assert command.signals[0].value == Decimal("123456789012345678.123456789")


def test_a_message_that_comes_again_has_the_same_answers() -> None:
    house = House()
    payload = [pushed(CPU), pushed(UNNAMED)]
    assert push(house, payload).json == push(house, payload).json
    assert len(house.corridor.ledgers["acme"]) == 1


@pytest.mark.parametrize(
    "error", [Overloaded("rate_limited", "slow down"), ConcurrentWrite("others were first")], ids=["rate", "conflict"]
)
def test_signals_that_meet_their_tenants_own_limit_are_refused_and_not_quarantined(error: Exception) -> None:
    house = House()
    house.corridor.raise_with["acme"] = error
    response = push(house, [pushed(CPU), pushed(CPU)])
    assert response.status == 200
    assert statuses(response) in ([429, 429], [503, 503])
    assert house.quarantined == []
    assert house.ear.requests[-1].reason in ("rate_limited", "conflict")
    assert house.ear.refused == [(house.ear.requests[-1].reason, 2)]


def test_signals_of_a_tenant_without_rate_are_refused_and_its_command_is_quarantined() -> None:
    house = House(tenant_rate_per_second=2)
    response = push(house, [pushed(CPU), pushed(CPU), GRANT])
    assert statuses(response) == [200, 200, 429]
    assert len(house.quarantined) == 1


def test_a_refusal_of_all_signals_is_each_ones_answer_and_acknowledged() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "entitlement_inactive"}
    response = push(house, [pushed(CPU), pushed(CPU)])
    assert response.status == 200
    assert statuses(response) == [403, 403]
    assert "receipt" not in response.json["items"][0]
    assert response.json["items"][0]["hash"] == house.corridor.ledgers["acme"][0].hash


def test_v1_signals_are_one_command_with_one_key_and_one_receipt() -> None:
    house = House()
    body = {"signals": [CPU, UNNAMED], "request_id": "k1"}
    response = house.post(PATH, body, token="integration")
    assert response.status == 200
    assert statuses(response) == [200, 422]
    assert response.json["hash"] == response.headers["receipt-hash"]
    assert house.corridor.submissions[0].command_id == "http:integration:k1"
    again = house.post(PATH, body, token="integration")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == response.json


def test_v1_takes_one_bare_signal_and_its_key_in_the_header() -> None:
    house = House()
    response = house.post(PATH, CPU, token="integration", headers={"Idempotency-Key": "k2"})
    assert statuses(response) == [200]
    assert house.corridor.submissions[0].command_id == "http:integration:k2"


def test_v1_answers_a_refusal_of_all_with_its_status() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "unknown_metric"}
    response = house.post(PATH, {"signals": [CPU]})
    assert response.status == 422
    assert response.reason == "unknown_metric"
    assert "receipt" in response.json


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"signals": []}, "/signals"),
        ({"signals": [CPU, {**CPU, "value": "1"}]}, "/signals/1/value"),
        ({"signals": [{**CPU, "labels": {"-": "x"}}]}, "/signals/0/labels"),
        ({"signals": [{**CPU, "observed_at": "today"}]}, "/signals/0/observed_at"),
        ({"signals": [{**CPU, "metric": ""}]}, "/signals/0/metric"),
        (b'{"metric":"cpu","value":1e3}', "/value"),
    ],
)
def test_v1_says_where_a_signal_is_not_understood(body: Any, pointer: str) -> None:
    house = House()
    response = house.post(PATH, body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, pointer)
    assert house.corridor.submissions == []


def test_v1_refuses_more_signals_than_a_receipt_holds_and_says_how_many_it_does() -> None:
    house = House()
    response = house.post(PATH, {"signals": [CPU] * 100})
    assert response.status == 400
    assert "one receipt holds" in response.json["detail"]
    assert house.corridor.submissions == []


def test_v1_signals_are_for_integrations() -> None:
    assert House().post(PATH, CPU, token="operator").reason == "role_forbidden"


@pytest.mark.parametrize("value", [b'"\xff"', b'"1"', b"1e3", b"[1]"])
def test_a_value_that_is_no_plain_number_is_the_callers_mistake_whatever_its_bytes(value: bytes) -> None:
    house = House()
    raw = b'{"metric":"cpu_utilization","value":' + value + b"}"
    response = house.post(PATH, raw, token="integration")
    assert (response.status, response.reason) == (400, "malformed_request")
    data = b64encode(raw[:1] + b'"tenant_id":"acme",' + raw[1:]).decode()
    push_body = {"message": {"data": data, "messageId": "17"}, "subscription": "s"}
    assert house.post("/pubsub", push_body, token="integration").status == 200
    assert [(each.reason, each.redrive_at) for each in house.quarantined] == [("malformed_request", None)]
