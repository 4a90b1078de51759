"""
Load on a running service: a realistic mix over tenants drawn by Zipf's law, and whether the checklist's floor was held.

    locust -f locustfile.py -u 100 -r 10 -t 5m $SERVICE_URL

    grant (once) --> check, verify, usage, signals (/v1 and /pubsub), suspend and resume, reads, /health
                     one in twenty commands is sent again with its key: the same receipt must come back

Any answer but the documented one is an error. Grants have fixed keys, so a run on a service that had one before finds
its tenants as they were. At the end each figure that the checklist's floor misses is a line, and the status is 1.
LOAD_TOKEN or LOAD_KEY_FILE says who asks (`benchmarks/steady/callers.py`); benchmarks/README.md has all settings.
"""

import base64
import json
import os
import random
import time
from bisect import bisect
from itertools import accumulate, count
from typing import Any, Final

from benchmarks.steady.callers import Credential, check_credentials
from benchmarks.steady.judging import Watch
from locust import FastHttpUser, poisson, task
from locust.contrib.fasthttp import ResponseContextManager

TENANTS: Final = int(os.environ.get("LOAD_TENANTS", "200"))
PLAN: Final = os.environ.get("LOAD_PLAN", "professional")
"""A plan with the quota api_calls and a rule on the metric cpu_utilization."""
RATE: Final = float(os.environ.get("LOAD_RATE", "4"))
"""Requests a second of one user."""

ZIPF_S: Final = 1.1
REPEATED: Final = 0.05
ENTITLEMENTS: Final = 4
ANSWER_SECONDS_MAX: Final = 10.0
SUBSCRIPTION: Final = "projects/load/subscriptions/load"
RUN: Final = f"{time.time_ns():x}"
"""In every other key, so that no run repeats another's commands."""
RECEIPTS: Final = frozenset({"grant", "verify", "usage", "signals", "signals by push", "suspend", "resume"})
"""The names of requests that end in a receipt."""

NAMES: Final = [f"load-{rank:06d}" for rank in range(1, TENANTS + 1)]
WEIGHTS: Final = list(accumulate(1 / rank**ZIPF_S for rank in range(1, TENANTS + 1)))
NUMBERS: Final = count()
USERS: Final = count()
GRANTED: Final[set[str]] = set()

check_credentials()
Watch(RECEIPTS, answer_seconds_max=ANSWER_SECONDS_MAX).listen()


def drawn() -> str:
    """A tenant; the first of NAMES is the likeliest."""
    return NAMES[bisect(WEIGHTS, random.random() * WEIGHTS[-1])]


