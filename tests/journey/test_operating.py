"""An operator's command line over the loop: what waits, who approves it, what became of it, hands off, and why."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.engines.ports import free_port
from tests.journey.callers import token
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.test_command_line import documents, tai

pytestmark = pytest.mark.embedded

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
SECONDS_MAX: Final = 60
PLANS: Final = """
plans:
  free:
    rank: 10
    governor:
      breaker: {failures: 1}
      budget: {max: 5, per: 1h}
      rules:
        - name: cpu-high
          signal: cpu
          over: 1 samples
          act_when: window.avg > 80.0
          clear_when: window.avg < 50.0
          cooldown: 1s
          action: webhook
          with: {url: '%s'}
          mode: approve
          approval: {within: 1h, people: 2}
          attempts: 1
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Its rule's webhook leads to where nobody listens."""
    plans = tmp_path / "plans.yaml"
    plans.write_text(PLANS % f"http://127.0.0.1:{free_port()}/")
    environ = {
        "PLANS_FILE": str(plans),
        "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}",
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
        "TAI_TIMER_POLL_SECONDS": "0.2",
    }
    with Service(tmp_path / "data", environ=environ) as running:
        yield running


def in_store(service: Service) -> tuple[str, ...]:
    return ("--data-dir", str(service.data_dir))


def as_person(service: Service, name: str) -> tuple[str, ...]:
    file = service.data_dir / f"{name}.token"
    file.write_text(token(service, "operator", subject=name))
    return ("--url", service.url, "--token-file", str(file))


def signal(service: Service, value: int) -> None:
    with service.client() as client:
        client.post("/v1/tenants/acme/signals", json={"metric": "cpu", "value": value}).raise_for_status()


def asked_for(service: Service) -> str:
    """A rule acts; the id of the action that waits for approval."""
    grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "free", "request_id": "g"}
    with service.client() as client:
        client.post("/marketplace", json=grant).raise_for_status()
    signal(service, 91)
    (waiting,) = documents(tai("actions", "list", "--json", *in_store(service)))
    assert (waiting["state"], waiting["rule"], waiting["value"]) == ("awaiting_approval", "cpu-high", "91")
    action_id: str = waiting["action_id"]
    return action_id


def until(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := read()):
        assert time.monotonic() < deadline
    return found


def test_two_people_approve_and_what_became_of_it_is_listed_and_shown(service: Service) -> None:
    action, store = asked_for(service), in_store(service)
    first = tai("actions", "approve", "acme", action, "--reason", "peak", *as_person(service, "anna"))
    assert (first.returncode, first.stderr) == (0, "")
    assert f"anna approved the action {action} at " in first.stdout
    assert "1 of 2 approvals are there." in first.stdout
    again = tai("actions", "approve", "acme", action, *as_person(service, "anna"))
    assert again.returncode == 1
    assert "refused   invalid_transition: anna has approved it already." in again.stdout
    (waiting,) = documents(tai("actions", "list", "-t", "acme", "--status", "awaiting_approval", "--json", *store))
    assert waiting["approved_by"] == ["anna"]
    (decided,) = documents(tai("actions", "approve", "acme", action, "--json", *as_person(service, "bob")))
    assert decided["receipt"]["events"][0]["by"] == "bob"
    (settled,) = until(
        lambda: documents(tai("actions", "list", "-t", "acme", "--status", "failed", "--json", *store)),
    )
    assert (settled["action_id"], settled["attempts"]) == (action, 1)
    assert documents(tai("actions", "list", "-t", "acme", "--status", "succeeded", "--json", *store)) == []
    (shown,) = documents(tai("actions", "show", "acme", action, "--json", *store))
    assert [each["event"]["type"] for each in shown["history"]] == [
        "ActionRequested",
        "ActionApproved",
        "ActionApproved",
        "ActionAttempted",
        "AttemptEnded",
        "ActionSettled",
    ]
    assert (shown["approved_by"], shown["state"]) == (["anna", "bob"], "failed")
    over = tai("actions", "cancel", "acme", action, *as_person(service, "anna"))
    assert over.returncode == 1
    assert f"the action {action} is not in flight" in over.stdout


