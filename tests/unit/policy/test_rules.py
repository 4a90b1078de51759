"""What the governor section of a plan may say, and that every mistake in it is found with its line."""

import pytest

from tai_autonomics.domain.actions import (
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
    type_of,
)
from tai_autonomics.domain.rules import Approval, Budget, Governance, Lasting, Samples
from tai_autonomics.errors import InvalidPlans
from tai_autonomics.policy.file import carry_over, load

RULE = {
    "name": "cpu-high",
    "signal": "cpu",
    "over": "3 samples",
    "act_when": "window.avg > 80.0",
    "clear_when": "window.avg < 50.0",
    "cooldown": "10m",
    "action": "entitlement.suspend",
    "mode": "enforce",
}
FIRST_LINE = 9
"""Where the first member of the first rule stands in `file`."""


def file(*rules: dict[str, str], more: str = "      breaker: {failures: 3}\n", quotas: str = "{}") -> str:
    head = f"plans:\n  a:\n    rank: 1\n    quotas: {quotas}\n    governor:\n      budget: {{max: 5, per: 1h}}\n{more}"
    lines = [
        f"{' -'[number == 0]} {name}: {text}" for rule in rules for number, (name, text) in enumerate(rule.items())
    ]
    return head + "      rules:\n" + "".join(f"        {line}\n" for line in lines)


def rule(*without: str, **members: str) -> dict[str, str]:
    """A good rule with other members, one a line; `with_` is `with`."""
    named = {name.rstrip("_"): text for name, text in members.items()}
    return {name: text for name, text in {**RULE, **named}.items() if name not in without}


def governor(text: str) -> Governance:
    return load(text.encode(), name="plans.yaml").plans["a"].governor


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidPlans) as caught:
        load(text.encode(), name="plans.yaml")
    return caught.value.problems


def problem_of(given: dict[str, str], member: str) -> str:
    """The one problem of a file with this rule, which must stand at the line of that member."""
    (problem,) = problems(file(given))
    place = f"plans.yaml:{FIRST_LINE + list(given).index(member)}: plan a: rule cpu-high: "
    assert problem.startswith(place)
    return problem.removeprefix(place)


# what is read


def test_a_plan_without_a_governor_has_no_rules() -> None:
    assert governor("plans: {a: {rank: 1}}") == Governance()


def test_a_rule_is_read_whole() -> None:
    given = rule(
        warn_when="window.avg > 60.0",
        over="5m",
        mode="approve",
        approval="{within: 2h, people: 2}",
        attempts="5",
        timeout="20s",
    )
    read = governor(file(given))
    (one,) = read.rules
    assert (read.budget, read.failures_max) == (Budget(5, 3_600), 3)
    assert (one.name, one.signal, one.over, one.order) == ("cpu-high", "cpu", Lasting(300), SuspendEntitlements())
    assert one.warn_when is not None
    texts = (one.warn_when.text, one.act_when.text, one.clear_when.text)
    assert texts == ("window.avg > 60.0", "window.avg > 80.0", "window.avg < 50.0")
    assert (one.cooldown_seconds, one.mode, one.approval) == (600, "approve", Approval(7_200, 2))
    assert (one.attempts_max, one.timeout_seconds) == (5, 20)


def test_what_a_rule_does_not_say_has_a_default() -> None:
    (one,) = governor(file(RULE)).rules
    assert (one.warn_when, one.approval, one.attempts_max, one.timeout_seconds) == (None, None, 3, 10)


@pytest.mark.parametrize(
    ("text", "approval"),
    [(None, Approval(3_600, 1)), ("{within: 1m}", Approval(60, 1)), ("{within: 7d, people: 1}", Approval(604_800, 1))],
)
def test_mode_approve_asks_one_person_for_an_hour_unless_it_says_otherwise(
    text: str | None, approval: Approval
) -> None:
    given = rule(mode="approve") if text is None else rule(mode="approve", approval=text)
    assert governor(file(given)).rules[0].approval == approval


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("1 sample", Samples(1)),
        ("3 samples", Samples(3)),
        ("120 samples", Samples(120)),
        ("1s", Lasting(1)),
        ("90s", Lasting(90)),
        ("5m", Lasting(300)),
        ("2h", Lasting(7_200)),
        ("7d", Lasting(604_800)),
    ],
)
def test_a_window_is_of_samples_or_of_a_duration(text: str, over: Samples | Lasting) -> None:
    assert governor(file(rule(over=text))).rules[0].over == over


