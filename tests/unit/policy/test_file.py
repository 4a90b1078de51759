"""What a plans file may say, and that every mistake in it is found with its line."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.domain.plans import COUNT_MAX, Plan, Plans, Quota, Retention
from tai_autonomics.errors import InvalidPlans
from tai_autonomics.policy.file import FILE_BYTES_MAX, carry_over, load, shipped

ONE = "plans: {free: {rank: 1}}\n"


def problems(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidPlans) as caught:
        load(text.encode() if isinstance(text, str) else text, name="plans.yaml")
    return caught.value.problems


def in_quota(quota: str) -> tuple[str, ...]:
    return problems(f"plans:\n  free:\n    rank: 1\n    quotas:\n      calls: {quota}\n")


# what is read


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{receipts: 23h}", "receipts must be a duration from 1d to 36500d"),
        ("{receipts: 36501d}", "receipts must be a duration from 1d to 36500d"),
        ("{receipts: forever}", "receipts must be a duration from 1d to 36500d"),
        ("{parts: 1d}", "parts are kept for longer than receipts: keep receipts as long"),
        ("{receipts: 30d, parts: 31d}", "parts are kept for longer than receipts: keep receipts as long"),
        ("{logs: 30d}", "unknown key 'logs'"),
        ("30d", "must be a mapping"),
    ],
)
def test_a_retention_that_cannot_be_meant_is_refused_in_a_plan_and_for_all(section: str, says: str) -> None:
    (of_all,) = problems(f"{ONE}retention: {section}\n")
    (of_plan,) = problems(f"plans:\n  free:\n    rank: 1\n    retention: {section}\n")
    assert of_all.startswith("plans.yaml:2: retention")
    assert of_plan.startswith("plans.yaml:4: plan free: retention")
    assert says in of_all
    assert says in of_plan


def test_a_file_is_read_whole() -> None:
    text = b"""
plans:
  free:
    rank: 10
  pro:
    rank: 20
    features: [export, audit]
    on_stale: deny
    requires: [dpa_signed, soc2]
    retention: {receipts: 400d, parts: 30d}
    quotas:
      calls: {limit: 100000, per: day, kind: hard, thresholds: [80, 100]}
      seats: {limit: unlimited, per: lifetime, kind: soft}
retired:
  old: {rank: 20}
