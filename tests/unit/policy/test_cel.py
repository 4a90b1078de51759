"""What a condition may ask, what it answers, and that what cannot be asked is said when it is read."""

import time
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tai_autonomics.domain.plans import Quota
from tai_autonomics.domain.rules import ConditionFailed, Facts, QuotaFacts, Window
from tai_autonomics.policy.cel import LABELS_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, Language, spelled
from tai_autonomics.policy.mistakes import NotACondition
from tai_autonomics.policy.patterns import places_of
from tai_autonomics.policy.syntax import Call, Constant, Items, Name, Select, names_of

QUOTAS = {
    "api_calls": Quota("api_calls", 100, "day", "hard"),
    "seats": Quota("seats", None, "lifetime", "soft"),
    "5xx-errors": Quota("5xx-errors", 10, "day", "soft"),
    "in": Quota("in", 1, "day", "hard"),
}
LANGUAGE = Language(QUOTAS)
FACTS = Facts(
    Decimal("91.5"),
    Window(avg=Decimal("85.25"), min=Decimal(71), max=Decimal(96), last=Decimal("91.5"), count=3),
    {"region": "eu", "zone-name": "eu-1", "service": "api-checkout", "size": "12"},
    "professional",
    {
        "api_calls": QuotaFacts(100, 90, 10),
        "seats": QuotaFacts(None, 7, None),
        "5xx-errors": QuotaFacts(10, 12, -2),
        "in": QuotaFacts(1, 0, 1),
    },
)


def holds(text: str, facts: Facts = FACTS) -> bool:
    condition, _ = LANGUAGE.read(text)
    assert condition.text == text
    answer = condition.holds(facts)
    assert type(answer) is bool
    return answer


def refused(text: str) -> NotACondition:
    with pytest.raises(NotACondition) as caught:
        LANGUAGE.read(text)
    return caught.value


# what docs/POLICIES.md promises

HOLD = [
    "value > 91.0",
    "value == 91.5",
    "window.avg > 80.0 && window.min > 70.0 && window.max < 97.0",
    "window.last >= window.avg",
    "window.count == 3",
    "window.max - window.min > 20.0",
    "window.avg / window.min > 1.2",
    "-value < 0.0",
    "value > 60.0 || value / 0.0 > 1.0",
    "!(value < 60.0)",
    "value > 90.0 ? window.count > 2 : window.count > 20",
    'labels.region == "eu"',
    'labels["zone-name"] == "eu-1"',
    '"region" in labels && !("team" in labels)',
    "has(labels.region) && !has(labels.team)",
    'has(labels.team) ? labels.team == "x" : true == true && value > 0.0',
    'labels.region in ["eu", "us"]',
    'labels.service.startsWith("api-") && labels.service.endsWith("out") && labels.service.contains("check")',
    'labels.service.matches("^api-[a-z]+$")',
    "size(labels.region) == 2 && labels.region.size() == 2",
    "double(labels.size) > 11.5 && int(labels.size) == 12",
    'labels.region + "-1" == labels["zone-name"]',
    'plan == "professional"',
    'plan in ["professional", "enterprise"]',
    "quota.api_calls.used * 100 >= quota.api_calls.limit * 80",
    "quota.api_calls.remaining <= 10",
    "quota.seats.used % 2 == 1",
    "quota._5xx_errors.used > quota._5xx_errors.limit && quota._5xx_errors.remaining < 0",
    "quota._in.used == 0",
    "value > double(quota.api_calls.used)",
    "int(value) == 91",
    "value > 91.0 // a comment\n",
    'labels.team == "x" || value > 0.0',
]


@pytest.mark.parametrize("text", HOLD)
def test_what_holds_holds_and_its_opposite_does_not(text: str) -> None:
    assert holds(text)
    assert not holds(f"!({text})")


def test_a_quota_is_written_with_the_characters_of_cel() -> None:
    assert [spelled(name) for name in ("a.b:c@d-e", "5xx", "in", "true", "for", "A_1")] == [
        "a_b_c_d_e",
        "_5xx",
        "_in",
        "_true",
        "for",
        "A_1",
    ]


