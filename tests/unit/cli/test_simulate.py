"""`simulate`: a plan, a file of signals, and what comes of them; nothing is stored and nothing is done."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from tests.unit.cli.exports import CommandLine

from tai_autonomics.cli.signals_file import LINE_BYTES_MAX, read
from tai_autonomics.errors import InvalidSignals

HEADER = "observed_at,metric,value"
PLANS = """
plans:
  basic:
    rank: 1
    quotas: {{calls: {{limit: 10, per: day, kind: hard}}}}
    governor:
      budget: {{max: 5, per: 1h}}
      rules:
        - {{name: high, signal: cpu, over: 1 samples, warn_when: value > 60.0, act_when: value > 80.0,
           clear_when: value < 50.0, cooldown: 10m, action: entitlement.suspend, mode: {mode}}}
  bare:
    rank: 2
"""


def at(minute: int) -> str:
    return f"2026-11-24T10:{minute:02}:00Z"


def seen(value: int) -> str:
    return f"avg {value}, min {value}, max {value}, last {value} of 1 measurement"


@pytest.fixture
def plans(cli: CommandLine) -> Path:
    file = cli.directory / "plans.yaml"
    file.write_text(PLANS.format(mode="shadow"))
    return file


def csv(cli: CommandLine, *rows: str, header: str = HEADER) -> Path:
    file = cli.directory / "signals.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def cpu(cli: CommandLine, *values: float) -> Path:
    return csv(cli, *(f"{at(minute)},cpu,{value}" for minute, value in enumerate(values)))


def test_a_timeline_says_what_happens_once_and_counts_it(cli: CommandLine, plans: Path) -> None:
    assert cli("simulate", plans, "--signals", cpu(cli, 40, 70, 90, 91, 92, 40)) == 0
    assert cli.out.splitlines() == [
        "assumed: an attempt takes 1 s, its outcome is succeeded; nobody approves",
        f"{at(1)}  warning      high: clear -> warning, as value > 60.0 ({seen(70)})",
        f"{at(2)}  stable       high: would have acted: entitlement.suspend, as value > 80.0 ({seen(90)})",
        f"{at(3)}  stable       high: does not act: cooling_down until {at(12)}",
        f"{at(5)}  stable       high: acted -> clear, as value < 50.0 ({seen(40)})",
        "6 signals",
        "high: 1 warning, would have acted once, withheld (cooling_down 2)",
    ]
    assert list(cli.directory.glob("**/*.db")) == []


def test_each_mode_tells_its_own_story(cli: CommandLine, plans: Path) -> None:
    plans.write_text(PLANS.format(mode="approve"))
    signals = cpu(cli, 90, 90)
    assert cli("simulate", plans, "--signals", signals) == 0
    assert "if 1 person approves by 2026-11-24T11:00:00Z" in cli.out
    assert "high: lapsed: nobody decided in time" in cli.out
    assert cli("simulate", plans, "--signals", signals, "--approve-after", "30s") == 0
    assert "approved by person-1, 1 of 1" in cli.out
    assert "EntitlementSuspended" in cli.out
    assert "observe refused: entitlement_inactive" in cli.out
    plans.write_text(PLANS.format(mode="enforce"))
    assert cli("simulate", plans, "--signals", signals, "--outcome", "failed", "--latency", "0.5") == 0
    assert "2026-11-24T10:00:00.500000Z  stable       high: failed: assumed, not done" in cli.out


def test_retries_refusals_and_throttles_are_told(cli: CommandLine, plans: Path) -> None:
    throttle = "cooldown: 1m, action: throttle, with: {requests: 5, per: 1m, for: 2m}"
    text = PLANS.format(mode="enforce").replace("cooldown: 10m, action: entitlement.suspend", throttle)
    plans.write_text(text.replace("max: 5", "max: 1"))
    signals = csv(cli, *(f"{at(minute)},cpu,90" for minute in (0, 1, 2)), "2026-11-24T11:05:00Z,cpu,40")
    assert cli("simulate", plans, "--signals", signals) == 0
    for line in (
        "10:00:01Z  stable       throttled to 5 in 60 s until 2026-11-24T10:02:00Z",
        "10:01:00Z  refusing     refuses to act: budget, until 2026-11-24T11:00:00Z",
        "10:02:00Z  refusing     no longer throttled",
        "11:00:00Z  stable       refuses no more: budget",
    ):
        assert f"2026-11-24T{line}\n" in cli.out
    plans.write_text(text.replace("max: 5, per: 1h}", "max: 5, per: 1h}\n      breaker: {failures: 1}"))
    assert cli("simulate", plans, "--signals", signals, "--outcome", "timed_out") == 0
    assert "attempt 1 timed_out, again at 2026-11-24T10:00:02Z\n" in cli.out
    assert "refuses to act: breaker, until an operator resumes it\n" in cli.out


def test_where_nothing_happens_each_rule_says_why(cli: CommandLine, plans: Path) -> None:
    assert cli("simulate", plans, "--signals", cpu(cli, 1, 2), "--metric", "no name") == 2
    assert "--metric 'no name': a name is 1 to 128" in cli.err
    assert cli("simulate", plans, "--signals", cpu(cli, 1, 2)) == 0
    assert cli.out.splitlines()[1:] == [
        "2 signals",
        "high: nothing: none of its conditions held (value > 60.0, value > 80.0) in 2 measurements",
    ]
    plans.write_text(PLANS.format(mode="shadow").replace("1 samples", "3 samples"))
    assert cli("simulate", plans, "--signals", cpu(cli, 90)) == 0
    assert cli.out.splitlines()[1:] == ["1 signal", "high: waits: it needs 3 measurements of cpu, and had 1"]
    plans.write_text(PLANS.format(mode="shadow").replace("warn_when: value > 60.0, ", ""))
    assert cli("simulate", plans, "--signals", cpu(cli, 1)) == 0
    assert cli.out.splitlines()[2] == "high: nothing: none of its conditions held (value > 80.0) in 1 measurement"
    assert cli("simulate", plans, "--signals", csv(cli, f"{at(0)},memory,1")) == 0
    assert cli.out.splitlines()[2:] == [
        "1 signal, 1 refused (unknown_metric 1)",
        "high: nothing: no signal of cpu was taken",
    ]


def test_json_has_each_step_and_the_summary(cli: CommandLine, plans: Path) -> None:
    assert cli("simulate", plans, "--signals", cpu(cli, 90, 90), "--json") == 0
    first, _, last = cli.documents
    assert (first["time"], first["command"], first["from"], first["to"]) == (
        "2026-11-24T10:00:00.000000Z",
        "observe",
        "boot",
        "stable",
    )
    assert [event["type"] for event in first["events"]] == ["SignalObserved", "WouldHaveActed"]
    rule = {"warnings": 0, "requested": 0, "would_have": 1, "withheld": {"cooling_down": 1}, "settled": {}}
    summary = last["summary"]
    assert len(summary.pop("policy")) == 64
    assert summary == {"tenant": "simulated", "plan": "basic", "signals": 2, "refused": {}, "rules": {"high": rule}}


def test_a_picture_has_values_thresholds_states_and_acts(cli: CommandLine, plans: Path) -> None:
    plot = cli.directory / "plot.svg"
    assert cli("simulate", plans, "--signals", cpu(cli, 40, 70, 90, 40), "--plot", plot, "--quiet", "-t", "acme") == 0
    assert cli.out == ""
    said = [element.text for element in Xml.parse(plot).getroot().iter() if element.text and element.text.strip()]
    assert said[0] == "cpu of acme under basic"
    assert {"warn_when 60", "act_when 80", "clear_when 50", "high: entitlement.suspend"} <= set(said)
    assert {"warning from 2026-11-24T10:01:00+00:00", "stable from 2026-11-24T10:02:00+00:00"} <= set(said)


def test_a_picture_of_nothing_is_not_written(cli: CommandLine, plans: Path) -> None:
    plot = cli.directory / "plot.svg"
    assert cli("simulate", plans, "--signals", cpu(cli, 1), "--plot", plot, "--metric", "memory") == 2
    assert "no signal of memory was observed: there is nothing to draw" in cli.err
    assert not plot.exists()


def test_refused_signals_are_told_once_and_counted(cli: CommandLine, plans: Path) -> None:
    rows = [f"{at(2)},cpu,1", f"{at(1)},cpu,2", f"{at(1)},cpu,3", f"{at(3)},disk,4"]
    assert cli("simulate", plans, "--signals", csv(cli, *rows)) == 0
    assert cli.out.count("observe refused: stale") == 1
    assert cli.out.count("observe refused: unknown_metric: no rule names the metric disk") == 1
    assert "4 signals, 3 refused (stale 2, unknown_metric 1)" in cli.out


def test_a_condition_without_an_answer_is_told(cli: CommandLine, plans: Path) -> None:
    plans.write_text(PLANS.format(mode="shadow").replace("value > 80.0", 'labels.zone == "eu"'))
    signals = csv(cli, f"{at(0)},cpu,1,", f"{at(1)},cpu,1,", f"{at(2)},cpu,1,eu", header=HEADER + ",labels.zone")
    assert cli("simulate", plans, "--signals", signals) == 0
    assert cli.out.count("high: no answer: act_when:") == 1
    assert cli.out.count("would have acted: entitlement.suspend") == 1


def test_what_is_used_of_a_quota_can_be_said(cli: CommandLine, plans: Path) -> None:
    plans.write_text(PLANS.format(mode="shadow").replace("value > 80.0", "quota.calls.used > 5"))
    signals = cpu(cli, 1)
    for used, acts in (("5", 0), ("6", 1)):
        assert cli("simulate", plans, "--signals", signals, "--used", f"calls={used}") == 0
        assert cli.out.count("would have acted: entitlement") == acts
    assert cli("simulate", plans, "--signals", signals, "--used", "calls=11") == 0
    assert "consume refused: quota_exceeded" in cli.out
    for wrong in ("calls=-1", "calls=", "seats=1", "calls"):
        assert cli("simulate", plans, "--signals", signals, "--used", wrong) == 2
        assert "--used" in cli.err


def test_the_tenant_is_the_only_one_or_the_one_that_is_named(cli: CommandLine, plans: Path) -> None:
    rows = [f"{at(0)},cpu,90,acme", f"{at(1)},cpu,90,bob"]
    signals = csv(cli, *rows, header=HEADER + ",tenant_id")
    assert cli("simulate", plans, "--signals", signals) == 2
    assert "there are signals of acme and bob in it: say whose with --tenant" in cli.err
    assert cli("simulate", plans, "--signals", signals, "--tenant", "bob") == 0
    assert "1 signal\n" in cli.out
    assert cli("simulate", plans, "--signals", signals, "--tenant", "carl") == 2
    assert "it holds no signal of carl" in cli.err
    assert cli("simulate", plans, "--signals", csv(cli, rows[0], header=HEADER + ",tenant_id"), "--json") == 0
    assert cli.documents[-1]["summary"]["tenant"] == "acme"


def test_the_plan_is_the_one_with_rules_or_the_one_that_is_named(cli: CommandLine, plans: Path) -> None:
    signals = cpu(cli, 90)
    assert cli("simulate", plans, "--signals", signals, "--plan", "bare") == 0
    assert "refused (unknown_metric 1)" in cli.out
    assert cli("simulate", plans, "--signals", signals, "--plan", "none") == 2
    assert "say --plan with one of basic, bare" in cli.err
    plans.write_text("plans: {bare: {rank: 1}}")
    assert cli("simulate", plans, "--signals", signals) == 2
    assert "no plan has rules" in cli.err


def test_a_bad_plans_file_is_a_matter_of_configuration(cli: CommandLine, plans: Path) -> None:
    plans.write_text("plans: {bare: {}}")
    assert cli("simulate", plans, "--signals", cpu(cli, 90)) == 78
    assert "plans.yaml:1: plan bare: rank is missing" in cli.err


def test_csv_and_json_lines_say_the_same(cli: CommandLine) -> None:
    rows = [f'"{at(0)}", cpu ,-1.50,eu,acme', "", "2026-11-24T11:01:00+01:00,cpu,2,,"]
    table = csv(cli, *rows, header="\ufeffobserved_at,metric,value,labels.zone,tenant_id")
    lines = cli.directory / "signals.jsonl"
    first = {"observed_at": at(0), "metric": "cpu", "labels": {"zone": "eu"}, "tenant_id": "acme", "request_id": "k"}
    second = {"observed_at": at(1), "metric": "cpu", "value": 2}
    lines.write_text(json.dumps(first)[:-1] + ', "value": -1.50}\n\n' + json.dumps(second))
    assert list(read(table)) == list(read(lines))
    assert [(str(each.signal.value), each.signal.labels, each.tenant) for each in read(lines)] == [
        ("-1.50", {"zone": "eu"}, "acme"),
        ("2", {}, None),
    ]


JSON = '{"observed_at":"2026-11-24T10:00:00Z","metric":"cpu","value":1}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f: it is empty"),
        ("\n \n", "f: it is empty"),
        (HEADER, "f: it holds no signal"),
        ("time,metric,value", "f:1: the first line names the columns, and observed_at is not among them"),
        (HEADER + ",zone", "f:1: no column 'zone' is known here; a label's is labels.NAME"),
        (HEADER + ",value", "f:1: the column value is there twice"),
        (f"{HEADER}\n\n{at(0)},cpu", "f:3: 2 cells, where line 1 names 3 columns"),
        (f"{HEADER}\n{at(0)},cpu,1e3", "f:2: value: a value is a decimal with at most 18 digits before"),
        (f"{HEADER}\n2026-11-24 10:00,cpu,1", "f:2: observed_at: a time is written as RFC 3339 says"),
        (f"{HEADER}\n2026-13-24T10:00:00Z,cpu,1", "f:2: observed_at: no such time"),
        (f"{HEADER}\n{at(0)},c p u,1", "f:2: metric: a name is 1 to 128"),
        (f'{HEADER}\n{at(0)},"cpu,1', "f:2: not CSV: unexpected end of data"),
        (f"{HEADER},labels.a b\n{at(0)},cpu,1,x", "f:2: labels: a label's name is"),
        (f"{HEADER},tenant_id\n{at(0)},cpu,1,a b", "f:2: tenant_id: a tenant id is"),
        (f"{JSON}\n{{", "f:2: not JSON"),
        (f"{JSON}\n[]", "f:2: Expected `object`, got `array`"),
        (f'{JSON}\n{{"metric":"cpu","value":1}}', "f:2: observed_at: observed_at is required"),
        (JSON.replace('"value":1', '"value":"1"'), "f:1: value: a value is a decimal"),
        (JSON.replace('"value":1', '"value":1,"value":2'), "f:1: value: a member given twice"),
        (JSON.replace('"value":1', '"value":1,"unit":"%"'), "f:1: unit: no member 'unit' is known here"),
        (JSON.replace('"value":1', '"value":1,"labels":{"a":1}'), "f:1: labels"),
        (f"{JSON}\n" + "x" * (LINE_BYTES_MAX + 1), "f:2: a line has at most 65,536 bytes"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "f"
    file.write_text(text)
    with pytest.raises(InvalidSignals) as raised:
        list(read(file))
    assert str(raised.value).removeprefix(f"{tmp_path}/").startswith(said)


def test_what_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(f"{HEADER}\n".encode() + b"\xff\n")
    with pytest.raises(InvalidSignals, match="f:2: it is not UTF-8"):
        list(read(file))


def test_a_file_has_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tai_autonomics.cli.signals_file.SIGNALS_MAX", 2)
    file = tmp_path / "f"
    file.write_text(f"{JSON}\n" * 3)
    with pytest.raises(InvalidSignals, match="f: more than 2 signals: split it"):
        list(read(file))


def test_standard_input_is_read_too(cli: CommandLine, plans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{HEADER}\n{at(0)},cpu,nan".encode())))
    assert cli("simulate", plans, "--signals", "-") == 2
    assert "standard input:2: value: a value is a decimal" in cli.err
