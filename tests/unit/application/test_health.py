"""Whether this instance is well."""

import asyncio

import pytest
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import Instance, until

from tai_autonomics.application import health as health_module
from tai_autonomics.application.health import AGE_SECONDS_MAX, OWN_TROUBLE, STORE_TROUBLE, Health
from tai_autonomics.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

DRIVER_SAYS = 'connection to server at "10.0.0.7", port 5432 failed: /var/lib/tai: password of user "tai" is wrong'


def health_of(one: Instance) -> Health:
    return Health(one.store, clock=one.sealing_clock, observer=one.witness)


def failing_with(store: FaultyStore, error: Exception) -> None:
    async def fails() -> None:
        raise error

    store.probe = fails  # type: ignore[attr-defined]


def hanging(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health_module, "PROBE_SECONDS_MAX", 0.001)
    store.probe = hangs  # type: ignore[attr-defined]


async def test_nothing_is_well_before_it_was_probed(one: Instance) -> None:
    health = health_of(one)
    assert health() == {"store": "not probed yet", "clock": "not probed yet"}
    assert health.ages() == {}
    await health.probe()
    assert health() == {"store": "ok", "clock": "ok"}
    assert sorted(one.witness.told["probed"]) == [("clock", ""), ("store", "")]


async def test_what_a_driver_says_is_for_the_log_and_not_for_whoever_asks(store: FaultyStore, one: Instance) -> None:
    failing_with(store, StoreUnavailable(DRIVER_SAYS))
    health = health_of(one)
    await health.probe()
    assert health() == {"store": STORE_TROUBLE, "clock": "ok"}
    assert ("store", DRIVER_SAYS) in one.witness.told["probed"]


async def test_a_clock_that_jumped_is_told(one: Instance) -> None:
    one.clock.jump(1_000)
    health = health_of(one)
    await health.probe()
    assert "+1000.0 s" in health()["clock"]
    assert health()["store"] == "ok"


async def test_a_probe_without_an_answer_has_failed_and_holds_up_no_other(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging(store, monkeypatch)
    health = health_of(one)
    await health.probe()
    assert health() == {"store": "no answer within 0.001 s", "clock": "ok"}
    assert [check for check, _ in one.witness.told["probed"]] == ["clock", "store"]


async def test_a_result_has_an_age_and_an_old_one_says_nothing(one: Instance) -> None:
    health = health_of(one)
    await health.probe()
    one.clock.advance(AGE_SECONDS_MAX)
    assert health.ages() == {"store": AGE_SECONDS_MAX, "clock": AGE_SECONDS_MAX}
    assert health() == {"store": "ok", "clock": "ok"}
    one.clock.advance(1)
    assert health() == {"store": "not probed for 31 s", "clock": "not probed for 31 s"}
    await health.probe()
    assert health() == {"store": "ok", "clock": "ok"}


async def test_an_error_of_ours_in_a_probe_fails_the_check_and_ends_nothing(store: FaultyStore, one: Instance) -> None:
    mistake = AssertionError(DRIVER_SAYS)
    failing_with(store, mistake)
    health = health_of(one)
    await health.probe()
    assert health() == {"store": OWN_TROUBLE, "clock": "ok"}
    assert one.witness.failures == [("health", mistake)]


async def test_keys_that_others_publish_are_told_each_by_its_name(one: Instance) -> None:
    results = {"keys": "ok", "push_keys": "status 500"}
    checks = {name: (lambda name=name: results[name]) for name in results}
    health = Health(one.store, clock=one.sealing_clock, observer=one.witness, keys=checks)
    await health.probe()
    assert health() == {"store": "ok", "clock": "ok", "keys": "ok", "push_keys": "status 500"}
    results["push_keys"] = "ok"
    assert health()["push_keys"] == "status 500", "asking does not look"
    await health.probe()
    assert health()["push_keys"] == "ok"
    told = [told for told in one.witness.told["probed"] if told[0] == "push_keys"]
    assert told == [("push_keys", "status 500"), ("push_keys", "")]


async def test_it_probes_again_and_again(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PROBE_SECONDS", 0)
    probing = asyncio.get_running_loop().create_task(health_of(one).run())
    await until(lambda: one.witness.count("probed") >= 6)
    probing.cancel()
    await asyncio.wait([probing])