def test_a_decimal_is_compared_as_a_double() -> None:
    exact = Facts(Decimal("123456.789012345"), FACTS.window, {}, "p", {})
    assert holds("value == 123456.789012345", exact)
    near = Facts(Decimal("999999999999999999.999999999"), FACTS.window, {}, "p", {})
    assert holds("value == 1e18", near), "beyond 15 digits the nearest double counts"


# what has no answer


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('labels.team == "x"', "there is no label team"),
        ('labels["a\\nb"] == "x"', "there is no label a\\nb"),
        ("labels['\\u200b'] == 'x'", "there is no label ?"),
        ("labels[plan] == 'x'", "there is no label professional"),
        ('labels["' + "x" * 300 + '"] == ""', "there is no label " + "x" * 181 + "…"),
        ("1 / (window.count - 3) > 0", "divide by zero"),
        ("window.count % 0 > 0", "modulus by zero"),
        ("window.count + 9223372036854775807 > 0", "integer overflow"),
        ("int(value * 1e30) > 0", "double out of int64 range"),
        ("double(labels.region) > 1.0", "cannot convert string to double"),
        ("[1, 2][window.count] > 0", "Index error: index=3 size=2"),
        ("quota.api_calls.used > 0 && labels.team == 'x'", "there is no label team"),
    ],
)
def test_a_condition_without_an_answer_says_why(text: str, why: str) -> None:
    with pytest.raises(ConditionFailed) as caught:
        holds(text)
    assert str(caught.value) == why


def test_a_quota_that_is_not_there_and_labels_that_are_too_many_have_no_answer() -> None:
    few = Facts(Decimal(1), FACTS.window, {"region": "x" * LABELS_CHARACTERS_MAX}, "p", {})
    with pytest.raises(ConditionFailed, match="there is no quota api_calls"):
        holds("quota.api_calls.used > 0", few)
    with pytest.raises(ConditionFailed, match=f"the labels have more than {LABELS_CHARACTERS_MAX} characters"):
        holds('labels.region == ""', few)
    assert holds("value > 0.0", few), "nobody asked for them"


# what is refused when it is read

