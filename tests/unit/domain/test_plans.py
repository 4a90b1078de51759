from tests.builders import BIG, CALLS, ENT, FREE, LEGACY, NOW, PRO, plan, plans

from tai_autonomics.domain.decider import name_of
from tai_autonomics.domain.entitlement import ApplyPlanChange, Verify
from tai_autonomics.domain.plans import highest, is_offered, offered, retired, shown
from tai_autonomics.domain.quota import Consume


def test_a_retired_plan_is_known_and_not_offered() -> None:
    assert is_offered(plans(), PRO)
    assert not is_offered(plans(), LEGACY)
    assert not is_offered(plans(), "gold")
    assert retired(plans()) == (LEGACY,)


def test_plans_are_offered_by_rank() -> None:
    assert [each.name for each in offered(plans())] == [FREE, PRO, BIG]


def test_the_highest_rank_wins_and_unknown_plans_are_passed_over() -> None:
    assert highest([FREE, "gone", BIG, PRO], plans()) == plans().plans[BIG]
    assert highest(["gone"], plans()) is None
    assert highest([], plans()) is None


def test_an_offered_plan_wins_over_a_retired_one_of_its_rank() -> None:
    old, new, other = plan("zz", rank=20, retired=True), plan("new", rank=20), plan("aa", rank=20, retired=True)
    in_force = plans(old, new, other)
    assert highest(["zz", "new", "aa"], in_force) == new
    assert highest(["new", "zz"], in_force) == new
    assert highest(["zz", "aa"], in_force) == highest(["aa", "zz"], in_force) == old


def test_at_most_ten_names_are_shown() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown([f"p{n}" for n in range(10)]) == "p0, p1, p2, p3, p4, p5, p6, p7, p8, p9"
    assert shown([f"p{n}" for n in range(12)]) == "p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 2 more"


def test_a_command_is_named_in_snake_case() -> None:
    assert name_of(Verify(ENT)) == "verify"
    assert name_of(Consume(CALLS, 1)) == "consume"
    assert name_of(ApplyPlanChange(ENT, NOW)) == "apply_plan_change"
