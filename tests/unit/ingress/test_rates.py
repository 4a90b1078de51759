"""What one caller may ask of an instance: a bucket of its own, in the long run no more than its rate."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.unit.ingress.front import NOW, TOKENS, VERIFY, House, Response, TokenTable, envelope

from tai_autonomics.application.newcomers import Newcomers
from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import Overloaded
from tai_autonomics.identity.webhooks import Sender
from tai_autonomics.ingress.rates import CallerRates, TenantRates

CHECK = "/v1/tenants/acme/check"
POLICY = '"caller";q=3;w=2'


def house_of(**given: Any) -> House:
    """Two a second, three at once."""
    return House(**{"caller_rate_per_second": 2, "caller_burst": 3, **given})


def statuses(house: House, count: int, **given: Any) -> list[int]:
    return [house.post(CHECK, {}, **given).status for _ in range(count)]


def refused(response: Response, seconds: int) -> None:
    assert (response.status, response.reason, response.headers["retry-after"]) == (429, "rate_limited", str(seconds))
    assert response.headers["ratelimit-policy"] == POLICY
    assert response.headers["ratelimit"] == f'"caller";r=0;t={seconds}'
    assert response.json["violated-policies"] == ["caller"]
    assert response.json["detail"] == "one caller may ask 2 a second of this instance, and 3 at once"


def is_let_in(rates: CallerRates | TenantRates, name: str, at: float) -> bool:
    try:
        if isinstance(rates, CallerRates):
            rates.admit(name, at)
        else:
            rates.admit(name, 1, at)
    except Overloaded:
        return False
    return True


# ---- the bucket


def test_a_caller_has_its_burst_at_once_and_then_its_rate() -> None:
    house = house_of()
    assert statuses(house, 4) == [200, 200, 200, 429]
    refused(house.post(CHECK, {}), 1)
    house.clock.seconds += 0.5
    assert statuses(house, 2) == [200, 429]
    house.clock.seconds += 3600
    assert statuses(house, 4) == [200, 200, 200, 429]


def test_a_callers_rate_is_its_own_and_of_all_tenants_together() -> None:
    house = house_of()
    tenants = ["acme", "beta", "gamma", "delta"]
    assert [house.post(f"/v1/tenants/{tenant}/check", {}).status for tenant in tenants] == [200, 200, 200, 429]
    assert statuses(house, 4, token="viewer") == [200, 200, 200, 429]


def test_the_items_of_a_list_that_was_let_in_are_owed() -> None:
    house = house_of()
    assert house.post(CHECK, {"checks": [{}] * 9}).status == 200
    refused(house.post(CHECK, {}), 4)
    house.clock.seconds += 3
    assert statuses(house, 1) == [429]
    house.clock.seconds += 0.5
    assert statuses(house, 2) == [200, 429]


def test_what_a_tenants_own_rate_refuses_is_not_owed() -> None:
    house = house_of(tenant_rate_per_second=3)
    assert statuses(house, 1) == [200]
    over = house.post(CHECK, {"checks": [{}] * 9})
    assert (over.status, over.json["violated-policies"]) == (429, ["tenant"])
    assert house.get("/v1/tenants").status == 200
    assert house.get("/v1/tenants").status == 429


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=200),
    st.integers(1, 50),
    st.integers(1, 20),
    st.floats(0, 1e7),
)
def test_in_no_time_is_more_let_in_than_the_burst_and_what_the_rate_adds(
    pauses: list[float], per_second: int, burst: int, start: float
) -> None:
    rates, at, let_in = CallerRates(per_second=per_second, burst=burst), start, list[float]()
    for pause in pauses:
        at += pause
        if is_let_in(rates, "a", at):
            let_in.append(at)
    for first, since in enumerate(let_in):
        for last, until in enumerate(let_in[first:], 1):
            assert last <= burst + (until - since) * per_second + 0.5 + 1e-6 * last


def test_a_steady_caller_within_its_rate_is_never_refused() -> None:
    rates = CallerRates(per_second=3, burst=1)
    assert all(is_let_in(rates, "a", 1e6 + number / 3) for number in range(10_000))


def test_the_buckets_are_bounded_and_a_caller_that_goes_on_asking_keeps_its_own() -> None:
    rates = CallerRates(per_second=1, burst=1, callers_max=2)
    assert [is_let_in(rates, caller, 0.0) for caller in ("noisy", "b", "noisy", "c", "noisy")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert len(rates._full_at) == 2
    assert is_let_in(rates, "b", 0.0)
    rates.owe("d", 5, 0.0)
    assert len(rates._full_at) == 2


# ---- the tenant's second


def test_a_tenants_count_begins_anew_in_a_newer_second_and_never_in_an_older_one() -> None:
    rates = TenantRates(2)
    assert [is_let_in(rates, "acme", at) for at in (5.0, 5.9, 5.99)] == [True, True, False]
    assert [is_let_in(rates, "acme", at) for at in (4.9, 5.99)] == [False, False]
    assert [is_let_in(rates, "acme", at) for at in (6.0, 5.9, 6.1)] == [True, True, False]


def test_a_late_list_takes_no_other_tenants_count_back() -> None:
    house = House(tenant_rate_per_second=3)

    async def others_ask_a_second_later() -> None:
        house.clock.seconds += 1
        assert [(await house.acall("POST", CHECK, {})).status for _ in range(4)] == [200, 200, 200, 429]

    late = house.post(CHECK, {"checks": [{}] * 2}, meanwhile=others_ask_a_second_later)
    assert (late.status, late.json["violated-policies"]) == (429, ["tenant"])
    assert statuses(house, 1) == [429]


def test_what_comes_a_second_after_its_request_began_counts_in_the_second_in_which_it_is_there() -> None:
    house = House(tenant_rate_per_second=3, webhooks={"billing": Sender((b"b" * 24,), None)})

    async def a_second_passes() -> None:
        house.clock.seconds += 1

    assert house.post(CHECK, {"checks": [{}] * 3}, meanwhile=a_second_passes).status == 200
    assert statuses(house, 2) == [200, 429]
    assert webhook(house, 1, meanwhile=a_second_passes).status == 200
    assert statuses(house, 3) == [200, 200, 429]


USED = {"operation": "consume", "quota": "api_calls", "amount": 1}
LISTS = {
    "check": {"checks": [{}] * 4},
    "usage": {"items": [{**USED, "request_id": f"r{each}"} for each in range(4)]},
    "signals": {"signals": [{"metric": "cpu_utilization", "value": 1}] * 4},
}


@pytest.mark.parametrize("room", LISTS)
def test_a_list_longer_than_the_tenants_rate_is_let_in_as_the_first_of_its_second_and_only_then(room: str) -> None:
    house, path = House(tenant_rate_per_second=2), f"/v1/tenants/acme/{room}"
    assert [house.post(path, LISTS[room]).status for _ in range(2)] == [200, 429]
    assert statuses(house, 1) == [429]
    house.clock.seconds += 1
    assert statuses(house, 1) == [200]
    assert house.post(path, LISTS[room]).status == 429
    house.clock.seconds += 1
    assert house.post(path, LISTS[room]).status == 200


def test_a_list_that_was_first_is_let_in_though_others_ask_before_it_is_read() -> None:
    house = House(tenant_rate_per_second=2)

    async def another_list_is_sent() -> None:
        assert (await house.acall("POST", CHECK, {"checks": [{}] * 4})).status == 429

    assert house.post(CHECK, {"checks": [{}] * 4}, meanwhile=another_list_is_sent).status == 200


# ---- who is counted, and what


def test_what_the_role_does_not_allow_is_counted_and_needs_no_look_at_the_body() -> None:
    house = house_of()
    answers = [house.post("/marketplace", b"{", token="viewer") for _ in range(4)]
    assert [answer.status for answer in answers] == [403, 403, 403, 429]
    assert house.ear.requests[-1].caller == TOKENS["viewer"].subject


def test_calls_without_a_tenant_are_counted_and_those_without_a_caller_are_not() -> None:
    house = house_of()
    assert [house.get("/v1/tenants").status for _ in range(4)] == [200, 200, 200, 429]
    assert house.get("/metrics").status == 429
    assert [house.get("/health", token=None).status for _ in range(9)] == [200] * 9
    assert statuses(house, 9, token="forged") == [401] * 9
    assert statuses(house, 9, token=None) == [401] * 9


def test_a_command_over_the_rate_is_not_decided_and_its_key_is_still_free() -> None:
    house = house_of()
    key = {"Idempotency-Key": "k"}
    statuses(house, 3)
    assert house.post("/marketplace", VERIFY, headers=key).status == 429
    assert house.corridor.submissions == []
    house.clock.seconds += 1
    answer = house.post("/marketplace", VERIFY, headers=key)
    assert (answer.status, "idempotent-replayed" in answer.headers) == (200, False)


def webhook(house: House, number: int, **given: Any) -> Response:
    body = json.dumps(VERIFY).encode()
    sign = Webhook(base64.b64encode(b"b" * 24).decode()).sign(f"msg_{number}", NOW, body.decode())
    signed = {"webhook-id": f"msg_{number}", "webhook-timestamp": str(int(NOW.timestamp()))}
    headers = {**signed, "webhook-signature": sign}
    return house.post("/marketplace", body, token=None, headers=headers, **given)


def test_a_source_of_webhooks_has_a_rate_of_its_own() -> None:
    house = house_of(webhooks={"billing": Sender((b"b" * 24,), None)})
    answers = [webhook(house, number) for number in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    refused(answers[-1], 1)


def test_a_webhook_is_judged_when_its_body_is_there_and_not_when_it_began() -> None:
    house = house_of(webhooks={"billing": Sender((b"b" * 24,), None)})

    async def half_a_second_passes() -> None:
        house.clock.seconds += 0.5

    assert [webhook(house, number).status for number in range(3)] == [200] * 3
    assert webhook(house, 3, meanwhile=half_a_second_passes).status == 200
    assert webhook(house, 4).status == 429


class PushTokens(TokenTable):
    async def verify(self, token: str) -> Caller:
        if token == "google":
            return Caller(TOKENS["admin"].subject, frozenset({"integration"}), None, rated=False)
        return await super().verify(token)


def test_a_push_subscription_is_not_held_to_a_rate_and_whoever_else_pushes_is() -> None:
    house = house_of(push_verifier=PushTokens())
    pushed = [house.post("/pubsub", envelope([VERIFY] * 2), token="google").status for _ in range(9)]
    assert pushed == [200] * 9
    # A token of the same subject has lost nothing by it.
    pushed = [house.post("/pubsub", envelope([VERIFY] * 3), token="admin").status for _ in range(2)]
    assert pushed == [200, 429]


@pytest.mark.parametrize(
    "list_of", [[VERIFY] * 3, [{"tenant_id": "acme", "metric": "cpu_utilization", "value": 1}] * 3, [VERIFY]]
)
def test_a_push_costs_its_caller_as_many_as_it_has_items(list_of: list[dict[str, Any]]) -> None:
    house = house_of(caller_burst=10)
    for _ in range(9 // len(list_of)):
        assert house.post("/pubsub", envelope(list_of)).status == 200
    assert statuses(house, 2) == [200, 429]


def test_a_caller_that_begins_too_many_ledgers_is_told_of_that_bound() -> None:
    house, newcomers = House(new_ledgers_per_minute_max=1), Newcomers(1)
    newcomers.admit("admin", 12.0)
    with pytest.raises(Overloaded) as refused_by_the_corridor:
        newcomers.admit("admin", 12.0)
    house.corridor.raise_with["acme"] = refused_by_the_corridor.value
    over = house.post("/marketplace", VERIFY)
    assert (over.status, over.reason, over.headers["retry-after"]) == (429, "rate_limited", "48")
    assert over.headers["ratelimit-policy"] == '"new_ledgers";q=1;w=60'
    assert over.headers["ratelimit"] == '"new_ledgers";r=0;t=48'
    assert over.json["violated-policies"] == ["new_ledgers"]
    assert over.json["detail"] == "one caller may begin 1 ledgers a minute on this instance"
