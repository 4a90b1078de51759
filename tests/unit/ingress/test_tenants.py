"""/v1: lists and their cursors, receipts, erasures, plans files."""

import json

import pytest
from tests.unit.ingress.front import GRANT, POLICY, VERIFY, House

from tai_autonomics.application.queries import Committed
from tai_autonomics.domain.tenant import Erase
from tai_autonomics.ledger.records import Erased


def with_receipts(count: int, tenant: str = "acme") -> House:
    house = House()
    for index in range(count):
        house.post("/marketplace", {**VERIFY, "tenant_id": tenant, "metadata": {"n": index}})
    return house


def test_a_list_of_tenants_shows_only_those_in_reach() -> None:
    house = House()
    for tenant in ("zeta", "acme", "other"):
        house.post("/marketplace", {**GRANT, "tenant_id": tenant})
    every = house.get("/v1/tenants", token="viewer").json
    assert [item["tenant_id"] for item in every["items"]] == ["acme", "other", "zeta"]
    assert every["next"] is None
    assert [item["tenant_id"] for item in house.get("/v1/tenants", token="acme").json["items"]] == ["acme"]


def test_a_list_of_tenants_is_walked_by_its_cursor() -> None:
    house = House()
    for index in range(5):
        house.post("/marketplace", {**GRANT, "tenant_id": f"t{index}"})
    seen, path = [], "/v1/tenants?limit=2"
    while path:
        page = house.get(path).json
        seen += [item["tenant_id"] for item in page["items"]]
        path = f"/v1/tenants?limit=2&cursor={page['next']}" if page["next"] else ""
    assert seen == ["t0", "t1", "t2", "t3", "t4"]


def test_a_tenant_is_shown_as_of_its_last_receipt() -> None:
    shown = with_receipts(1).get("/v1/tenants/acme").json
    assert (shown["tenant_id"], shown["as_of"]["seq"]) == ("acme", 1)
    assert shown["entitlements"] == [{"entitlement_id": "ent_1", "status": "active", "plan": "professional"}]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tenants/none",
        "/v1/tenants/none/receipts/head",
        "/v1/tenants/none/receipts/1",
        "/v1/tenants/acme/receipts/2",
        "/v1/tenants/acme/receipts/0",
        "/v1/tenants/acme/receipts/x",
        "/v1/tenants/acme/receipts/" + "9" * 4999,
        "/v1/policies/" + "b" * 64,
        "/v1/policies/x",
        "/v1/tenants/acme/",
        "/v1/tenants/",
        "/v1",
        "/",
        "/marketplace/",
        "/problems/nothing",
        "/v1/tenants/acme/check/x",
    ],
)
def test_what_does_not_exist_is_not_found(path: str) -> None:
    response = with_receipts(1).get(path)
    assert (response.status, response.reason) == (404, "not_found")


def test_a_receipt_is_shown_with_its_stored_bytes_and_parts() -> None:
    house = with_receipts(2)
    receipt = house.corridor.ledgers["acme"][1]
    for path in ("/v1/tenants/acme/receipts/2", "/v1/tenants/acme/receipts/head"):
        response = house.get(path, token="auditor")
        assert response.headers["receipt-hash"] == receipt.hash
        assert receipt.body in response.body
        assert response.json["parts"] == {"metadata": {"salt": "02" * 32, "text": '{"n": 1}'}}


def test_an_erased_part_is_absent_while_its_commitment_stays() -> None:
    house = with_receipts(1)
    house.corridor.parts.clear()
    shown = house.get("/v1/tenants/acme/receipts/1").json
    assert "parts" not in shown
    assert "metadata" in shown["receipt"]["commits"]


def test_receipts_are_walked_in_order() -> None:
    house = with_receipts(5)
    seen, path = [], "/v1/tenants/acme/receipts?limit=2&after=1"
    while path:
        page = house.get(path).json
        seen += [item["receipt"]["seq"] for item in page["items"]]
        path = f"/v1/tenants/acme/receipts?limit=2&cursor={page['next']}" if page["next"] else ""
    assert seen == [2, 3, 4, 5]


def test_a_page_of_large_receipts_ends_early_and_goes_on() -> None:
    house = with_receipts(5)
    small = House(reply_bytes_max=1_000)
    small.corridor.ledgers, small.corridor.parts = house.corridor.ledgers, house.corridor.parts
    page = small.get("/v1/tenants/acme/receipts").json
    assert [item["receipt"]["seq"] for item in page["items"]] == [1]
    follow = small.get(f"/v1/tenants/acme/receipts?cursor={page['next']}").json
    assert [item["receipt"]["seq"] for item in follow["items"]] == [2]


def test_receipts_are_filtered() -> None:
    house = with_receipts(2)
    assert len(house.get("/v1/tenants/acme/receipts?type=transition&subject=ent_1").json["items"]) == 2
    assert house.get("/v1/tenants/acme/receipts?type=refusal").json == {"items": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        "type=nonsense",
        "subject=",
        "subject=" + "x" * 161,
        "subject=a%00b",
        "after=x",
        "after=-1",
        "after=99999999999999999",
        "after=1&cursor=cmVjZWlwdHMvYWNtZQox",
        "cursor=dGVuYW50cwph",
        "limit=0",
        "typ=refusal",
    ],
)
def test_a_query_that_is_not_understood_is_refused(query: str) -> None:
    response = with_receipts(1).get(f"/v1/tenants/acme/receipts?{query}")
    assert (response.status, response.reason) == (400, "malformed_request")