class Caller(FastHttpUser):
    """One vendor's machine: it commands as integration, reads as a viewer, over one connection."""

    wait_time = poisson(RATE)
    """Not a constant pace: users start in groups of a second, and would ask in step as long as the load runs."""
    insecure = False
    network_timeout = connection_timeout = ANSWER_SECONDS_MAX

    def on_start(self) -> None:
        number = next(USERS)
        worker = getattr(self.environment.runner, "worker_index", 0)
        self.commanding = Credential(subject="load", role="integration")
        self.operating = Credential(subject="load-operator", role="operator")
        self.reading = Credential(subject=f"load-{worker}-{number}", role="viewer")
        self.home, self.own = NAMES[number % TENANTS], f"own-{worker}-{number}"
        self.grant(self.home, self.own)
        # A run that was cut may have left it suspended.
        self.order(self.home, self.own, "resume", documented=(200, 409))

    # ---- what it asks, as often as the numbers say

    @task(30)
    def check(self) -> None:
        asked = {"entitlement_id": "ent_1", "quota": "api_calls", "amount": random.randint(1, 10)}
        self.post("check", f"/v1/tenants/{self.tenant()}/check", asked, needs=b'"allowed":true')

    @task(14)
    def verify(self) -> None:
        self.order(self.tenant(), "ent_1", "verify")

    @task(14)
    def use(self) -> None:
        item = {"operation": "consume", "quota": "api_calls", "amount": random.randint(1, 3)}
        path = f"/v1/tenants/{self.tenant()}/usage"
        self.once_or_twice("usage", path, item, fresh_key(), documented=(200, "quota_exceeded"))

    @task(9)
    def push(self) -> None:
        """As Pub/Sub does: signals of a few tenants, and some messages twice."""
        signals = [{"tenant_id": self.tenant(), **measured()} for _ in range(random.randint(1, 5))]
        data = base64.b64encode(json.dumps(signals).encode()).decode()
        envelope = {"message": {"data": data, "messageId": fresh_key()}, "subscription": SUBSCRIPTION}
        for _ in range(times()):
            self.post("signals by push", "/pubsub", envelope, needs=b'{"items":[{"status":200')

    @task(8)
    def signal(self) -> None:
        asked = {"signals": [measured() for _ in range(random.randint(1, 5))]}
        self.once_or_twice("signals", f"/v1/tenants/{self.tenant()}/signals", asked, fresh_key())

    @task(5)
    def grant_again(self) -> None:
        """A marketplace that repeats itself: the key is fixed, so only the first one grants."""
        self.grant(self.tenant(), f"ent_{random.randint(1, ENTITLEMENTS)}")

    @task(3)
    def suspend_and_resume(self) -> None:
        self.order(self.home, self.own, "suspend", credential=self.operating)
        self.order(self.home, self.own, "resume", credential=self.operating)

    @task(6)
    def read_head(self) -> None:
        self.read("head", f"/v1/tenants/{self.tenant()}/receipts/head")

    @task(4)
    def read_receipts(self) -> None:
        self.read("receipts", f"/v1/tenants/{self.tenant()}/receipts?limit=20&after={random.randint(0, 50)}")

    @task(4)
    def read_tenant(self) -> None:
        self.read("tenant", f"/v1/tenants/{self.tenant()}")

    @task(3)
    def ask_health(self) -> None:
        self.read("health", "/health")

    # ---- how it asks

    def tenant(self) -> str:
        """One that is in service: it is granted where this process has not done so yet."""
        name = drawn()
        if name not in GRANTED:
            self.grant(name, "ent_1")
            GRANTED.add(name)
        return name

    def grant(self, tenant: str, entitlement: str) -> None:
        self.order(tenant, entitlement, "grant", key=f"{PLAN}-{entitlement}", plan=PLAN)

    def order(
        self,
        tenant: str,
        entitlement: str,
        action: str,
        *,
        key: str = "",
        documented: tuple[int | str, ...] = (200,),
        credential: Credential | None = None,
        **more: str,
    ) -> None:
        asked = {"tenant_id": tenant, "entitlement_id": entitlement, "action": action, **more}
        self.once_or_twice(action, "/marketplace", asked, key or fresh_key(), documented, credential)

    def once_or_twice(
        self,
        name: str,
        path: str,
        asked: dict[str, Any],
        key: str,
        documented: tuple[int | str, ...] = (200,),
        credential: Credential | None = None,
    ) -> None:
        """Some commands are sent again with their key: the answer must be the first one's, byte for byte."""
        first = self.post(name, path, asked, key=key, documented=documented, needs=b'"hash"', credential=credential)
        if first and times() > 1:
            self.post(name, path, asked, key=key, replay_of=first, credential=credential)

    def post(
        self,
        name: str,
        path: str,
        asked: dict[str, Any],
        *,
        key: str = "",
        documented: tuple[int | str, ...] = (200,),
        needs: bytes = b"",
        replay_of: bytes = b"",
        credential: Credential | None = None,
    ) -> bytes:
        """The body of a 200, else none. Anything that is not documented, lacks `needs` or is another replay, failed."""
        headers = {
            "Authorization": (credential or self.commanding).header(),
            "Content-Type": "application/json",
            **({"Idempotency-Key": key} if key else {}),
        }
        with self.client.post(path, json.dumps(asked), headers=headers, name=name, catch_response=True) as answer:
            body: bytes = answer.content or b""
            if answer.status_code not in documented and _reason(answer) not in documented:
                answer.failure(f"{answer.status_code} {_reason(answer)}")
            elif answer.status_code == 200 and needs not in body:
                answer.failure(f"200 without {needs.decode()}")
            elif replay_of and (body != replay_of or answer.headers.get("Idempotent-Replayed") != "true"):
                answer.failure("a repeat was not answered as the first one")
            else:
                answer.success()
            return body if answer.status_code == 200 else b""

    def read(self, name: str, path: str) -> None:
        self.client.get(path, headers={"Authorization": self.reading.header()}, name=name)


def measured() -> dict[str, Any]:
    return {"metric": "cpu_utilization", "value": round(random.gauss(45, 15) % 100, 1)}


def fresh_key() -> str:
    return f"{RUN}-{next(NUMBERS)}"


def times() -> int:
    return 2 if random.random() < REPEATED else 1


def _reason(answer: ResponseContextManager) -> str:
    try:
        return str(json.loads(answer.content)["reason"])
    except (ValueError, KeyError, TypeError):
        return str(answer.error or "")
