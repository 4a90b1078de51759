"""
A discrete-event simulation of instances and tenants on one store: what a command waits for, and which limit binds.

    arrival --> instance (concurrency) --> CPU --> lane --> append (at once, sizes) --> engine --> answered
                     waits outside          ^        waits while its tenant's append is under way
                                            +-- conflict: another instance wrote the tenant since; decided again

Commands arrive at random (Poisson), of tenants drawn evenly; every service time is a constant. Seeded: the same
deployment, load and seed give the same outcome. What is not in it: failures, retries of callers, reads, timers.
"""

import heapq
import random
from collections import deque
from math import inf
from typing import Final, Literal

from msgspec import Struct

from benchmarks.quantiles import at

SEED: Final = 2026
WARM_UP_SHARE: Final = 0.25
"""Of the time, before anything is counted."""
SATURATED: Final = 0.95

Routing = Literal["spread", "apart"]
Limit = Literal[
    "nothing",
    "CPU of the instances",
    "CPU of the instances, reading cold ledgers",
    "the store's server",
    "heads of single tenants",
    "the index of heads",
    "appends at once of an instance",
    "requests at once of an instance",
]


class Engine(Struct, frozen=True, kw_only=True):
    """
    A store as an instance meets it. Seconds of work: of its server for an append and for each receipt in it, which
    nobody else gets meanwhile; of an instance's CPU for a command, of which `decide_seconds` again after a conflict.
    """

    append_seconds: float = 0.0
    receipt_seconds: float = 0.0
    latency_seconds: float = 0.0
    """Of an append, beside the server's work: what waits costs nobody anything."""
    command_seconds: float = 0.0
    decide_seconds: float = 0.0
    cold_seconds: float = 0.0
    """Of CPU, to read a ledger that is not in memory."""
    appends_at_once: int = 1
    tenants_per_append: int = 1_000
    receipts_per_append: int = 1_000
    receipts_per_tenant: int = 50
    head_commits_per_second: float = inf
    """Of one tenant."""
    shards: int = 1
    shard_commits_per_second: float = inf
    """Of the tenants whose heads lie in one shard of the index."""


class Deployment(Struct, frozen=True, kw_only=True):
    """Instances on one store; `lanes` are the tenants that each keeps in memory, as TAI_LANES_MAX."""

    engine: Engine
    instances: int = 1
    requests_at_once: int = 1_000
    lanes: int = 100_000
    routing: Routing = "spread"


class Load(Struct, frozen=True):
    commands_per_second: float
    tenants: int


class Outcome(Struct, frozen=True):
    """After the warm-up; what is no time and no count is a share of what there is."""

    arrived: int
    done: int
    seconds: float
    mean_ms: float
    p99_ms: float
    cpu: float
    cold: float
    """The part of the CPU's work that reads cold ledgers."""
    server: float
    head: float
    """Of the commands that were answered, those that waited for their tenant's head."""
    shard: float
    appends: float
    requests: float
    in_flight: float
    conflicts: int
    receipts_per_append: float
    server_full: float
    """Of the server, what the same receipts would have taken in the largest appends."""

    @property
    def per_second(self) -> float:
        return self.done / self.seconds

    @property
    def keeps_up(self) -> bool:
        """What arrived was answered, but for three in a hundred: at a fifth over a limit far more are left."""
        return self.done >= 0.97 * self.arrived

    @property
    def limit(self) -> Limit:
        """What is used up first; what only fills because something behind it is used up comes after that."""
        if self.cpu >= SATURATED:
            return "CPU of the instances, reading cold ledgers" if self.cold > 0.5 else "CPU of the instances"
        if self.head >= 0.5:
            return "heads of single tenants"
        if self.shard >= SATURATED:
            return "the index of heads"
        # Where larger appends would spare it much, more commands at once are wanted, not a faster server.
        if self.server >= SATURATED and (self.server_full >= 0.8 or self.requests < SATURATED):
            return "the store's server"
        if self.requests >= SATURATED:
            return "requests at once of an instance"
        return "appends at once of an instance" if self.appends >= SATURATED else "nothing"


_Sent = tuple[int, int, bool]
"""A tenant, its receipts, and whether its instance had the newest state when it sent them."""


class _Instance:
    def __init__(self, number: int) -> None:
        self.number = number
        self.outside: deque[tuple[float, int]] = deque()
        self.requests = 0
        self.cpu_free = 0.0
        self.lanes: dict[int, deque[float]] = {}
        self.sent: set[int] = set()
        self.ready: deque[int] = deque()
        self.appends = 0