@pytest.mark.parametrize("path", ["/v1/tenants/acme?x=1", "/v1/tenants/acme/receipts/1?x=1"])
def test_a_query_where_none_is_known_is_refused(path: str) -> None:
    assert with_receipts(1).get(path).status == 400


def test_a_path_with_no_tenant_id_in_it_is_refused() -> None:
    response = House().get("/v1/tenants/no spaces")
    assert (response.status, response.reason) == (400, "invalid_tenant_id")


def test_a_tenant_out_of_reach_is_the_same_answer_whether_it_exists_or_not() -> None:
    house = with_receipts(1)
    answers = [house.get(f"/v1/tenants/{tenant}", token="other") for tenant in ("acme", "nobody-has-this")]
    assert [answer.status for answer in answers] == [403, 403]
    assert {answer.json["detail"] for answer in answers} == {"this credential does not reach the tenant"}


def test_a_plans_file_is_shown_as_it_was_read() -> None:
    response = House().get(f"/v1/policies/{POLICY}", token="nobody")
    assert (response.status, response.body, response.headers["content-type"]) == (
        200,
        b"plans: {}\n",
        "application/yaml",
    )


@pytest.mark.parametrize(("clean", "journal"), [(True, "clean"), (False, "pending")])
def test_an_erasure_says_whether_the_journal_is_clean(clean: bool, journal: str) -> None:
    house = with_receipts(1)
    house.journal = clean
    response = house.post("/v1/tenants/acme/erasures", {"seq": 1, "part": "metadata", "reason": "asked to"})
    assert (response.status, response.json["journal"]) == (200, journal)
    assert response.json["receipt"]["seq"] == 2
    assert json.loads(response.json["parts"]["reason"]["text"]) == "asked to"
    first = house.get("/v1/tenants/acme/receipts/1").json
    assert house.noted == [Erased("acme", 1, first["hash"], "metadata")]
    made_at = first["receipt"]["time"]
    assert house.corridor.submissions[-1].command == Erase(1, "metadata", made_at=made_at)


def test_an_erasure_that_is_repeated_is_replayed_though_the_part_is_gone() -> None:
    house = with_receipts(1)
    body = {"seq": 1, "part": "metadata", "request_id": "k"}
    first = house.post("/v1/tenants/acme/erasures", body)
    house.corridor.parts.clear()
    second = house.post("/v1/tenants/acme/erasures", body)
    assert (second.body, second.headers["idempotent-replayed"]) == (first.body, "true")


def test_a_part_of_an_archived_receipt_can_be_erased() -> None:
    house = with_receipts(1)
    house.queries.archived["acme", 1] = Committed("a" * 64, ("metadata",), None)
    response = house.post("/v1/tenants/acme/erasures", {"seq": 1, "part": "metadata"})
    assert response.status == 200
    assert house.noted == [Erased("acme", 1, "a" * 64, "metadata")]
    assert house.post("/v1/tenants/acme/erasures", {"seq": 1, "part": "reason"}).status == 404


@pytest.mark.parametrize("body", [{"seq": 2, "part": "metadata"}, {"seq": 1, "part": "reason"}])
def test_what_was_never_committed_to_cannot_be_erased(body: dict[str, object]) -> None:
    house = with_receipts(1)
    response = house.post("/v1/tenants/acme/erasures", body)
    assert (response.status, response.reason) == (404, "not_found")
    assert len(house.corridor.submissions) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"part": "metadata"}, "/seq"),
        ({"seq": 0, "part": "metadata"}, "/seq"),
        ({"seq": 2**53, "part": "metadata"}, "/seq"),
        ({"seq": "1", "part": "metadata"}, "/seq"),
        ({"seq": 1, "part": "metadata", "more": 1}, "/more"),
    ],
)
def test_an_erasure_that_is_not_understood_is_refused(body: dict[str, object], pointer: str) -> None:
    response = with_receipts(1).post("/v1/tenants/acme/erasures", body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, pointer)


def test_a_refused_erasure_is_a_problem_without_a_journal() -> None:
    house = with_receipts(1)
    house.corridor.refuse_with["acme"] = {"reason": "compliance_closed"}
    response = house.post("/v1/tenants/acme/erasures", {"seq": 1, "part": "metadata"})
    assert (response.status, "journal" in response.json) == (403, False)
    assert house.noted == []


@pytest.mark.parametrize("rest", ["", "/receipts", "/receipts/head", "/receipts/1"])
def test_the_fleets_ledger_is_read_by_whoever_reaches_every_tenant(rest: str) -> None:
    house = with_receipts(1)
    house.corridor.ledgers["~fleet"] = house.corridor.ledgers["acme"]
    assert house.get(f"/v1/tenants/~fleet{rest}", token="viewer").status == 200
    assert house.get(f"/v1/tenants/~fleet{rest}", token="acme").reason == "tenant_forbidden"
    assert house.get(f"/v1/tenants/~other{rest}", token="viewer").reason == "invalid_tenant_id"


@pytest.mark.parametrize("path", ["check", "usage", "signals", "erasures", "governor/pause", "actions/a/cancel"])
def test_nobody_asks_anything_of_the_fleet_in_its_name(path: str) -> None:
    house = House()
    assert house.post(f"/v1/tenants/~fleet/{path}", {}).reason == "invalid_tenant_id"
    assert house.corridor.submissions == []
