"""`policy`: what other rules would have made of a store's signals, and what shadows would have done."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.builders import observed
from tests.unit.application.instance import START, opened
from tests.unit.cli.exports import CommandLine

from tai_autonomics.policy.file import load
from tai_autonomics.stores.sqlite import SQLiteStore

PLANS = """
plans:
  professional:
    rank: 1
    governor:
      budget: {{max: 5, per: 1h}}
      rules:
        - {{name: {name}, signal: cpu, over: 1 samples, warn_when: value > 60.0, act_when: value > {act},
           clear_when: value < 50.0, cooldown: 10m, action: entitlement.suspend, mode: shadow}}
"""
OLD = PLANS.format(name="high", act="80.0")
ACTED = "2026-11-24T12:31:15.000000Z"


@pytest.fixture
def recorded(cli: CommandLine) -> tuple[str, ...]:
    """A store in which acme's rule would have acted once, and bob's not; the options that name it."""
    file = cli.directory / "tai.db"

    async def write() -> None:
        store = await SQLiteStore.open(file)
        await store.keep_policy(load(OLD.encode(), name="old").digest, OLD.encode(), "2026-11-24T00:00:00.000000Z")
        try:
            async with opened(store, plans_in_force=load(OLD.encode(), name="old")) as one:
                for tenant, values in (("acme", (40, 90, 91)), ("bob", (40, 70, 40)), ("carl", ())):
                    await one.grant(tenant)
                    for minute, value in enumerate(values):
                        one.clock.advance(max((START + timedelta(minutes=minute) - one.clock.wall).total_seconds(), 0))
                        await one.submit(observed(value), tenant=tenant)
        finally:
            await store.aclose()

    asyncio.run(write())
    return "--store", f"sqlite:///{file}"


def plans(cli: CommandLine, text: str) -> Path:
    file = cli.directory / "new.yaml"
    file.write_text(text)
    return file


def since(cli: CommandLine, recorded: tuple[str, ...], text: str, *more: str) -> int:
    return cli("policy", "backtest", "--plans", plans(cli, text), "--since", "2026-11-24T00:00:00Z", *more, *recorded)


def test_under_the_same_file_nothing_would_differ(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert since(cli, recorded, OLD) == 0
    assert cli.out == (
        f"2 tenants with signals since 2026-11-24T00:00:00.000000Z: 0 would differ under {cli.directory}/new.yaml\n"
    )


def test_what_would_differ_is_told_by_tenant(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert since(cli, recorded, PLANS.format(name="high", act="95.0")) == 0
    assert cli.out.splitlines()[:-1] == [
        "acme: 3 signals",
        "  recorded  high: would have acted once, withheld (cooling_down 1)",
        "  would be  high: 1 warning",
        f"  - {ACTED}  high: entitlement.suspend would have been done (shadow)",
    ]
    assert ": 1 would differ under" in cli.out


def test_json_tells_all_of_every_tenant(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert since(cli, recorded, PLANS.format(name="other", act="65.0"), "--json", "--tenant", "bob") == 0
    bob, last = cli.documents
    act = {"rule": "other", "action": "entitlement.suspend", "kind": "would_have"}
    (new,) = bob["new"]
    assert {name: new[name] for name in act} == act
    assert (bob["tenant"], bob["signals"], bob["unrecorded"], bob["differs"], bob["gone"]) == ("bob", 3, 0, True, [])
    assert bob["recorded"]["rules"]["high"]["warnings"] == 1
    assert list(bob["rehearsed"]["rules"]) == ["other"]
    summary = {"since": "2026-11-24T00:00:00.000000Z", "tenants": 1, "differing": 1}
    assert last == {"summary": summary}


def test_a_plan_that_the_new_file_lacks_keeps_its_last_definition(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert since(cli, recorded, "plans: {free: {rank: 1}}") == 0
    assert ": 0 would differ under" in cli.out


def test_refused_signals_and_many_acts_are_told_in_short(
    cli: CommandLine, recorded: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tai_autonomics.cli.policy.ACTS_SHOWN_MAX", 0)
    assert since(cli, recorded, OLD.replace("signal: cpu", "signal: disk"), "-t", "acme") == 0
    assert "  would be  signals refused: unknown_metric 3\n  and 1 more\n" in cli.out


def test_before_since_nothing_is_run(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert cli("policy", "backtest", "--plans", plans(cli, OLD), "--since", "2026-11-24T12:40:00Z", *recorded) == 0
    assert cli.out.startswith("0 tenants with signals since ")


def test_bad_options_and_files_are_named(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    file = plans(cli, OLD)
    for when, said in (
        (
            "yesterday",
            "--since 'yesterday' is not a duration such as 30s, 10m, 1h or 7d, nor a time such as 2026-11-24T",
        ),
        ("2026-11-24", "--since '2026-11-24': a time is written as RFC 3339 says"),
    ):
        assert cli("policy", "backtest", "--plans", file, "--since", when, *recorded) == 2
        assert said in cli.err
    assert cli("policy", "backtest", "--plans", cli.directory / "none", "--since", "1d", *recorded) == 2
    assert cli("policy", "backtest", "--plans", plans(cli, "plans: 1"), "--since", "1d", *recorded) == 78
    assert cli("policy", "diff", "--tenant", "nobody", *recorded) == 1
    assert "nobody has no ledger" in cli.err
    assert cli("policy", "diff", "--store", f"sqlite:///{cli.directory}/none.db") == 69


def test_shadows_are_told_by_tenant_and_rule(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert cli("policy", "diff", *recorded) == 0
    assert [line.split() for line in cli.out.splitlines()] == [
        ["tenant", "rule", "action", "would", "have", "acted", "first", "last", "withheld"],
        ["acme", "high", "entitlement.suspend", "1", ACTED, ACTED, "cooling_down", "1"],
    ]
    assert cli("policy", "diff", "--json", *recorded) == 0
    (document,) = cli.documents
    assert document == {
        "tenant": "acme",
        "rule": "high",
        "action": "entitlement.suspend",
        "first": ACTED,
        "last": ACTED,
        "acts": 1,
        "withheld": {"cooling_down": 1},
    }


def test_where_no_shadow_would_have_acted_that_is_said(cli: CommandLine, recorded: tuple[str, ...]) -> None:
    assert cli("policy", "diff", "--tenant", "bob", *recorded) == 0
    assert cli.out == "no rule in mode shadow would have acted\n"
    assert cli("policy", "diff", "--since", "2026-11-24T12:32:00Z", *recorded) == 0
    assert cli.out == "no rule in mode shadow would have acted\n"
