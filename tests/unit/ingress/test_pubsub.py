"""POST /pubsub: each row of its status table, and what becomes a command."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.ingress.front import GRANT, NOW, VERIFY, House, Response, envelope

from tai_autonomics.domain.entitlement import Grant, Verify
from tai_autonomics.domain.moments import Moment, datetime_of
from tai_autonomics.errors import (
    BrokenChain,
    ClockUntrusted,
    ConcurrentWrite,
    Draining,
    LedgerNewerThanCode,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)

OF = "pubsub:projects/p/subscriptions/s"
SIGNAL = {"tenant_id": "acme", "metric": "cpu_utilization", "value": 81.5, "labels": {"zone": "a"}}
EVENT = {"specversion": "1.0", "id": "e1", "source": "//pay/x:1", "type": "t", "data": GRANT, "extra": 1}


def push(house: House, payload: Any, **more: Any) -> Response:
    return house.post("/pubsub", envelope(payload, **more), token="integration")


def kept(house: House, response: Response, reason: str) -> None:
    """The message is acknowledged, in the quarantine, and the reply says so."""
    assert response.status == 200
    message = house.quarantined[-1]
    shown = {"id": f"{OF}:17", "reason": reason, "digest": hashlib.sha256(message.payload).hexdigest()}
    assert response.json["quarantined"] == shown
    assert (message.id, message.reason, message.digest, message.subscription) == (
        shown["id"],
        reason,
        shown["digest"],
        "projects/p/subscriptions/s",
    )


# ---- decided


def test_a_command_is_decided_and_acknowledged_with_its_receipt() -> None:
    house = House()
    response = push(house, GRANT)
    receipt = house.corridor.ledgers["acme"][0]
    assert response.body == (
        b'{"items":[{"status":200,"receipt":' + receipt.body + b',"hash":"' + receipt.hash.encode() + b'"}]}'
    )
    submission = house.corridor.submissions[0]
    assert (submission.command, submission.command_id, submission.source) == (
        Grant("ent_1", "professional"),
        f"{OF}:17",
        "pubsub",
    )


def test_a_refusal_is_acknowledged_with_its_receipt() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "entitlement_inactive"}
    response = push(house, VERIFY)
    item = response.json["items"][0]
    assert (response.status, item["status"], item["reason"]) == (200, 403, "entitlement_inactive")
    assert item["hash"] == house.corridor.ledgers["acme"][0].hash
    assert house.quarantined == []


def test_a_duplicate_is_acknowledged_with_the_first_receipt() -> None:
    house = House()
    assert push(house, GRANT).body == push(house, GRANT, deliveryAttempt=2).body


def test_a_digest_is_the_same_for_a_command_that_comes_twice_in_different_envelopes() -> None:
    house = House()
    push(house, {**GRANT, "request_id": "k"})
    push(house, {**GRANT, "request_id": "k", "metadata": {"b": 1}}, extra=1)
    assert len(house.corridor.ledgers["acme"]) == 1


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        (GRANT, [f"{OF}:17"]),
        ({**GRANT, "request_id": "k"}, [f"{OF}:k"]),
        ([GRANT, VERIFY], [f"{OF}:17/0", f"{OF}:17/1"]),
        ([GRANT, {**VERIFY, "request_id": "k"}], [f"{OF}:17/0", f"{OF}:k"]),
        (EVENT, ["event://pay/x%3A1:e1"]),
        ([EVENT], ["event://pay/x%3A1:e1"]),
        ({**EVENT, "data": {**GRANT, "request_id": "k"}}, ["event://pay/x%3A1:k"]),
    ],
)
def test_a_commands_id_says_where_it_came_from(payload: Any, ids: list[str]) -> None:
    house = House()
    assert push(house, payload).status == 200
    assert [each.command_id for each in house.corridor.submissions] == ids


def test_an_envelope_may_have_snake_names_and_members_of_no_use_here() -> None:
    house = House()
    data = base64.b64encode(json.dumps(GRANT).encode()).decode()
    message = {"data": data, "message_id": "9", "publish_time": "x", "attributes": {"a": "b"}, "orderingKey": "o"}
    response = house.post("/pubsub", {"message": message, "subscription": "s", "more": {}}, token="integration")
    assert (response.status, house.corridor.submissions[0].command_id) == (200, "pubsub:s:9")


def test_a_message_has_one_id_under_both_names() -> None:
    # As Pub/Sub sends it. Two ids would be two idempotency keys.
    house = House()
    message = {"data": "e30=", "messageId": "9", "message_id": "9"}
    assert house.post("/pubsub", {"message": message, "subscription": "s"}, token="integration").status == 200
    for other in ("", "10"):
        envelope = {"message": {**message, "message_id": other}, "subscription": "s"}
        response = house.post("/pubsub", envelope, token="integration")
        assert (response.status, response.reason) == (400, "malformed_envelope")
        assert response.json["errors"][0]["pointer"] == "/message/message_id"


def test_metadata_of_a_command_is_kept_as_received() -> None:
    house = House()
    push(house, b'[{"tenant_id":"acme","entitlement_id":"e","metadata":{ "a" : 1 }}]')
    assert house.corridor.submissions[0].parts == (("metadata", b'{ "a" : 1 }'),)
    assert house.corridor.submissions[0].command == Verify("e")


# ---- not understood


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"test", "malformed_request"),
        (b"", "malformed_request"),
        (b"{", "malformed_request"),
        (b'{"tenant_id":"acme","entitlement_id":"e","tenant_id":"acme"}', "malformed_request"),
        (b'{"tenant_id":"acme","entitlement_id":"e","metadata":NaN}', "malformed_request"),
        (b'{"tenant_id":"acme","entitlement_id":"e","metadata":1e999}', "malformed_request"),
        (b'{"tenant_id":"acme","entitlement_id":"\\ud800"}', "malformed_request"),
        (b"[" * 100_000, "malformed_request"),
        (b"\x1f\x8b\x08gzip", "malformed_request"),
        ([], "malformed_request"),
        ([1], "malformed_request"),
        ([GRANT] * 1001, "malformed_request"),
        ([GRANT, {"tenant_id": "acme"}], "missing_field"),
        ({**GRANT, "typo": 1}, "malformed_request"),
        ({**GRANT, "action": "explode"}, "unknown_action"),
        ({**GRANT, "tenant_id": "/"}, "invalid_tenant_id"),
        ({**EVENT, "data": 1}, "malformed_request"),
        ({**EVENT, "source": ""}, "malformed_request"),
        ({**EVENT, "source": "x" * 500}, "malformed_request"),
        ({"specversion": "1.0", "id": "1"}, "missing_field"),
        ({**SIGNAL, "value": "81"}, "malformed_request"),
        ({**SIGNAL, "observed_at": "today"}, "malformed_request"),
        ({**SIGNAL, "metric": ""}, "malformed_request"),
        ({**SIGNAL, "typo": 1}, "malformed_request"),
        ("x" * 300_000, "body_too_large"),
    ],
)
def test_a_payload_that_is_not_understood_is_quarantined_and_nothing_is_decided(payload: Any, reason: str) -> None:
    house = House()
    response = push(house, payload)
    kept(house, response, reason)
    assert house.quarantined[0].payload == (payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    assert house.corridor.submissions == []


@pytest.mark.parametrize("data", ["%%%", "dGVz dA==", "dGVzdA", 5, None, ["x"], "é"])
def test_data_that_is_not_base64_is_quarantined_as_it_is(data: Any) -> None:
    house = House()
    message = {"data": data, "messageId": "17"}
    response = house.post("/pubsub", {"message": message, "subscription": "projects/p/subscriptions/s"})
    kept(house, response, "malformed_request")


def test_a_message_without_data_is_quarantined() -> None:
    house = House()
    response = house.post("/pubsub", {"message": {"messageId": "17"}, "subscription": "projects/p/subscriptions/s"})
    kept(house, response, "malformed_request")


def test_a_message_of_ten_megabytes_is_quarantined() -> None:
    house = House()
    kept(house, push(house, b"x" * 10_000_000), "body_too_large")


@pytest.mark.parametrize(
    "body",
    [
        {"message": {"data": "dGVzdA=="}},
        {"message": {"data": "dGVzdA==", "messageId": "1"}},
        {"message": {"data": "dGVzdA=="}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": ""}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": "1"}, "subscription": ""},
        {"message": {"data": "dGVzdA==", "messageId": 1}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": "1"}, "subscription": "s" * 395},
        {"message": {"data": "dGVzdA==", "messageId": "1"}, "subscription": "s" * 600},
        {"message": {"data": "dGVzdA==", "messageId": "1", "attributes": {"a": "x" * 270_000}}, "subscription": "s"},
        {"message": [], "subscription": "s"},
        {},
        [],
        b"",
        b"{",
        b'{"message":{"messageId":"1","data":"","data":"dGVzdA=="},"subscription":"s"}',
        b'{"message":{"messageId":"1","data":"' + b"A" * 4000 + b'","data":"' + b"A" * 4000 + b'"},"subscription":"s"}',
        b'{"message":{"messageId":"1"},"subscription":"s","x":1e999}',
        b'{"message":' * 50_000,
        b'{"message":{"messageId":"1"},"subscription":"s","x":[' + b"1," * 1_000_000 + b"1]}",
    ],
)
def test_what_is_no_push_envelope_is_a_400_and_kept_nowhere(body: Any) -> None:
    house = House()
    response = house.post("/pubsub", body)
    assert (response.status, response.reason) == (400, "malformed_envelope")
    assert house.quarantined == []


# ---- credentials


def test_forged_input_is_never_acknowledged() -> None:
    house = House()
    assert house.post("/pubsub", envelope(b"test"), token=None).status == 401
    assert house.post("/pubsub", envelope(b"test"), token="forged").status == 401
    assert house.post("/pubsub", envelope(b"test"), token="viewer").status == 403
    assert house.quarantined == []


def test_a_tenant_out_of_reach_is_forbidden_for_the_whole_message() -> None:
    house = House()
    response = house.post("/pubsub", envelope([{**GRANT, "tenant_id": "other"}, GRANT]), token="acme")
    assert (response.status, response.reason) == (403, "tenant_forbidden")
    assert house.corridor.submissions == []


# ---- one tenant's fault


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded("rate_limited", "lane"), "rate_limited"),
        (LedgerNewerThanCode("newer"), "ledger_newer_than_code"),
        (ConcurrentWrite("others"), "conflict"),
    ],
)
def test_one_tenants_fault_is_acknowledged_kept_and_does_not_stop_the_others(error: Exception, reason: str) -> None:
    house = House()
    house.corridor.raise_with["acme"] = error
    response = push(house, [GRANT, {**GRANT, "tenant_id": "beta"}])
    kept(house, response, reason)
    assert [item["status"] for item in response.json["items"]][1] == 200
    assert response.json["items"][0]["reason"] == reason


def test_a_key_that_is_reused_is_an_answer_that_no_redelivery_changes() -> None:
    house = House()
    push(house, {**GRANT, "request_id": "k"})
    response = push(house, [{**VERIFY, "request_id": "k"}, VERIFY])
    assert (response.status, [item["status"] for item in response.json["items"]]) == (200, [422, 200])
    assert response.json["items"][0]["reason"] == "idempotency_key_reused"
    assert house.quarantined == []
    assert house.ear.requests[-1].reason == "idempotency_key_reused"


# ---- what is kept for another delivery


def test_a_message_is_kept_with_all_that_another_delivery_needs() -> None:
    house = House(tenant_rate_per_second=1)
    trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    response = house.post("/pubsub", envelope([GRANT, VERIFY]), token="acme", headers=trace)
    kept(house, response, "rate_limited")
    message = house.quarantined[0]
    assert (message.message_id, message.by, message.tenants) == ("17", "acme-bot", ("acme",))
    assert (message.trace, message.redrives) == ("ab" * 16, 0)
    assert NOW < datetime_of(Moment(message.redrive_at or "")) < NOW + timedelta(seconds=3)


def test_a_message_of_our_own_error_is_redriven_as_time_may_cure_it() -> None:
    house = House()
    house.corridor.raise_with["acme"] = ZeroDivisionError("bug")
    push(house, GRANT, deliveryAttempt=4)
    assert house.quarantined[0].redrive_at is not None
    assert house.quarantined[0].tenants is None


def test_a_message_that_is_not_understood_waits_for_an_operator() -> None:
    house = House()
    push(house, b"test")
    assert house.quarantined[0].redrive_at is None


def test_a_tenant_over_its_rate_is_acknowledged_and_kept() -> None:
    house = House(tenant_rate_per_second=1)
    kept(house, push(house, [GRANT, VERIFY]), "rate_limited")
    assert len(house.corridor.submissions) == 1


# ---- the whole


@pytest.mark.parametrize(
    "error", [StoreUnavailable("down"), OutcomeUnknown("late"), Draining("bye"), ClockUntrusted("off")]
)
def test_the_whole_store_or_instance_in_trouble_is_a_503_for_all(error: Exception) -> None:
    house = House()
    house.corridor.raise_with["beta"] = error
    response = push(house, [GRANT, {**GRANT, "tenant_id": "beta"}])
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert house.quarantined == []


def test_an_instance_over_capacity_is_a_429() -> None:
    house = House()
    house.corridor.raise_with["acme"] = Overloaded("overloaded", "full")
    assert push(house, GRANT).status == 429


def test_a_full_quarantine_is_a_503() -> None:
    house = House()
    house.quarantine_full = True
    response = push(house, b"test")
    assert (response.status, response.reason) == (503, "store_unavailable")


# ---- what is counted


def test_each_delivery_is_counted_by_what_became_of_it_and_a_decided_one_by_its_age() -> None:
    house = House()
    house.clock.wall = NOW + timedelta(seconds=2.5)
    push(house, GRANT)
    push(house, b"test")
    house.post("/pubsub", {"message": {}})
    house.post("/pubsub", envelope({**GRANT, "tenant_id": "other"}), token="acme")
    house.corridor.raise_with["acme"] = StoreUnavailable("down")
    push(house, GRANT)
    house.corridor.raise_with["acme"] = ZeroDivisionError("bug")
    push(house, GRANT)
    push(house, GRANT, deliveryAttempt=9)
    assert house.ear.pushes == [
        ("decided", 2.5),
        ("quarantined", None),
        ("refused", None),
        ("refused", None),
        ("redelivery_wanted", None),
        ("redelivery_wanted", None),
        ("quarantined", None),
    ]


def test_a_caller_that_hangs_up_wants_its_message_again() -> None:
    house = House()
    house.call("POST", "/pubsub", envelope(GRANT), chunks=(b"{",), hang_up=True)
    assert house.ear.pushes == [("redelivery_wanted", None)]


@pytest.mark.parametrize(
    ("said", "age"),
    [
        ({"publishTime": "2026-11-24T11:59:58.5Z"}, 1.5),
        ({"publish_time": "2026-11-24T11:59:58.123456789Z"}, 1.876544),
        ({"publishTime": "2026-11-24T13:59:59+02:00", "publish_time": "never"}, 1.0),
        ({"publishTime": "2026-11-24T12:00:09Z"}, 0.0),
        ({"publishTime": "2026-11-24T12:00:00"}, None),
        ({"publishTime": "soon"}, None),
        ({"publishTime": 1764244798.5}, None),
        ({"publishTime": None}, None),
        ({"publishTime": {"seconds": 1764244798}}, None),
        ({"publish_time": ["2026-11-24T11:59:58Z"]}, None),
        ({"publishTime": "\u0000"}, None),
        ({}, None),
    ],
)
def test_a_publish_time_that_is_none_delays_no_message(said: dict[str, Any], age: float | None) -> None:
    house, pushed = House(), envelope(GRANT)
    del pushed["message"]["publishTime"]
    pushed["message"] |= said
    assert house.post("/pubsub", pushed).status == 200
    assert house.ear.pushes == [("decided", age)]


# ---- our own error


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), BrokenChain(tenant="acme", seq=1, step=2, detail="x")])
@pytest.mark.parametrize("counted", [True, False])
def test_our_own_error_is_delivered_three_times_and_then_quarantined(error: Exception, counted: bool) -> None:
    house = House()
    house.corridor.raise_with["acme"] = error
    for attempt in (1, 2, 3):
        response = push(house, GRANT, **({"deliveryAttempt": attempt} if counted else {}))
        assert (response.status, response.reason) == (500, "internal")
    kept(house, push(house, GRANT, **({"deliveryAttempt": 4} if counted else {})), "internal")
    assert len(house.ear.failures) == 4
    if not counted:
        assert push(house, GRANT).status == 500


def test_a_message_that_recovers_is_counted_from_the_start() -> None:
    house = House()
    house.corridor.raise_with["acme"] = ZeroDivisionError("bug")
    for _ in range(3):
        push(house, GRANT)
    del house.corridor.raise_with["acme"]
    assert push(house, GRANT).status == 200
    house.corridor.raise_with["acme"] = ZeroDivisionError("bug")
    assert push(house, GRANT).status == 500


def test_counting_our_errors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tai_autonomics.ingress.pubsub.REMEMBERED_MESSAGES_MAX", 2)
    from tai_autonomics.ingress.pubsub import OwnErrors

    errors = OwnErrors()
    assert [errors.count(each) for each in ("a", "b", "a", "c", "b", "a")] == [1, 1, 2, 1, 1, 1]
