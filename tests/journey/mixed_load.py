"""
Mixed commands of many tenants, a third of them duplicates and reordered, and what they must have come to.

The model is sequential and knows nothing of lanes: it takes the receipts in the order of each ledger and says what a
plain loop over the same commands would have decided; the answers must be those receipts.
"""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import httpx

from tai_autonomics.ledger.chain import verify

TENANTS = 50
LIMIT = 25
"""Of the quota seats in the plan professional: hard, for a lifetime."""


class Model:
    """One tenant, decided in a plain loop: an entitlement's status and the seats in use."""

    def __init__(self) -> None:
        self.status = "none"
        self.was = ""
        self.seats = 0

    def decide(self, command: dict[str, Any]) -> str:
        """What must be answered: "ok" or the reason of the refusal."""
        match command["action"]:
            case "grant" if self.status == "none":
                self.status = "active"
            case "suspend" if self.status == "active":
                self.status = "suspended"
            case "resume" if self.status == "suspended":
                self.status = "active"
            case "verify" | "consume" if self.status != "active":
                return "entitlement_inactive"
            case "verify":
                pass
            case "consume":
                if self.seats + command["amount"] > LIMIT:
                    return "quota_exceeded"
                self.seats += command["amount"]
            case "release":
                if self.status != "active" and self.seats == 0:
                    return "unknown_quota"
                if command["amount"] > self.seats:
                    return "release_exceeds_use"
                self.seats -= command["amount"]
            case _:
                return "invalid_transition"
        return "ok"


def commands(requests: int) -> list[dict[str, Any]]:
    """Mixed commands, each third one a repeat of an earlier one, in an order that is not theirs."""
    chance = random.Random(20_261_124)
    fresh = []
    for number in range(requests * 2 // 3):
        action = chance.choices(
            ("grant", "verify", "consume", "release", "suspend", "resume"), (5, 25, 40, 20, 4, 6), k=1
        )[0]
        tenant = f"tenant-{chance.randrange(TENANTS)}"
        fresh.append({"key": f"k{number}", "tenant": tenant, "action": action, "amount": chance.randint(1, 4)})
    repeats = chance.choices(fresh, k=requests - len(fresh))
    mixed = [*fresh, *repeats]
    window = 400
    for start in range(0, len(mixed), window):
        part = mixed[start : start + window]
        chance.shuffle(part)
        mixed[start : start + window] = part
    return mixed


async def send(client: httpx.AsyncClient, command: dict[str, Any], *, tries: int = 1) -> httpx.Response:
    """The last answer of at most `tries`: after a 503 it is sent again with its key, as a client would."""
    for _ in range(tries - 1):
        answer = await _sent(client, command)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(int(answer.headers["Retry-After"]))
    return await _sent(client, command)


async def _sent(client: httpx.AsyncClient, command: dict[str, Any]) -> httpx.Response:
    key = {"Idempotency-Key": command["key"]}
    if command["action"] in ("consume", "release"):
        item = {"operation": command["action"], "quota": "seats", "amount": command["amount"]}
        return await client.post(f"/v1/tenants/{command['tenant']}/usage", json=item, headers=key)
    body = {"tenant_id": command["tenant"], "entitlement_id": "ent_1", "action": command["action"]}
    if command["action"] == "grant":
        body["plan"] = "professional"
    return await client.post("/marketplace", json=body, headers=key)


def check(
    lines: list[bytes], sent: Iterable[dict[str, Any]], answers: list[tuple[dict[str, Any], httpx.Response]]
) -> None:
    """The chains verify, each decision is the model's, each answer is its command's receipt, and all were decided."""
    verify(lines, {})

    by_key = {command["key"]: command for command in sent}
    models: dict[str, Model] = defaultdict(Model)
    ledger: dict[str, list[str]] = defaultdict(list)
    claimed: set[str] = set()
    for line in lines:
        shown = json.loads(line)
        receipt = shown["receipt"]
        command = by_key[receipt["cause"]["id"].rpartition(":")[2]]
        reason = receipt.get("refusal", {}).get("reason", "ok")
        assert reason == models[receipt["tenant"]].decide(command), receipt
        assert command["key"] not in claimed, "a claimed command was decided again"
        if reason != "quota_exceeded":
            claimed.add(command["key"])
        ledger[command["key"]].append(shown["hash"])

    assert {answer.status_code for _, answer in answers} <= {200, 403, 409, 422, 429}
    for command, answer in answers:
        assert answer.json()["hash"] in ledger[command["key"]], (command, answer.text)
    assert ledger.keys() == by_key.keys()