ORDERS: list[tuple[str, str, Order]] = [
    ("webhook", "{url: 'https://hooks.example.com/tai?x=1'}", Webhook("https://hooks.example.com/tai?x=1")),
    ("webhook", "{url: 'http://[::1]:8080', idempotent: false}", Webhook("http://[::1]:8080", False)),
    ("pubsub.publish", "{topic: surges}", Publish("surges")),
    ("pubsub.publish", "{topic: projects/my-project/topics/a.b}", Publish("projects/my-project/topics/a.b")),
    ("cloud_run.scale", "{service: api, step: 1, max: 10}", Scale("api", 1, 10)),
    (
        "cloud_run.scale",
        "{service: projects/my-project/locations/europe-west1/services/api, step: -2, max: 10, min: 9}",
        Scale("projects/my-project/locations/europe-west1/services/api", -2, 10, 9),
    ),
    ("cloud_run.rollback", "{service: api}", Rollback("api")),
    ("throttle", "{requests: 600, per: 1m, for: 10m}", Throttle(600, 60, 600)),
    ("entitlement.suspend", "{}", SuspendEntitlements()),
]


@pytest.mark.parametrize(("action", "text", "order"), ORDERS)
def test_each_action_has_members_of_its_own(action: str, text: str, order: Order) -> None:
    read = governor(file(rule(action=action, with_=text))).rules[0].order
    assert (read, type_of(read)) == (order, action)


def test_the_fleet_has_a_budget_for_each_type_of_action() -> None:
    text = "plans: {a: {rank: 1}}\nfleet: {webhook: {max: 100, per: 1h}, cloud_run.scale: {max: 1, per: 30d}}"
    fleet = {"webhook": Budget(100, 3_600), "cloud_run.scale": Budget(1, 30 * 86_400)}
    assert load(text.encode(), name="x").fleet == fleet


def test_the_shipped_file_acts_on_nobody() -> None:
    from tai_autonomics.policy.file import shipped

    plans = load(shipped(), name="plans.yaml")
    rules = {plan.name: [(rule.name, rule.mode) for rule in plan.governor.rules] for plan in plans.plans.values()}
    assert rules == {"free": [], "professional": [("cpu-high", "shadow")], "enterprise": []}


# what is refused, at its line


@pytest.mark.parametrize("member", [name for name in RULE if name != "name"])
def test_a_rule_lacks_nothing(member: str) -> None:
    given = rule(member)
    assert problems(file(given)) == (f"plans.yaml:{FIRST_LINE}: plan a: rule 1: {member} is missing",)


