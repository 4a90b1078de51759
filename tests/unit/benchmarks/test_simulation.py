"""The simulation agrees with what queueing theory says in closed form, and names the limit that was set."""

import pytest
from benchmarks.simulation import Deployment, Engine, Load, Outcome, simulate

MANY = 1_000_000
"""Tenants, so that no two commands in flight are of one."""


def of(engine: Engine, rate: float, *, tenants: int = MANY, seconds: float = 10.0, **deployed: object) -> Outcome:
    settings = {"lanes": MANY, "requests_at_once": MANY, **deployed}
    return simulate(Deployment(engine=engine, **settings), Load(rate, tenants), seconds=seconds)


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_a_cpu_alone_is_m_d_1(utilisation: float) -> None:
    service = 0.001
    seen = of(Engine(command_seconds=service, appends_at_once=MANY), utilisation / service, seconds=60)
    # Pollaczek and Khinchine: the mean wait of M/D/1 is rho s / (2 (1 - rho)).
    mean_ms = 1e3 * (service + utilisation * service / (2 * (1 - utilisation)))
    assert seen.cpu == pytest.approx(utilisation, rel=0.02)
    assert seen.mean_ms == pytest.approx(mean_ms, rel=0.05)


def test_instances_share_the_load_of_a_cpu_evenly() -> None:
    seen = of(Engine(command_seconds=0.001, appends_at_once=MANY), 2_000, instances=4, routing="apart", seconds=15)
    assert seen.cpu == pytest.approx(0.5, rel=0.02)
    assert seen.mean_ms == pytest.approx(1.5, rel=0.05)


def test_over_its_limit_a_cpu_answers_what_it_can() -> None:
    seen = of(Engine(command_seconds=0.001, appends_at_once=MANY), 1_500)
    assert seen.per_second == pytest.approx(1_000, rel=0.01)
    assert not seen.keeps_up
    assert seen.limit == "CPU of the instances"


def test_as_many_are_in_flight_as_arrive_in_the_time_that_one_takes() -> None:
    seen = of(Engine(command_seconds=0.0005, latency_seconds=0.02, appends_at_once=MANY), 1_000, seconds=30)
    # Little's law.
    assert seen.in_flight == pytest.approx(seen.per_second * seen.mean_ms / 1e3, rel=0.02)


def test_appends_at_once_bound_what_latency_lets_through() -> None:
    one_tenant_each = Engine(latency_seconds=0.05, appends_at_once=64, tenants_per_append=1)
    assert of(one_tenant_each, 1_200).keeps_up
    seen = of(one_tenant_each, 2_000)
    assert seen.per_second == pytest.approx(64 / 0.05, rel=0.02)
    assert seen.limit == "appends at once of an instance"


def test_requests_at_once_bound_it_too() -> None:
    seen = of(Engine(latency_seconds=0.05, appends_at_once=MANY, tenants_per_append=1), 2_000, requests_at_once=80)
    assert seen.per_second == pytest.approx(80 / 0.05, rel=0.02)
    assert seen.limit == "requests at once of an instance"


def test_a_commit_a_second_of_500_receipts_is_all_that_one_tenant_gets() -> None:
    firestore = Engine(
        latency_seconds=0.05,
        appends_at_once=64,
        tenants_per_append=1,
        receipts_per_tenant=500,
        head_commits_per_second=1,
    )
    assert of(firestore, 400, tenants=1, seconds=40).keeps_up
    seen = of(firestore, 800, tenants=1, seconds=40)
    assert seen.per_second == pytest.approx(500, rel=0.05)
    assert seen.limit == "heads of single tenants"


@pytest.mark.long
def test_sixteen_shards_of_an_index_take_500_commits_a_second_each() -> None:
    firestore = Engine(
        latency_seconds=0.01, appends_at_once=1_000, tenants_per_append=1, shards=16, shard_commits_per_second=500
    )
    seen = of(firestore, 12_000, instances=10, routing="apart", seconds=4)
    assert seen.per_second == pytest.approx(8_000, rel=0.02)
    assert seen.limit == "the index of heads"


@pytest.mark.long
def test_a_server_answers_what_full_appends_let_it() -> None:
    group_commit = Engine(append_seconds=0.002, receipt_seconds=0.00001, receipts_per_append=100)
    below = of(group_commit, 20_000, seconds=3)
    # Its server never rests, as appends grow with the load: that alone is no limit.
    assert (below.keeps_up, below.server > 0.95) == (True, True)
    seen = of(group_commit, 50_000, seconds=3)
    assert seen.per_second == pytest.approx(100 / 0.003, rel=0.02)
    assert seen.limit == "the store's server"


def test_any_tenant_at_any_instance_costs_conflicts_and_apart_none() -> None:
    engine = Engine(append_seconds=0.0001, latency_seconds=0.001, appends_at_once=4)
    spread = of(engine, 2_000, instances=4, seconds=5)
    apart = of(engine, 2_000, instances=4, routing="apart", seconds=5)
    # Of a tenant that is seen once, another of four instances was the last writer in three of four cases.
    assert spread.conflicts / spread.arrived == pytest.approx(0.75, rel=0.05)
    assert apart.conflicts == 0


@pytest.mark.parametrize(("lanes", "cold"), [(MANY, 0.0), (MANY // 4, 0.75)])
def test_what_memory_does_not_hold_is_read_again(lanes: int, cold: float) -> None:
    engine = Engine(command_seconds=0.0001, cold_seconds=0.0009, appends_at_once=MANY)
    seen = of(engine, 500, lanes=lanes, seconds=30)
    assert seen.cpu == pytest.approx(500 * (0.0001 + cold * 0.0009), rel=0.05)


def test_the_same_seed_gives_the_same_outcome() -> None:
    deployment = Deployment(engine=Engine(command_seconds=0.001), instances=2)
    first, again, other = (simulate(deployment, Load(900, 1_000), seconds=3, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_below_every_limit_none_is_named() -> None:
    assert of(Engine(command_seconds=0.001), 100, seconds=20).limit == "nothing"