def test_the_store_and_the_service_show_the_same(service: Service) -> None:
    def shown(*place: str) -> list[list[dict[str, Any]]]:
        """But for the moment that it is as of, and what ends between two of them."""
        found = [
            documents(tai(*asked, "--json", *place))
            for asked in (
                ("governor", "show", "acme"),
                ("actions", "list"),
                ("actions", "list", "-t", "acme"),
                ("actions", "list", "-t", "acme", "--status", "cancelled"),
                ("actions", "show", "acme", action),
            )
        ]
        found[0][0]["as_of"].pop("time")
        found[0][0]["governor"]["rules"][0].pop("cooldown_until", None)
        return found

    action = asked_for(service)
    anna = as_person(service, "anna")
    assert shown(*in_store(service)) == shown(*anna)
    assert tai("actions", "approve", "acme", action, *anna).returncode == 0
    assert tai("actions", "cancel", "acme", action, *anna).returncode == 0
    settled = shown(*anna)
    assert [each["state"] for each in settled[3]] == ["cancelled"]
    assert settled[4][0]["approved_by"] == ["anna"]
    assert shown(*in_store(service)) == settled


def test_hands_off_and_on_again_as_the_governor_shows(service: Service) -> None:
    action, store, anna = asked_for(service), in_store(service), as_person(service, "anna")
    (before,) = documents(tai("governor", "show", "acme", "--json", *store))
    assert (before["governor"]["state"], before["action"]["action_id"]) == ("intervening", action)
    assert tai("governor", "pause", "acme", *anna).returncode == 0
    assert tai("governor", "pause", "acme", *anna).returncode == 1
    paused = tai("governor", "show", "acme", *store)
    assert "governor     refusing, since " in paused.stdout
    assert "cause        pause, since " in paused.stdout
    assert "rule         cpu-high: acted, mode approve" in paused.stdout
    assert tai("actions", "deny", "acme", action, *anna).returncode == 0
    assert tai("governor", "resume", "acme", *anna).returncode == 0
    (after,) = documents(tai("governor", "show", "acme", "--json", *store))
    assert (after["governor"]["state"], after["governor"]["causes"]) == ("stable", [])
    assert "action" not in after


def test_without_a_service_the_store_is_told_and_beside_one_it_is_not(service: Service) -> None:
    action, store = asked_for(service), in_store(service)
    beside = tai("governor", "pause", "acme", *store)
    assert beside.returncode == 69
    assert "(--url URL --token-file FILE)" in beside.stderr
    service.stop()
    plans = {"PLANS_FILE": str(service.data_dir.parent / "plans.yaml")}
    for arguments in (("governor", "pause", "acme"), ("actions", "cancel", "acme", action)):
        done = tai(*arguments, "--reason", "night", *store, **plans)
        assert (done.returncode, done.stderr) == (0, "")
    assert tai("actions", "deny", "acme", action, *store, **plans).returncode == 1
    (settled,) = documents(tai("actions", "list", "-t", "acme", "--json", *store))
    assert (settled["state"], settled["by"]) == ("cancelled", "command-line")
    assert tai("receipts", "verify", *store).returncode == 0


def test_every_receipt_of_a_day_is_explained_from_the_store_the_service_and_an_export(
    service: Service, tmp_path: Path
) -> None:
    action, anna = asked_for(service), as_person(service, "anna")
    for name in ("anna", "bob"):
        tai("actions", "approve", "acme", action, *as_person(service, name))
    until(lambda: documents(tai("actions", "list", "-t", "acme", "--status", "failed", "--json", *in_store(service))))
    signal(service, 95)
    tai("actions", "cancel", "acme", action, *anna)
    file = tmp_path / "all.jsonl"
    lines = exported(service.data_dir)
    file.write_bytes(b"".join(lines))
    types = {json.loads(line)["receipt"]["type"] for line in lines}
    assert types == {"transition", "refusal", "action_attempt", "action_result"}
    for seq in range(1, len(lines) + 1):
        told = [
            tai("receipts", "explain", "acme", str(seq), *place)
            for place in (in_store(service), ("--file", str(file)), anna)
        ]
        assert [(each.returncode, each.stderr) for each in told] == [(0, "")] * 3
        assert told[0].stdout == told[1].stdout == told[2].stdout
    withheld = tai("receipts", "explain", "acme", str(len(lines) - 1), "--file", str(file))
    assert "It does not act, because the governor is refusing (governor_refusing)." in withheld.stdout
