"""What the interface's own description promises is what a started service answers, whatever it is sent."""

import base64
import json
import os
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from tests.journey.service import Service
from tests.sizes import size

from tai_autonomics.ingress.routes import routes
from tai_autonomics.policy.file import load, shipped

SEED: Final = "20261124"
RUN_SECONDS_MAX: Final = 1_800
EXAMPLES: Final = size(short=25, full=1_000)
"""Of fuzzing, for each operation; beside them its coverage phase tries each bound of each member."""
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
OPERATIONS: Final = {route.name for route in routes() if route.path != "/openapi.json"}
"""schemathesis leaves out the description that it reads."""
OF_ONE: Final = {
    route.name for route in routes() if {"{action}", "{hold}"} & set(route.path.split("/")) and route.writes
}
"""What is accepted at most once of the one action in flight, or of one hold: else, what is decided of it is a 409."""
PLANS: Final = shipped().replace(
    b"""
          action: throttle
          with: {requests: 600, per: 1m, for: 10m}
          mode: shadow
""",
    b"""
          action: webhook
          with: {url: "http://127.0.0.1/", idempotent: true}
          mode: approve
""",
)
"""The rule's action waits for approval; approved, it fails for good, as no private address is allowed."""
SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
DIGEST: Final = "0" * 64
ACTION: Final = "01JD0000000000000000000000-7-0123456789ab"
OPEN: Final = {"GET /health", "GET /health/live", "GET /problems/{reason}"}
REFUSED: Final = {400, 401, 404, 405, 415}
"""All that a stranger is answered where a token is asked for: 400 for a header, 405 and 415 before the body is read."""


class Run:
    """
    A finished run: what was sent to each operation, and what it answered.

    `described` is another description, `action` and `hold` are ones that are there, `first` the first receipt's hash.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        *,
        token: str,
        described: Path | None = None,
        action: str = ACTION,
        hold: str = ACTION,
        first: str = DIGEST,
    ) -> None:
        report, roots = folder / "report.ndjson", [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [
            Path(sysconfig.get_path("scripts")) / "schemathesis",
            *("run", described or f"{service.url}/openapi.json", "--url", service.url),
            *(("--header", f"Authorization: Bearer {token}") if token else ()),
            *("--seed", SEED, "--generation-database", "none", "--max-examples", str(EXAMPLES)),
            *("--checks", ",".join(CHECKS), "--continue-on-failure", "--no-color", "--warnings", "off"),
            *("--report", "ndjson", "--report-ndjson-path", report),
        ]
        known = {"action": action, "hold": hold, "digest": load(PLANS, name="plans.yaml").digest}
        hooks = {
            "SCHEMATHESIS_HOOKS": "tests.journey.schemathesis_hooks",
            "PYTHONPATH": os.pathsep.join(roots),
            "TAI_TEST_KNOWN_IN_PATHS": json.dumps(known),
            "TAI_TEST_KNOWN_IN_BODIES": json.dumps({"head_hash": first}),
        }
        self.done = subprocess.run(
            command,
            env={**os.environ, **hooks},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        self.statuses: dict[str, Counter[int]] = {}
        with report.open() as lines:
            for line in lines:
                self._count(json.loads(line).get("ScenarioFinished", {}).get("recorder", {}))

    def _count(self, recorder: dict[str, Any]) -> None:
        for interaction in recorder.get("interactions", {}).values():
            statuses = self.statuses.setdefault(recorder["label"], Counter())
            statuses[interaction["response"]["status_code"]] += 1


@pytest.mark.timeout(RUN_SECONDS_MAX)
def test_an_admin_meets_no_5xx_and_nothing_that_is_not_described(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_bytes(PLANS)
    environ = {"PLANS_FILE": str(tmp_path / "plans.yaml"), "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}"}
    with Service(tmp_path / "data", environ=environ) as service, service.client() as client:
        grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
        granted = client.post("/marketplace", json={**grant, "metadata": {"order": "O-1"}})
        assert granted.status_code == 200
        signals = [{"metric": "cpu_utilization", "value": 99}] * 3
        assert client.post("/v1/tenants/acme/signals", json={"signals": signals}).status_code == 200
        action = client.get("/v1/tenants/acme").json()["action"]["action_id"]
        held = client.post("/v1/tenants/acme/holds", json={"scope": "erasure", "evidence": "urn:case:1"})
        hold = held.json()["receipt"]["subject"]["id"]
        # Or else nothing could be erased in the run.
        assert client.post(f"/v1/tenants/acme/holds/{hold}/release").status_code == 200
        first = granted.json()["hash"]
        run = Run(service, tmp_path, token=service.admin_token, action=action, hold=hold, first=first)
        assert client.get("/health").json()["status"] == "ok"
    assert run.done.returncode == 0, run.done.stdout
    assert run.statuses.keys() >= OPERATIONS
    for operation in OPERATIONS:
        decided = 409 if operation in OF_ONE else 200
        assert run.statuses[operation][decided] > 0, (operation, run.statuses[operation])
    few = {"GET /health", "GET /health/live", "GET /metrics"}
    assert min(run.statuses[operation].total() for operation in OPERATIONS - few) >= 30
    assert '"severity":"ERROR"' not in "".join(service.output)


@pytest.mark.timeout(RUN_SECONDS_MAX)
def test_a_stranger_meets_no_5xx_and_nothing_but_refusals(tmp_path: Path) -> None:
    with Service(tmp_path / "data") as service:
        run = Run(service, tmp_path, token="")
        with service.client() as client:
            assert client.get("/v1/tenants").json()["items"] == []
    assert run.done.returncode == 0, run.done.stdout
    assert run.statuses.keys() >= OPERATIONS
    for operation in OPERATIONS - OPEN:
        assert run.statuses[operation].keys() <= REFUSED, (operation, run.statuses[operation])
        assert run.statuses[operation][401] > 0


@pytest.mark.parametrize("flaw", ["a status that is not described", "a member of another type"])
def test_these_runs_fail_where_the_service_differs_from_its_description(tmp_path: Path, flaw: str) -> None:
    with Service(tmp_path / "data") as service, service.client("") as client:
        document = client.get("/openapi.json").json()
        described = document["paths"]["/v1/tenants"]["get"]
        document["paths"] = {"/v1/tenants": {"get": described}}
        if flaw == "a status that is not described":
            del described["responses"]["400"]
        else:
            document["components"]["schemas"]["TenantList"]["properties"]["items"] = {"type": "string"}
        (tmp_path / "described.json").write_text(json.dumps(document))
        run = Run(service, tmp_path, token=service.admin_token, described=tmp_path / "described.json")
    assert run.done.returncode == 1, run.done.stdout
    expected = "ST103 Undocumented status code" if flaw.startswith("a status") else "Response violates schema"
    assert expected in run.done.stdout, run.done.stdout
