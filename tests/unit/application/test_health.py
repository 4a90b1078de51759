"""Whether this instance is well."""

import asyncio

import pytest
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import Instance, until

from tai_autonomics.application import health as health_module
from tai_autonomics.application.health import Health
from tai_autonomics.errors import StoreUnavailable

pytestmark = pytest.mark.anyio


def health_of(one: Instance) -> Health:
    return Health(one.store, clock=one.sealing_clock, observer=one.witness)


async def test_nothing_is_well_before_it_was_probed(one: Instance) -> None:
    health = health_of(one)
    assert health() == {"store": "not probed yet", "clock": "not probed yet"}
    await health.probe()
    assert health() == {"store": "ok", "clock": "ok"}
    assert one.witness.told["probed"] == [("store", True), ("clock", True)]


async def test_a_store_that_fails_and_a_clock_that_jumped_are_told(store: FaultyStore, one: Instance) -> None:
    async def fails() -> None:
        raise StoreUnavailable("disk full")

    store.probe = fails  # type: ignore[attr-defined]
    one.clock.jump(1_000)
    health = health_of(one)
    await health.probe()
    assert health()["store"] == "disk full"
    assert "+1000.0 s" in health()["clock"]
    assert one.witness.told["probed"] == [("store", False), ("clock", False)]


async def test_a_probe_without_an_answer_has_failed(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health_module, "PROBE_SECONDS_MAX", 0.001)
    store.probe = hangs  # type: ignore[attr-defined]
    health = health_of(one)
    await health.probe()
    assert health()["store"] == "no answer within 0.001 s"


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
    assert one.witness.told["probed"][2:4] == [("keys", True), ("push_keys", False)]


async def test_it_probes_again_and_again(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PROBE_SECONDS", 0)
    probing = asyncio.get_running_loop().create_task(health_of(one).run())
    await until(lambda: one.witness.count("probed") >= 6)
    probing.cancel()
    await asyncio.wait([probing])