@pytest.mark.parametrize(
    ("member", "text", "problem"),
    [
        ("over", "3", "over must be as 3 samples (1 to 120) or as 5m, not '3' (int)"),
        ("over", "0 samples", "over must be as 3 samples (1 to 120) or as 5m, not '0 samples' (str)"),
        ("over", "121 samples", "over must be as 3 samples (1 to 120) or as 5m, not '121 samples' (str)"),
        ("over", "8d", "over must be a duration from 1s to 7d, as 30s or 10m, not '8d' (str)"),
        ("over", "[]", "over must be as 3 samples (1 to 120) or as 5m, not a list"),
        ("cooldown", "10", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '10' (int)"),
        ("cooldown", "0s", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '0s' (str)"),
        ("cooldown", "31d", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '31d' (str)"),
        ("cooldown", "010s", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '010s' (str)"),
        ("cooldown", "1h30m", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '1h30m' (str)"),
        ("cooldown", "1:30", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '1:30' (int)"),
        ("cooldown", "99999999d", "cooldown must be a duration from 1s to 30d, as 30s or 10m, not '99999999d' (str)"),
        ("mode", "auto", "mode must be one of enforce, approve, shadow, not 'auto' (str)"),
        ("mode", "", "mode must be one of enforce, approve, shadow, not nothing"),
        (
            "action",
            "email",
            "action must be one of webhook, pubsub.publish, cloud_run.scale, cloud_run.rollback, throttle,"
            " entitlement.suspend, not 'email' (str)",
        ),
        ("action", "webhook", "with is missing: webhook takes url"),
        ("action", "throttle", "with is missing: throttle takes requests, per, for"),
        ("attempts", "0", "attempts must be a whole number from 1 to 10 in plain digits, not '0' (int)"),
        ("attempts", "-1", "attempts must be a whole number from 1 to 10 in plain digits, not '-1' (int)"),
        ("attempts", "11", "attempts must be a whole number from 1 to 10 in plain digits, not '11' (int)"),
        ("timeout", "6m", "timeout must be a duration from 1s to 5m, as 30s or 10m, not '6m' (str)"),
        ("approval", "{within: 1h}", "approval: nobody is asked in mode enforce"),
        ("act_when", "true", "act_when must be a condition, as window.avg > 80.0, not 'true' (bool)"),
        ("act_when", "80.0", "act_when must be a condition, as window.avg > 80.0, not '80.0' (float)"),
        ("act_when", "", "act_when must be a condition, as window.avg > 80.0, not nothing"),
        ("act_when", "window.avg > 80", "act_when: column 12: > does not take (double, int): write 80.0"),
        (
            "signal",
            "a b",
            "signal: 'a b': a name is 1 to 128 of A-Z a-z 0-9 . _ : @ - and starts with a letter or digit",
        ),
        ("signal", "1", "signal: a name must be a string, not '1' (int): quote it"),
    ],
)
def test_a_mistake_in_a_rule_is_named(member: str, text: str, problem: str) -> None:
    assert problem_of(rule(**{member: text}), member) == problem


@pytest.mark.parametrize("text", ["{}", "{people: 2}"])
def test_an_approval_has_an_end(text: str) -> None:
    assert problem_of(rule(mode="approve", approval=text), "approval") == "approval: within is missing"


@pytest.mark.parametrize("people", ["0", "3", "two"])
def test_one_person_approves_or_two(people: str) -> None:
    found = problem_of(rule(mode="approve", approval=f"{{within: 1h, people: {people}}}"), "approval")
    assert found.startswith("approval: people must be a whole number from 1 to 2 in plain digits, not ")


@pytest.mark.parametrize(
    ("action", "text", "problem"),
    [
        ("webhook", "{}", "with: url is missing"),
        ("webhook", "{url: 'https://a', retries: 3}", "with: unknown key 'retries': known are url, idempotent"),
        (
            "webhook",
            "{url: 'https://a', idempotent: yes}",
            "with: idempotent must be true or false, not 'yes' (bool)",
        ),
        (
            "pubsub.publish",
            "{topic: google-topic}",
            'with: topic must be a topic: "projects/<project>/topics/<name>", or a name in the service\'s own project,'
            " not 'google-topic' (str)",
        ),
        (
            "cloud_run.rollback",
            "{service: Api}",
            'with: service must be a service: "projects/<p>/locations/<l>/services/<s>", or a name in the service\'s'
            " own project and region, not 'Api' (str)",
        ),
        ("cloud_run.scale", "{service: api, step: 0, max: 3}", "with: step 0 changes nothing"),
        (
            "cloud_run.scale",
            "{service: api, step: 1, max: 3, min: 3}",
            "with: min 3 leaves nothing below max 3",
        ),
        (
            "cloud_run.scale",
            "{service: api, step: 1, max: 0}",
            "with: max must be a whole number from 1 to 10000 in plain digits, not '0' (int)",
        ),
        (
            "throttle",
            "{requests: 0, per: 1m, for: 1h}",
            "with: requests must be a whole number from 1 to 1000000000 in plain digits, not '0' (int)",
        ),
        (
            "throttle",
            "{requests: 1, per: 2h, for: 1h}",
            "with: per must be a duration from 1s to 1h, as 30s or 10m, not '2h' (str)",
        ),
        ("entitlement.suspend", "{for: 1h}", "with: unknown key 'for': it takes none"),
        ("entitlement.suspend", "[]", "with must be a mapping, not a list"),
    ],
)
def test_a_mistake_in_what_an_action_takes_is_named(action: str, text: str, problem: str) -> None:
    assert problem_of(rule(action=action, with_=text), "with") == problem


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hooks.example.com", "it has a scheme and a host"),
        ("ftp://hooks.example.com", "it has a scheme and a host"),
        ("https://", "it has a scheme and a host"),
        ("https://:443/x", "it has a scheme and a host"),
        ("https:/a", "it has a scheme and a host"),
        ("https://user:secret@a", "a name or password in it would be seen in every receipt"),
        ("https://a:99999", "Port out of range 0-65535"),
        ("https://a/ü", "it is of visible ASCII characters"),
        ("https://a/ b", "it is of visible ASCII characters"),
        ("https://[::1", "Invalid IPv6 URL"),
        ("https://a/#b", "a fragment is never sent"),
        ("https://a/" + "x" * 2_000, "longer than 2000 characters"),
    ],
)
def test_a_webhook_has_an_absolute_url(url: str, why: str) -> None:
    found = problem_of(rule(action="webhook", with_=f"{{url: '{url}'}}"), "with")
    assert found.startswith("with: url must be an absolute https or http URL, not ")
    assert found.endswith(f": {why}")


@pytest.mark.parametrize(
    ("members", "at", "why"),
    [
        (
            {"clear_when": "window.avg < 90.0"},
            "clear_when",
            "it can hold while act_when does: leave a band between them",
        ),
        (
            {"clear_when": "window.avg > 50.0"},
            "clear_when",
            "it can hold while act_when does: leave a band between them",
        ),
        (
            {"clear_when": "81.0 >= window.avg"},
            "clear_when",
            "it can hold while act_when does: leave a band between them",
        ),
        (
            {"warn_when": "window.avg > 40.0"},
            "clear_when",
            "it can hold while warn_when does: leave a band between them",
        ),
        ({"warn_when": "window.avg > 90.0"}, "warn_when", "it never holds before act_when does"),
        ({"warn_when": "80.0 < window.avg"}, "warn_when", "it never holds before act_when does"),
        ({"warn_when": "window.count > 3"}, "warn_when", "it can never hold: window.count is 3"),
        ({"over": "5m", "warn_when": "window.count > 120"}, "warn_when", "it can never hold: window.count is 1 to 120"),
        ({"clear_when": "window.count < 1"}, "clear_when", "it can never hold: window.count is 3"),
    ],
)
def test_conditions_that_leave_no_room_are_refused(members: dict[str, str], at: str, why: str) -> None:
    assert problem_of(rule(**members), at) == f"{at}: {why}"


@pytest.mark.parametrize(
    "members",
    [
        {"clear_when": "window.avg <= 80.0"},
        {"clear_when": "window.avg < 80.0", "act_when": "window.avg >= 80.0"},
        {"clear_when": "window.max < 90.0"},
        {"act_when": "window.avg >= 80.0", "warn_when": "window.avg > 79.9"},
        {"act_when": "value < 5.0", "clear_when": "value > 5.0"},
        {"warn_when": "window.count == 3"},
        {"over": "5m", "warn_when": "window.count >= 120"},
        {"clear_when": "window.avg < 90.0 && window.last < 50.0"},
    ],
)
def test_conditions_of_which_nothing_can_be_said_are_taken(members: dict[str, str]) -> None:
    assert len(governor(file(rule(**members))).rules) == 1


def test_two_rules_of_a_plan_have_two_names() -> None:
    at = FIRST_LINE + len(RULE)
    found = problems(file(RULE, RULE))
    assert found == (f"plans.yaml:{at}: plan a: rule cpu-high is there twice, first in line {FIRST_LINE}",)


def test_a_plan_has_at_most_twenty_rules() -> None:
    named = [rule(name=f"r{number}") for number in range(21)]
    assert len(governor(file(*named[:20])).rules) == 20
    (problem,) = problems(file(*named))
    assert problem == f"plans.yaml:{FIRST_LINE + 20 * len(RULE)}: plan a: rules: more than 20"


def test_rules_need_a_budget() -> None:
    text = file(RULE).replace("      budget: {max: 5, per: 1h}\n", "")
    assert problems(text) == (
        "plans.yaml:8: plan a: governor: budget is missing: rules need one, as budget: {max: 5, per: 1h}",
    )


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("      limits: 1\n", "governor: unknown key 'limits': known are budget, breaker, rules"),
        ("      breaker: 3\n", "governor: breaker must be a mapping, not '3' (int)"),
        ("      breaker: {}\n", "governor: breaker: failures is missing"),
        (
            "      breaker: {failures: 0}\n",
            "governor: breaker: failures must be a whole number from 1 to 100 in plain digits, not '0' (int)",
        ),
    ],
)
def test_a_mistake_in_a_governor_is_named(more: str, problem: str) -> None:
    assert problems(file(RULE, more=more)) == (f"plans.yaml:7: plan a: {problem}",)


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ("{}", "max is missing"),
        ("{max: 5}", "per is missing"),
        ("{max: 0, per: 1h}", "max must be a whole number from 1 to 1000000 in plain digits, not '0' (int)"),
        ("{max: 5, per: 30s}", "per must be a duration from 1m to 30d, as 30s or 10m, not '30s' (str)"),
        ("{max: 5, per: hour}", "per must be a duration from 1m to 30d, as 30s or 10m, not 'hour' (str)"),
    ],
)
def test_a_mistake_in_a_budget_is_named_in_a_plan_and_for_the_fleet(budget: str, problem: str) -> None:
    own = f"plans: {{a: {{rank: 1, governor: {{budget: {budget}}}}}}}"
    assert f"plans.yaml:1: plan a: governor: budget: {problem}" in problems(own)
    fleet = f"plans: {{a: {{rank: 1}}}}\nfleet: {{webhook: {budget}}}"
    assert f"plans.yaml:2: fleet: webhook: {problem}" in problems(fleet)


