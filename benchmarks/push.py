"""Signals as Pub/Sub pushes them, and the plans of a service that takes them."""

import base64
from collections.abc import Iterator, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final

import msgspec

METRIC: Final = "cpu_utilization"
SUBSCRIPTION: Final = "projects/p/subscriptions/s"
HIGH: Final = ("91.5", "92.5", "93.5")
"""Three samples on which the rule acts."""
CALM: Final = ("21.5", "34.25", "28.0", "41.75", "37.5")
"""Samples on which it does not, whatever their order."""


def plans_file(directory: Path, *, url: str) -> Path:
    """Of one plan with one rule in force: an average over 80 of three samples calls the webhook at once, then rests."""
    governor = {
        "budget": {"max": 50, "per": "1h"},
        "breaker": {"failures": 3},
        "rules": [
            {
                "name": "cpu-high",
                "signal": METRIC,
                "over": "3 samples",
                "act_when": "window.avg > 80.0",
                "clear_when": "window.avg < 50.0",
                "cooldown": "1h",
                "action": "webhook",
                "with": {"url": url},
                "attempts": 1,
                "timeout": "5s",
                "mode": "enforce",
            }
        ],
    }
    file = directory / "plans.yaml"
    # JSON is YAML.
    file.write_bytes(msgspec.json.encode({"plans": {"professional": {"rank": 10, "governor": governor}}}))
    return file


def message(number: int, signals: Sequence[tuple[str, str]]) -> bytes:
    """The envelope's body; each signal is a tenant and a value as it is written."""
    items = ",".join(f'{{"tenant_id":"{tenant}","metric":"{METRIC}","value":{value}}}' for tenant, value in signals)
    envelope: dict[str, Any] = {
        "message": {"data": base64.b64encode(f"[{items}]".encode()).decode(), "messageId": str(number)},
        "subscription": SUBSCRIPTION,
    }
    return msgspec.json.encode(envelope)


def request(token: str, body: bytes) -> bytes:
    head = (
        "POST /pubsub HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def calm_requests(
    tenants: Sequence[str], token: str, *, signals: int, tenants_each: int, first: int
) -> Iterator[bytes]:
    """
    Messages of so many signals of so many tenants each, in turns, without end; no rule acts on them.

    `first` is the number of the first one: a number that was sent before is a message delivered again.
    """
    names, values = cycle(tenants), cycle(CALM)
    for number in count(first):
        some = [next(names) for _ in range(tenants_each)]
        yield request(token, message(number, [(some[n % tenants_each], next(values)) for n in range(signals)]))


def environ(plans: Path) -> dict[str, str]:
    """What else a service needs to call a webhook on this machine."""
    return {
        "PLANS_FILE": str(plans),
        "TAI_WEBHOOK_SIGNING_SECRETS": f"*=whsec_{base64.b64encode(bytes(range(32))).decode()}",
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
    }