retention: {receipts: 90d}
"""
    calls, seats = Quota("calls", 100_000, "day", "hard", (80, 100)), Quota("seats", None, "lifetime", "soft")
    assert load(text, name="plans.yaml") == Plans(
        sha256(text).hexdigest(),
        {
            "free": Plan("free", 10, frozenset(), {}),
            "pro": Plan(
                "pro",
                20,
                frozenset({"export", "audit"}),
                {"calls": calls, "seats": seats},
                "deny",
                requires=("dpa_signed", "soc2"),
                retention=Retention(400 * 86_400, 30 * 86_400),
            ),
            "old": Plan("old", 20, frozenset(), {}, retired=True),
        },
        retention=Retention(90 * 86_400),
    )


def test_the_shipped_file_offers_three_plans() -> None:
    plans = load(shipped(), name="plans.yaml").plans
    assert sorted((plan.rank, plan.name) for plan in plans.values()) == [
        (10, "free"),
        (20, "professional"),
        (30, "enterprise"),
    ]
    assert not any(plan.retired for plan in plans.values())
    assert plans["professional"].quotas["api_calls"] == Quota("api_calls", 100_000, "day", "hard", (80, 100))


@pytest.mark.parametrize(
    "text", ['{"plans": {"free": {"rank": 1}}}', "\ufeff" + ONE, "---\n" + ONE + "...\n", "# x\r\n" + ONE]
)
def test_json_a_byte_order_mark_and_document_marks_are_fine(text: str) -> None:
    assert load(text.encode(), name="x").plans == {"free": Plan("free", 1, frozenset(), {})}


@pytest.mark.parametrize("number", [0, 1, COUNT_MAX])
def test_a_limit_is_a_count_that_a_receipt_can_hold(number: int) -> None:
    text = f"plans: {{a: {{rank: {number}, quotas: {{q: {{limit: {number}, per: day, kind: soft}}}}}}}}"
    plan = load(text.encode(), name="x").plans["a"]
    assert (plan.rank, plan.quotas["q"].limit) == (number, number)


# what is refused, as a whole


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1: a plans file is a mapping that begins with plans:"),
        ("[1]", "1: a plans file is a mapping that begins with plans:"),
        ("plans: [", "1: not YAML: expected the node content, but found '<stream end>'"),
        ("\n\tplans: 1", "2: not YAML: found character '\\t' that cannot start any token"),
        ("plans: {}\n---\nplans: {}", "2: a second document"),
        (b"plans:\n \xff", "2: not UTF-8"),
        ("plans:\n  \x00", "2: a character that YAML does not allow: U+0000"),
        (ONE + "x" * FILE_BYTES_MAX, f"1: the file is larger than {FILE_BYTES_MAX} bytes"),
        ("plans: " + "[" * 100_000, "1: nested deeper than 8"),
        ("\nplans: {a: &a {rank: 1}}", "2: anchors and aliases are not read: write it out"),
        ("plans:\n  a: *b", "2: anchors and aliases are not read: write it out"),
        ("plans: {a: !!map {rank: 1}}", "1: tags are not read: 'tag:yaml.org,2002:map'"),
        ("plans: {a: {rank: ! 1}}", "1: tags are not read: '!'"),
        (
            "plans: {a: !!python/object/apply:os.system {rank: 1}}",
            "1: tags are not read: 'tag:yaml.org,2002:python/object/apply:os…'",
        ),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str | bytes, problem: str) -> None:
    assert problems(text) == (f"plans.yaml:{problem}",)


def test_a_billion_laughs_are_refused_before_they_are_built() -> None:
    text = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert all("anchors and aliases are not read" in problem for problem in problems(text))


# what is refused, at its line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1", "1: the file: plans is missing"),
        (ONE + "requires: [a]", "2: the file: unknown key 'requires': known are plans, retired, fleet, retention"),
        ("plans: {a: {rank: 1, requires: dpa}}", "1: plan a: requires must be a list, not 'dpa' (str)"),
        ("plans: {a: {rank: 1, requires: [dpa, dpa]}}", "1: plan a: requires: dpa is listed twice"),
        (
            f"plans: {{a: {{rank: 1, requires: [{', '.join(f'c{each}' for each in range(17))}]}}}}",
            "1: plan a: requires: more than 16",
        ),
        (ONE + "limits: 1", "2: the file: unknown key 'limits': known are plans, retired, fleet, retention"),
        (ONE + ONE, "2: the file: 'plans' is there twice, first in line 1"),
        (ONE + "? [x]\n: 1", "2: the file: a key must be a string, not a list: quote it"),
        ("plans: {}", "1: plans must hold at least one plan"),
        ("plans:\n", "1: plans must be a mapping, not nothing"),
        ("plans: ''", "1: plans must be a mapping, not an empty string"),
        ("plans: {a: 1}", "1: plan a must be a mapping, not '1' (int)"),
        ("plans: {a: {}}", "1: plan a: rank is missing"),
        ("plans:\n  1: {rank: 1}", "2: plans: a key must be a string, not '1' (int): quote it"),
        ("plans:\n  on: {rank: 1}", "2: plans: a key must be a string, not 'on' (bool): quote it"),
        ("plans:\n  <<: {a: {rank: 1}}", "2: plans: a key must be a string, not '<<' (merge): quote it"),
        (
            "plans:\n  a/b: {rank: 1}",
            "2: plans: 'a/b': a name is 1 to 128 of A-Z a-z 0-9 . _ : @ - and starts with a letter or digit",
        ),
        ("plans:\n  a: {rank: 1}\n  a: {rank: 2}", "3: plans: 'a' is there twice, first in line 2"),
        ("plans:\n  a: {rank: 1}\n  b: {rank: 1}", "3: plan b: rank 1 is the rank of a too"),
        (ONE + "retired: {free: {rank: 9}}", "2: free is under plans and under retired: keep one of the two"),
        ("plans: {a: {rank: 1, on_stale: maybe}}", "1: plan a: on_stale must be one of allow, deny, not 'maybe' (str)"),
        ("plans: {a: {rank: 1, on_stale: yes}}", "1: plan a: on_stale must be one of allow, deny, not 'yes' (bool)"),
        ("plans: {a: {rank: 1, features: x}}", "1: plan a: features must be a list, not 'x' (str)"),
        ("plans: {a: {rank: 1, features: [x,\n x]}}", "2: plan a: features: x is listed twice"),
        (
            "plans: {a: {rank: 1, features: [true]}}",
            "1: plan a: features: a name must be a string, not 'true' (bool): quote it",
        ),
        (
            "plans: {a: {rank: 1, features: [{}]}}",
            "1: plan a: features: a name must be a string, not a mapping: quote it",
        ),
        ("plans: {a: {rank: 1, quotas: []}}", "1: plan a: quotas must be a mapping, not a list"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, problem: str) -> None:
    assert f"plans.yaml:{problem}" in problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "1.0",
        "1e3",
        "-1",
        "+1",
        "01",
        "0x10",
        "0b1",
        "1_000",
        "1:30",
        "~",
        "",
        "'1'",
        "[]",
        "9007199254740992",
        "9" * 5_000,
    ],
)
def test_a_number_is_whole_in_plain_digits(text: str) -> None:
    (problem,) = problems(f"plans: {{a: {{rank: {text}}}}}")
    assert problem.startswith(
        f"plans.yaml:1: plan a: rank must be a whole number from 0 to {COUNT_MAX} in plain digits, not "
    )
    assert len(problem) < 200


@pytest.mark.parametrize("text", ["true", "-1", "1.5", "none", "Unlimited", "null", "", "{}", str(COUNT_MAX + 1)])
def test_a_limit_is_a_whole_number_or_unlimited(text: str) -> None:
    (problem,) = in_quota(f"{{limit: {text}, per: day, kind: hard}}")
    assert problem.startswith("plans.yaml:5: plan free: quota calls: limit must be a whole number from 0 to ")
    assert " or unlimited, not " in problem


@pytest.mark.parametrize(
    ("quota", "problem"),
    [
        (
            "{limit: 1, per: week, kind: hard}",
            "per must be one of minute, hour, day, month, lifetime, not 'week' (str)",
        ),
        ("{limit: 1, per: day, kind: firm}", "kind must be one of hard, soft, not 'firm' (str)"),
        ("{per: day, kind: hard}", "limit is missing"),
        ("{limit: 1, per: day, kind: hard, burst: 3}", "unknown key 'burst': known are limit, per, kind, thresholds"),
        ("{limit: 1, per: day, kind: hard, thresholds: 80}", "thresholds must be a list, not '80' (int)"),
        (
            "{limit: 1, per: day, kind: hard, thresholds: [0]}",
            "thresholds: each must be a whole number from 1 to 1000 in plain digits, not '0' (int)",
        ),
        (
            "{limit: 1, per: day, kind: soft, thresholds: [1001]}",
            "thresholds: each must be a whole number from 1 to 1000 in plain digits, not '1001' (int)",
        ),
        (
            "{limit: 1, per: day, kind: hard, thresholds: [80, 50]}",
            "thresholds: 50 does not come after 80: write them once each, ascending",
        ),
        (
            "{limit: 1, per: day, kind: hard, thresholds: [80, 80]}",
            "thresholds: 80 does not come after 80: write them once each, ascending",
        ),
        (
            "{limit: 1, per: day, kind: hard, thresholds: [101]}",
            "threshold 101 can never be crossed: a hard quota refuses what goes over its limit",
        ),
        (
            "{limit: 0, per: day, kind: hard, thresholds: [100]}",
            "threshold 100 can never be crossed: nothing of the quota can be consumed",
        ),
        (
            "{limit: unlimited, per: day, kind: hard, thresholds: [80]}",
            "threshold 80 can never be crossed: the quota is unlimited",
        ),
        (
            f"{{limit: {COUNT_MAX}, per: day, kind: soft, thresholds: [100, 101]}}",
            f"threshold 101 can never be crossed: no count goes over {COUNT_MAX}",
        ),
        (f"{{limit: 1, per: day, kind: hard, thresholds: {list(range(1, 22))}}}", "thresholds: more than 20"),
    ],
)
def test_a_mistake_in_a_quota_is_named(quota: str, problem: str) -> None:
    place = "plans.yaml:5: plan free: quota calls: "
    assert in_quota(quota) == (place + problem,)


def test_a_soft_quota_may_watch_its_overage() -> None:
    text = b"plans: {a: {rank: 1, quotas: {q: {limit: 0, per: day, kind: soft, thresholds: [100, 1000]}}}}"
    assert load(text, name="x").plans["a"].quotas["q"].thresholds == (100, 1_000)


def test_every_mistake_is_found_at_once_in_the_order_of_lines() -> None:
    quotas = "    quotas: {q: {limit: -1, per: day, kind: hard}}\n"
    found = problems("plans:\n  a:\n    rank: x\n    features: [1]\n" + quotas + "  b: {}\nx: 1\n")
    assert [int(problem.split(":")[1]) for problem in found] == [3, 4, 5, 6, 7]


@given(st.binary(max_size=60) | st.text(alphabet="plans: {}[]\n-&*!'\"#|>?,rank1", max_size=60).map(str.encode))
def test_any_bytes_are_plans_or_problems_with_lines(text: bytes) -> None:
    found: tuple[str, ...] = ("f:1: nothing is wrong",)
    try:
        load(text, name="f")
    except InvalidPlans as error:
        found = error.problems
    assert found
    assert all(re.match(r"f:[1-9][0-9]*: .", problem) for problem in found)


# carrying plans over

PREVIOUS = b"""
plans:
  free: {rank: 1}
  silver: {rank: 5, features: [export], on_stale: deny, quotas: {q: {limit: unlimited, per: day, kind: soft}}}
