"""Retention: nothing is erased or archived before its time, whoever asks; a hold forbids it after that too."""

import pytest
from msgspec.structs import replace
from tests.builders import BIG, ENT, FREE, NOW, PRO, after, in_service, plan, plans
from tests.given_when_then import Given, given

from tai_autonomics.domain.compliance import PlaceHold
from tai_autonomics.domain.entitlement import Revoke
from tai_autonomics.domain.moments import LAST, Moment
from tai_autonomics.domain.plans import Plans, Retention, retention_of
from tai_autonomics.domain.tenant import Archive, Command, Erase, LedgerArchived, PartErased

DAY = 86_400
NONE, PLAN, FILE = Retention(), Retention(400 * DAY, 30 * DAY), Retention(90 * DAY, 60 * DAY)


def kept(least: Retention = NONE) -> Plans:
    every = plans(plan(FREE, rank=10), replace(plan(PRO), retention=PLAN), plan(BIG, rank=30))
    return replace(every, retention=least)


PRESENT = given(*in_service()).under(kept())


def archive(made_at: Moment = NOW) -> Archive:
    return Archive("01J", 1, 17, "ab", "cd", "ef", made_at)


@pytest.mark.parametrize(("command", "days"), [(Erase(3, "reason", made_at=NOW), 30), (archive(), 400)])
def test_what_is_kept_is_refused_until_its_date_and_is_free_from_then_on(command: Command, days: int) -> None:
    end = after(days * DAY)
    before = PRESENT.when(command, at=after(days * DAY - 0.000001))
    refused = before.then_refused("compliance_closed")
    assert refused.detail == f"compliance is closed for erasure: retention keeps it until {end}"
    assert refused.next_step == f"wait until {end}"
    assert before.decision.gates[0].evidence == {"concern": "erasure", "holds": [], "kept_until": end}
    free = PRESENT.when(command, at=end)
    assert len(free.events) == 1
    assert free.decision.gates[0].evidence == {"concern": "erasure", "holds": [], "kept_until": end}


def held(before: Given) -> Given:
    return before.when(PlaceHold("erasure", "urn:case:1", "olga")).and_then


@pytest.mark.parametrize("command", [Erase(3, "reason", made_at=NOW), archive()])
def test_a_hold_forbids_it_also_when_retention_is_over_and_both_are_named_before(command: Command) -> None:
    over = held(PRESENT).when(command, at=after(400 * DAY)).then_refused("compliance_closed")
    assert over.next_step == "release what holds it"
    both = held(PRESENT).when(command).then_refused("compliance_closed")
    assert "holds are on" in both.detail
    assert "retention keeps it until" in both.detail


def test_without_a_retention_nothing_is_kept_and_the_gate_says_what_it_said() -> None:
    erased = given(*in_service()).when(Erase(3, "reason", made_at=NOW))
    erased.then(PartErased(3, "reason"))
    assert erased.decision.gates[0].evidence == {"concern": "erasure", "holds": []}
    given(*in_service()).when(archive()).then(LedgerArchived(1, 17, "ab", "cd", "ef"))


def test_a_part_whose_receipt_is_archived_and_one_that_a_backup_brought_back_are_not_kept() -> None:
    PRESENT.when(Erase(3, "reason")).then(PartErased(3, "reason"))
    again = PRESENT.when(Erase(3, "reason", again=True, made_at=NOW))
    again.then(PartErased(3, "reason"))
    assert again.decision.gates == ()


def test_the_files_retention_is_the_least_also_for_a_tenant_without_a_plan() -> None:
    files = kept(least=FILE)
    assert retention_of(files.plans[PRO], files) == Retention(400 * DAY, 60 * DAY)
    assert retention_of(files.plans[FREE], files) == FILE
    assert retention_of(None, files) == FILE
    long = kept(least=Retention(900 * DAY, DAY))
    assert retention_of(long.plans[PRO], long) == Retention(900 * DAY, 30 * DAY)
    gone = PRESENT.when(Revoke(ENT)).and_then
    gone.when(Erase(3, "reason", made_at=NOW)).then(PartErased(3, "reason"))
    refused = gone.under(files).when(Erase(3, "reason", made_at=NOW)).then_refused("compliance_closed")
    assert refused.next_step == f"wait until {after(60 * DAY)}"


def test_a_retention_beyond_the_calendar_keeps_to_its_end() -> None:
    refused = PRESENT.when(archive(LAST)).then_refused("compliance_closed")
    assert refused.next_step == f"wait until {LAST}"
