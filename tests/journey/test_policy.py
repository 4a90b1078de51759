"""What the command line says of a store's recorded signals, beside the service that recorded them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from tests.journey.service import Service
from tests.journey.stores import environ_of

SECONDS_MAX: Final = 60


def plans(*, act: str, mode: str = "shadow") -> str:
    rule = [
        "name: cpu-high, signal: cpu_utilization, over: 2 samples, warn_when: window.avg > 60.0",
        f"act_when: window.avg > {act}, clear_when: window.avg < 50.0, cooldown: 1d",
        f"action: entitlement.suspend, mode: {mode}",
    ]
    return (
        "plans:\n  pro:\n    rank: 1\n    governor:\n      budget: {max: 5, per: 30d}\n      rules:\n"
        f"        - {{{', '.join(rule)}}}\n"
    )


def policy(data_dir: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tai_autonomics", "policy", *map(str, arguments), "--json", "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        env={**os.environ, "TAI_METRICS_ADDRESS": "off", **environ_of(data_dir)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def observe(client: httpx.Client, tenant: str, *values: int) -> None:
    for value in values:
        signals = [{"metric": "cpu_utilization", "value": value}]
        reply = client.post(
            f"/v1/tenants/{tenant}/signals", json={"signals": signals}, headers={"Idempotency-Key": f"{tenant}-{value}"}
        )
        assert reply.status_code == 200, reply.text


def test_a_backtest_tells_what_another_file_would_change_and_diff_what_shadows_would_have_done(tmp_path: Path) -> None:
    old, new, enforced = tmp_path / "old.yaml", tmp_path / "new.yaml", tmp_path / "enforced.yaml"
    old.write_text(plans(act="80.0"))
    new.write_text(plans(act="95.0"))
    enforced.write_text(plans(act="80.0", mode="enforce"))
    data_dir = tmp_path / "data"
    with Service(data_dir, environ={"PLANS_FILE": str(old)}) as service, service.client() as client:
        for tenant in ("acme", "bob"):
            body = {"tenant_id": tenant, "entitlement_id": "e", "action": "grant", "plan": "pro", "request_id": tenant}
            client.post("/marketplace", json=body).raise_for_status()
        observe(client, "acme", 40, 90, 91, 92)
        observe(client, "bob", 41, 42)

        *tenants, last = policy(data_dir, "backtest", "--plans", old, "--since", "1h")
        assert [(each["tenant"], each["signals"], each["differs"]) for each in tenants] == [
            ("acme", 4, False),
            ("bob", 2, False),
        ]
        assert tenants[0]["recorded"] == tenants[0]["rehearsed"]
        assert last["summary"]["differing"] == 0

        acme, bob, _ = policy(data_dir, "backtest", "--plans", new, "--since", "1h")
        ((gone,), none) = acme["gone"], acme["new"]
        assert (gone["rule"], gone["action"], gone["kind"], none) == (
            "cpu-high",
            "entitlement.suspend",
            "would_have",
            [],
        )
        assert not bob["differs"]

        acme, _, _ = policy(data_dir, "backtest", "--plans", enforced, "--since", "1h", "--latency", "0")
        assert acme["gone"] == [gone]
        assert acme["new"] == [{**gone, "kind": "requested"}]
        # It suspends what the signals are about, so that they are refused from then on.
        assert acme["rehearsed"]["refused"] == {"entitlement_inactive": 1}

        (shadow,) = policy(data_dir, "diff", "--since", "1h")
        at = gone["at"]
        assert shadow == {
            "tenant": "acme",
            "rule": "cpu-high",
            "action": "entitlement.suspend",
            "first": at,
            "last": at,
            "acts": 1,
            "withheld": {"cooling_down": 1},
        }
        assert policy(data_dir, "diff", "--tenant", "bob") == []
