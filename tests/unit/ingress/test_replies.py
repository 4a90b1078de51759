"""The reason table is the design's, row by row."""

from typing import get_args

import pytest
from tests.unit.ingress.front import VERIFY, House

from tai_autonomics.domain.decider import Reason
from tai_autonomics.ingress.replies import REASONS, SEALED_REASONS

TABLE = {
    400: "malformed_request malformed_envelope invalid_tenant_id invalid_entitlement_id unknown_action missing_field",
    401: "unauthenticated token_expired signature_invalid",
    403: "role_forbidden tenant_forbidden entitlement_inactive compliance_closed governor_refusing",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "invalid_transition stale too_many_entitlements",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "release_exceeds_use unknown_plan unknown_quota unknown_metric invalid_time clock_skew idempotency_key_reused",
    429: "quota_exceeded action_budget_exhausted rate_limited overloaded",
    431: "headers_too_large",
    500: "internal",
    503: "store_unavailable conflict draining ledger_newer_than_code clock_untrusted keys_unavailable outcome_unknown",
}


def test_every_reason_has_the_status_of_the_design() -> None:
    assert {reason: kind.status for reason, kind in REASONS.items()} == {
        reason: status for status, reasons in TABLE.items() for reason in reasons.split()
    }


def test_every_reason_that_can_be_sealed_has_a_status() -> None:
    assert set(get_args(Reason)) == SEALED_REASONS <= set(REASONS)


@pytest.mark.parametrize("reason", sorted(SEALED_REASONS - {"quota_exceeded", "action_budget_exhausted"}))
def test_every_sealed_refusal_answers_with_its_status_and_receipt(reason: str) -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": reason}
    response = house.post("/marketplace", VERIFY)
    assert (response.status, response.reason) == (REASONS[reason].status, reason)
    assert response.json["receipt"]["refusal"]["reason"] == reason
    assert response.headers["receipt-hash"] == response.json["hash"]


def test_a_budget_is_a_429_of_its_own_name() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "action_budget_exhausted"}
    response = house.post("/marketplace", VERIFY)
    assert (response.status, response.json["type"]) == (429, "/problems/action_budget_exhausted")
    assert response.json["violated-policies"] == ["action_budget_exhausted"]


def test_a_replayed_refusal_says_so() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "stale"}
    first, second = (house.post("/marketplace", {**VERIFY, "request_id": "k"}) for _ in range(2))
    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_explained(reason: str) -> None:
    shown = House().get(f"/problems/{reason}", token=None)
    kind = REASONS[reason]
    assert (shown.status, shown.json) == (
        200,
        {
            "reason": reason,
            "status": kind.status,
            "title": kind.title,
            "next_step": kind.next_step,
            "sealed": reason in SEALED_REASONS,
        },
    )