class Simulation:
    """Run it once, with `run`."""

    def __init__(self, deployment: Deployment, load: Load, *, seed: int = SEED) -> None:
        self._deployment, self._engine, self._load = deployment, deployment.engine, load
        self._chance = random.Random(seed)
        self._instances = [_Instance(number) for number in range(deployment.instances)]
        self._events: list[tuple[float, int, int, object]] = []
        self._number = 0
        self._server_free = 0.0
        self._head_free: dict[int, float] = {}
        self._shard_free = [0.0] * self._engine.shards
        self._writer: dict[int, int] = {}
        seen = load.tenants / (deployment.instances if deployment.routing == "apart" else 1)
        self._cold_share = max(0.0, 1 - deployment.lanes / seen)
        self._counting = 0.0
        self._until = 0.0
        self._latencies: list[float] = []
        self._arrived = self._done = self._conflicts = self._sent_appends = self._sent_receipts = 0
        self._busy = dict.fromkeys(("cpu", "cold", "server", "shards"), 0.0)
        self._head_waits = 0
        self._areas = dict.fromkeys(("requests", "appends", "in_flight"), 0.0)
        self._levels = dict.fromkeys(("requests", "appends", "in_flight"), 0)
        self._looked = 0.0

    def run(self, seconds: float) -> Outcome:
        self._until, self._counting = seconds, seconds * WARM_UP_SHARE
        arrival = self._chance.expovariate(self._load.commands_per_second)
        while True:
            if self._events and self._events[0][0] <= arrival:
                now, _, kind, payload = heapq.heappop(self._events)
                if now > seconds:
                    break
                self._look(now)
                (self._enter_lane, self._append_done)[kind](now, payload)
            else:
                if arrival > seconds:
                    break
                self._look(arrival)
                self._arrive(arrival)
                arrival += self._chance.expovariate(self._load.commands_per_second)
        self._look(seconds)
        return self._outcome()

    def _look(self, now: float) -> None:
        """Levels are counted over time."""
        if (since := max(self._looked, self._counting)) < now:
            for name, level in self._levels.items():
                self._areas[name] += level * (now - since)
        self._looked = now

    def _share(self, start: float, seconds: float) -> float:
        """The part of this work that falls into the counted time."""
        return max(0.0, min(start + seconds, self._until) - max(start, self._counting))

    def _later(self, when: float, kind: int, payload: object) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, kind, payload))

    # ---- arrival, CPU, lane

    def _arrive(self, now: float) -> None:
        self._arrived += now >= self._counting
        self._levels["in_flight"] += 1
        tenant = self._chance.randrange(self._load.tenants)
        apart = self._deployment.routing == "apart"
        number = tenant % len(self._instances) if apart else self._chance.randrange(len(self._instances))
        instance = self._instances[number]
        if instance.requests < self._deployment.requests_at_once:
            self._admit(instance, now, now, tenant)
        else:
            instance.outside.append((now, tenant))

    def _admit(self, instance: _Instance, now: float, arrived: float, tenant: int) -> None:
        instance.requests += 1
        self._levels["requests"] += 1
        # A ledger that was just read is as new as can be.
        cold = tenant not in instance.lanes and self._chance.random() < self._cold_share
        seconds = self._engine.command_seconds + (self._engine.cold_seconds if cold else 0.0)
        if cold:
            self._writer[tenant] = instance.number
        start = max(now, instance.cpu_free)
        instance.cpu_free = start + seconds
        self._busy["cpu"] += self._share(start, seconds)
        self._busy["cold"] += self._share(start, self._engine.cold_seconds) if cold else 0.0
        self._later(instance.cpu_free, 0, (instance, tenant, arrived))

    def _enter_lane(self, now: float, payload: tuple[_Instance, int, float]) -> None:
        instance, tenant, arrived = payload
        lane = instance.lanes.setdefault(tenant, deque())
        lane.append(arrived)
        if tenant not in instance.sent and len(lane) == 1:
            instance.ready.append(tenant)
        self._send(instance, now)

    # ---- appends

    def _send(self, instance: _Instance, now: float) -> None:
        engine = self._engine
        while instance.ready and instance.appends < engine.appends_at_once:
            batch: list[_Sent] = []
            receipts = 0
            while instance.ready and len(batch) < engine.tenants_per_append and receipts < engine.receipts_per_append:
                tenant = instance.ready.popleft()
                count = min(len(instance.lanes[tenant]), engine.receipts_per_tenant)
                batch.append((tenant, count, self._is_newest(instance, tenant)))
                instance.sent.add(tenant)
                receipts += count
            instance.appends += 1
            self._levels["appends"] += 1
            self._sent_appends += 1
            self._sent_receipts += receipts
            self._later(self._stored_at(now, batch, receipts), 1, (instance, batch))

    def _stored_at(self, now: float, batch: list[_Sent], receipts: int) -> float:
        """When the engine is through with it: each of its places takes one after another."""
        engine = self._engine
        work = engine.append_seconds + engine.receipt_seconds * receipts
        start = max(now, self._server_free)
        self._server_free = ended = start + work
        self._busy["server"] += self._share(start, work)
        latency = engine.latency_seconds
        for tenant, count, is_newest in batch:
            if not is_newest:
                # Refused, nothing is written; then it is asked what was missed.
                latency = 2 * engine.latency_seconds
                continue
            head, shard = self._head_at(now, tenant), self._shard_at(now, tenant)
            self._head_waits += count if head > now >= self._counting else 0
            ended = max(ended, head, shard)
        return ended + latency

    def _head_at(self, now: float, tenant: int) -> float:
        if self._engine.head_commits_per_second == inf:
            return now
        start = max(now, self._head_free.get(tenant, 0.0))
        self._head_free[tenant] = start + 1 / self._engine.head_commits_per_second
        return start

    def _shard_at(self, now: float, tenant: int) -> float:
        if self._engine.shard_commits_per_second == inf:
            return now
        shard, each = tenant % self._engine.shards, 1 / self._engine.shard_commits_per_second
        start = max(now, self._shard_free[shard])
        self._shard_free[shard] = start + each
        self._busy["shards"] += self._share(start, each)
        return start

    def _append_done(self, now: float, payload: tuple[_Instance, list[_Sent]]) -> None:
        instance, batch = payload
        instance.appends -= 1
        self._levels["appends"] -= 1
        for tenant, count, is_newest in batch:
            instance.sent.discard(tenant)
            lane = instance.lanes[tenant]
            if is_newest and self._writer[tenant] == instance.number:
                for _ in range(count):
                    self._answer(instance, now, lane.popleft())
            else:
                self._decide_again(instance, now, count)
            self._writer[tenant] = instance.number
            if lane:
                instance.ready.append(tenant)
            else:
                del instance.lanes[tenant]
        while instance.outside and instance.requests < self._deployment.requests_at_once:
            self._admit(instance, now, *instance.outside.popleft())
        self._send(instance, now)

    def _is_newest(self, instance: _Instance, tenant: int) -> bool:
        """Whether the instance has the tenant's newest state; who wrote before the simulation is a matter of chance."""
        if tenant not in self._writer:
            apart = self._deployment.routing == "apart"
            self._writer[tenant] = instance.number if apart else self._chance.randrange(len(self._instances))
        return self._writer[tenant] == instance.number

    def _decide_again(self, instance: _Instance, now: float, count: int) -> None:
        self._conflicts += now >= self._counting
        seconds = self._engine.decide_seconds * count
        start = max(now, instance.cpu_free)
        instance.cpu_free = start + seconds
        self._busy["cpu"] += self._share(start, seconds)

    def _answer(self, instance: _Instance, now: float, arrived: float) -> None:
        instance.requests -= 1
        self._levels["requests"] -= 1
        self._levels["in_flight"] -= 1
        if now >= self._counting:
            self._done += 1
            self._latencies.append(now - arrived)

    def _receipt_seconds_min(self) -> float:
        engine = self._engine
        tenants = min(engine.tenants_per_append, self._load.tenants)
        most = min(engine.receipts_per_append, tenants * engine.receipts_per_tenant)
        return engine.receipt_seconds + engine.append_seconds / most

    def _outcome(self) -> Outcome:
        seconds, deployment = self._until - self._counting, self._deployment
        latencies = sorted(self._latencies)
        count = deployment.instances
        return Outcome(
            arrived=self._arrived,
            done=self._done,
            seconds=seconds,
            mean_ms=sum(latencies) / len(latencies) * 1e3 if latencies else 0.0,
            p99_ms=at(latencies, 0.99) * 1e3,
            cpu=self._busy["cpu"] / seconds / count,
            cold=self._busy["cold"] / self._busy["cpu"] if self._busy["cpu"] else 0.0,
            server=self._busy["server"] / seconds,
            head=self._head_waits / self._done if self._done else 0.0,
            shard=self._busy["shards"] / seconds / self._engine.shards,
            appends=self._areas["appends"] / seconds / (count * self._engine.appends_at_once),
            requests=self._areas["requests"] / seconds / (count * deployment.requests_at_once),
            in_flight=self._areas["in_flight"] / seconds,
            conflicts=self._conflicts,
            receipts_per_append=self._sent_receipts / self._sent_appends if self._sent_appends else 0.0,
            server_full=self._done / seconds * self._receipt_seconds_min(),
        )


def simulate(deployment: Deployment, load: Load, *, seconds: float, seed: int = SEED) -> Outcome:
    return Simulation(deployment, load, seed=seed).run(seconds)