WINDOWS = "window.avg, window.count, window.last, window.max, window.min"
FUNCTIONS = "has, size, contains, startsWith, endsWith, matches, double, int"


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("window.avg > 60", 12, "> does not take (double, int): write 60.0"),
        ("60 < window.avg", 4, "< does not take (int, double): write 60.0"),
        ("value == -5", 7, "== does not take (double, int): write -5.0"),
        ("value*2>1.0", 6, "* does not take (double, int): write 2.0"),
        ("value in [1, 2]", 7, "in does not take (double, list(int)): write 1.0"),
        ("value > window.count", 7, "> does not take (double, int): write double(…) around the whole number"),
        ("window.count > 2.5", 14, "> does not take (int, double): write double(…) around the whole number"),
        ("value > 60u", 7, "> does not take (double, uint)"),
        ("labels.region > 1.0", 15, "> does not take (string, double)"),
        ('plan == "a" || labels.region', 13, "|| does not take (bool, string)"),
        ("true ? value : 1", 6, "?: does not take (bool, double, int): write double(…) around the whole number"),
        ("plan.startsWith(1)", 16, "startsWith does not take (string, int)"),
        ("labels[1] == ''", 7, "[] does not take (map(string, string), int)"),
        ("window.p99 > 1.0", 7, f"unknown name window.p99: known are {WINDOWS}"),
        ("window > 1.0", 1, f"unknown name window: known are {WINDOWS}"),
        ("windw.avg > 1.0", 6, "unknown name windw.avg: known are value, window, labels, plan, quota"),
        ("true || Value > 1.0", 9, "unknown name Value: known are value, window, labels, plan, quota"),
        ("quota.calls.used > 1", 12, None),
        ("quota.seats.limit > 1", 12, None),
        ("average(value) > 1.0", 8, f"unknown function average: known are {FUNCTIONS}"),
        ("timestamp(plan) == timestamp(plan)", 10, f"unknown function timestamp: known are {FUNCTIONS}"),
        ("dyn(value) > 1", 4, f"unknown function dyn: known are {FUNCTIONS}"),
        ('labels.all(k, k == "a")', 12, "all(…) is not available: a condition does not loop"),
        ("[1, 2].exists(x, x > window.count)", 15, "exists(…) is not available: a condition does not loop"),
        ("value >", 8, "not expected here: the end"),
        ("", 1, "not expected here: the end"),
        ("value > 1.0 and value < 2.0", 13, "not expected here: 'and': write &&"),
        ("value = 1.0", 7, "not understood: '= ': write =="),
        ("value > 6,0", 10, "not expected here: ','"),
        ("x" * 1_000, 1, f"unknown name {'x' * 286}…"),
        ("value > 'a", 9, "not understood: ''a'"),
        ("9999999999999999999 > window.count", 1, "invalid int literal"),
        ("value", None, "it must be true or false, not a number"),
        ("window.count", None, "it must be true or false, not a whole number"),
        ("plan", None, "it must be true or false, not a text"),
        ("labels", None, "it must be true or false, not map<string, string>"),
        ("true", None, "it asks about nothing: it is always true or never"),
        ('1 > 2 || "a" == "b"', None, "it asks about nothing: it is always true or never"),
        ('{"a": value}["a"] > 1.0', None, "maps and messages are not available in a condition"),
        ("plan.matches('(')", None, "invalid regular expression: missing ): ("),
        (
            "plan.matches(labels.region)",
            None,
            "matches(…) takes its regular expression as a literal, so that it can be checked",
        ),
        ("plan == '\u202e'", None, "a character that nobody sees: U+202E: write it as an escape"),
        ("plan == '\ud800'", None, "a character that nobody sees: U+D800: write it as an escape"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_place(text: str, column: int | None, why: str | None) -> None:
    error = refused(text)
    assert (error.line, error.column) == (1, column)
    assert error.why == why if why is not None else error.why.startswith(f"unknown name {text[:-4]}: known are quota.")


def test_a_mistake_in_a_later_line_is_placed_there() -> None:
    error = refused("value\n  > 80.0\n  && windw\n  > 1.0")
    assert (error.line, error.column) == (3, 6)


# what means harm

HUGE = "[1,2,3,4,5,6,7,8,9,10]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("value > 1.0" + " " * TEXT_CHARACTERS_MAX, "longer than 1000 characters"),
        ("(" * 400 + "value > 1.0" + ")" * 400, "nested deeper than 32"),
        ("value" + " + 1.0" * 150 + " > 0.0", "nested deeper than 32"),
        ("[" * 400 + "]" * 400 + " == []", "nested deeper than 32"),
        ("".join(f"{HUGE}.all(x{n}, " for n in range(8)) + "value > 1.0" + ")" * 8, "a condition does not loop"),
        ('[plan].map(a, a + a).map(a, a + a)[0] == "x"', "a condition does not loop"),
        ("plan.matches('a{1001}')", "invalid regular expression: "),
        ("plan.matches('(a{0,100}){0,10}b')", "have 1001 places, repetitions counted: at most 1000"),
        ("plan.matches('" + "a" * 500 + "') || plan.matches('a{501}')", "have 1001 places, repetitions counted"),
        ("plan.matches('\\\\pL{9}')", "\\p is not available in a regular expression"),
        ("plan.matches('\\\\Q(\\\\E')", "\\Q is not available in a regular expression"),
    ],
)
def test_what_means_harm_is_refused(text: str, why: str) -> None:
    started = time.perf_counter()
    assert why in refused(text).why
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("text", ["!" * 900 + "(value > 1.0)", "value > 1.0" + " && value > 1.0" * 65])
def test_what_is_long_and_harmless_is_answered(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(" + ".?" * 49 + "){10}b", "(a|b)*" * 160 + "c", "(x+x+)+" * 130 + "y"])
@pytest.mark.parametrize("label", ["a" * 2_000, "é" * 2_000, "ab" * 1_000])
def test_a_pattern_that_other_engines_choke_on_is_answered_soon(pattern: str, label: str) -> None:
    condition, _ = LANGUAGE.read(f'labels.s.matches("{pattern}")')
    facts = Facts(Decimal(1), FACTS.window, {"s": label}, "p", {})
    started = time.perf_counter()
    condition.holds(facts)
    assert time.perf_counter() - started < 1, "25 ms on the machine of docs/adr/0011"


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("", 0),
        ("abc", 3),
        ("[a-z]", 1),
        ("[^])(]x", 2),
        ("[[:alpha:])]x", 2),
        (r"\)\(", 2),
        ("a{3}", 3),
        ("a{3,}", 3),
        ("a{0,7}b", 8),
        ("(ab{2}){10}c", 31),
        ("[0-9a-f]{8}-[0-9a-f]{4}", 13),
        ("(a)", 1),
    ],
)
def test_the_places_of_a_pattern_are_counted(pattern: str, places: int) -> None:
    assert places_of(pattern) == places