def test_the_fleet_bounds_actions_that_there_are() -> None:
    (problem,) = problems("plans: {a: {rank: 1}}\nfleet:\n  email: {max: 1, per: 1h}\n")
    assert problem.startswith("plans.yaml:3: fleet: a key must be one of webhook, pubsub.publish, ")
    assert problem.endswith("not 'email' (str)")


def test_two_quotas_that_a_condition_would_write_alike_are_named() -> None:
    quota = "{limit: 1, per: day, kind: hard}"
    assert problems(file(RULE, quotas=f"{{a-b: {quota}, a_b: {quota}}}")) == (
        "plans.yaml:9: plan a: quotas a-b and a_b are both written quota.a_b in a condition: rename one",
    )


def test_every_mistake_of_a_rule_is_found_at_once() -> None:
    wrong = rule(signal="''", over="x", act_when="x", clear_when="y", cooldown="z", action="a", mode="b")
    assert [int(problem.split(":")[1]) for problem in problems(file(wrong))] == list(range(10, 17))


def test_a_mistake_in_a_long_condition_is_named_with_its_own_line() -> None:
    text = "|\n            window.avg > 80.0 &&\n              window.p99 > 1.0"
    found = problem_of(rule(act_when=text), "act_when")
    assert found.startswith(
        "act_when: line 2 of the condition, column 9: unknown name window.p99: known are window.avg, "
    )


# carrying over


def test_the_rules_of_a_plan_that_vanished_are_carried_over_whole() -> None:
    named = [
        rule(name=f"r{number}", action=action, with_=text, mode="approve", approval="{within: 90s, people: 2}")
        for number, (action, text, _) in enumerate(ORDERS)
    ]
    curious = rule(name="curious", over="90s", act_when='labels["ü\\"😀"] == "\\n\\t\'" && window.avg > 80.0')
    multiline = rule(
        name="lines", act_when="|\n            window.avg\n             > 80.0\n", warn_when="value > 99.5"
    )
    previous = file(*named, curious, multiline)
    carried = carry_over(b"plans: {b: {rank: 1}}\n", previous.encode())
    assert load(carried, name="carried").plans["a"].governor == governor(previous)
    assert carry_over(carried, previous.encode()) == carried


def test_the_same_text_about_other_quotas_is_another_condition() -> None:
    one, same = governor(file(RULE)).rules[0], governor(file(RULE)).rules[0]
    other = governor(file(RULE, quotas="{q: {limit: 1, per: day, kind: hard}}")).rules[0]
    assert (one.act_when == same.act_when, one.act_when == other.act_when) == (True, False)
    assert hash(one.act_when) == hash(same.act_when)