retired:
  bronze:
    rank: 5
    requires: [dpa]
    retention: {receipts: 48h, parts: 1d}
    quotas: {q: {limit: 9, per: month, kind: hard, thresholds: [50, 100]}}
"""


def test_a_file_that_lacks_nothing_is_left_alone() -> None:
    assert carry_over(PREVIOUS, PREVIOUS) == PREVIOUS
    more = PREVIOUS + b"  iron: {rank: 0}\n"
    assert carry_over(more, PREVIOUS) == more


@pytest.mark.parametrize(
    "new",
    [
        "# ours\nplans:\n  gold: {rank: 5} # best\n",
        "plans:\n  gold: {rank: 5}",
        "plans: {gold: {rank: 5}}\n...\n",
        '{"plans": {"gold": {"rank": 5}}}',
        "{\n  plans: {gold: {rank: 5}},\n}\n",
        "  plans:\n      gold:\n        rank: 5\n",
        "---\nplans:\n  gold: {rank: 5}\nretired:\n  # long gone\n  iron: {rank: 0}\n",
        "retired: {iron: {rank: 0}}\nplans: {gold: {rank: 5}}\n",
        "plans: {gold: {rank: 5}}\nretired: {}\n",
        "plans: {gold: {rank: 5}}\nretired: {iron: {rank: 0},}\n",
        "\ufeffplans:\r\n  gold: {rank: 5}\r\n# ü\r\n",
        "? plans\n: {gold: {rank: 5}}\n",
    ],
)
def test_what_the_new_file_lacks_is_carried_over_as_retired(new: str) -> None:
    before, old = load(new.encode(), name="new"), load(PREVIOUS, name="previous")
    text = carry_over(new.encode(), PREVIOUS)
    after = load(text, name="carried")
    lacked = {
        name: Plan(
            plan.name,
            plan.rank,
            plan.features,
            plan.quotas,
            plan.on_stale,
            retired=True,
            requires=plan.requires,
            retention=plan.retention,
        )
        for name, plan in old.plans.items()
    }
    assert after.plans == {**before.plans, **lacked}
    assert after.digest != before.digest
    assert carry_over(text, PREVIOUS) == text
    assert text.replace(b"\n", b"").count(b"gold") == 1


def test_a_plan_that_is_offered_again_is_not_carried_over() -> None:
    new = b"plans: {free: {rank: 1}, silver: {rank: 2}, bronze: {rank: 3}}"
    assert carry_over(new, PREVIOUS) == new


def test_a_carried_file_keeps_its_comments() -> None:
    carried = carry_over(b"# ours\nplans:\n  gold: {rank: 5} # best\n", b"plans: {free: {rank: 1}}")
    assert carried.decode() == (
        "# ours\n"
        '"retired": {"free": {"rank": 1, "features": [], "quotas": {}, "on_stale": "allow"}}\n'
        "plans:\n"
        "  gold: {rank: 5} # best\n"
    )


def test_a_bad_file_is_not_carried_over() -> None:
    with pytest.raises(InvalidPlans, match="new:1"):
        carry_over(b"plans: 1", PREVIOUS)
    with pytest.raises(InvalidPlans, match="previous:1"):
        carry_over(PREVIOUS, b"plans: 1")