# the tree


def test_a_condition_is_read_into_a_tree_of_resolved_names() -> None:
    _, tree = LANGUAGE.read('window.avg > -80.5 || has(labels.x) && labels["y"] in ["a", plan] || window.count == -3')
    either = Call("_||_", (Call("_>_", (Name("window.avg"), Constant(-80.5))), both()))
    assert tree == Call("_||_", (either, Call("_==_", (Name("window.count"), Constant(-3)))))
    assert names_of(tree) == {"window.avg", "labels", "plan", "window.count"}


def both() -> Call:
    asked = Call("_[_]", (Name("labels"), Constant("y")))
    return Call("_&&_", (Select(Name("labels"), "x", True), Call("@in", (asked, Items((Constant("a"), Name("plan")))))))


# any facts, any text

NUMBERS = st.decimals(min_value=-(10**18), max_value=10**18, places=9, allow_nan=False)
COUNTS = st.integers(min_value=-(2**63), max_value=2**64)
WINDOW = st.builds(Window, avg=NUMBERS, min=NUMBERS, max=NUMBERS, last=NUMBERS, count=st.integers(0, 2**64))
STANDING = st.builds(QuotaFacts, limit=st.none() | COUNTS, used=COUNTS, remaining=st.none() | COUNTS)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
ANY_FACTS = st.builds(
    Facts,
    value=NUMBERS,
    window=WINDOW,
    labels=st.dictionaries(st.sampled_from(["region", "service", "size"]) | ANY_TEXT, ANY_TEXT, max_size=4),
    plan=ANY_TEXT,
    quota=st.dictionaries(st.sampled_from(sorted(QUOTAS)), STANDING),
)


@given(st.sampled_from(HOLD), ANY_FACTS)
@example('labels.region == "eu"', Facts(Decimal(1), FACTS.window, {"region": "\ud800"}, "p", {}))
def test_any_facts_are_answered_or_the_condition_failed(text: str, facts: Facts) -> None:
    condition, _ = LANGUAGE.read(text)
    why = "answered"
    try:
        condition.holds(facts)
    except ConditionFailed as failed:
        why = str(failed)
    assert 0 < len(why) <= 200
    assert why.isprintable()


PIECES = (
    *(
        "value",
        "window.avg",
        "window.count",
        "labels",
        "labels.x",
        "plan",
        "quota.seats.used",
        "60",
        "60.0",
        '"a"',
        "x",
    ),
    *(" > ", " == ", " && ", " || ", " in ", "!", "-", "+", "*", " ? ", " : ", "(", ")", "[", "]", ".", ",", "{", "}"),
    *(".size()", ".matches(", "has(", "double(", ".all(x, ", "\n", "\\", "'", "é", "//", "`"),
)


@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_a_condition_or_is_said_not_to_be_one(text: str) -> None:
    why = "a condition"
    try:
        LANGUAGE.read(text)
    except NotACondition as error:
        why = error.why
    assert 0 < len(why) <= 300
    assert "\n" not in why
