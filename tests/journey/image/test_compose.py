"""What compose.yaml says of the service, on a PostgreSQL of the tests' in place of its own: it starts, closed."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.engines.containers import ROOT, Container, image
from tests.engines.postgresql import Cluster

pytestmark = [pytest.mark.embedded, pytest.mark.long]

COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text())


def options_of(service: dict[str, Any], secrets: Path) -> list[str]:
    """Of `run`, for what a service of compose.yaml says of itself; ports and volumes are the test's own."""
    files = {name: Path(each["file"]).name for name, each in COMPOSE["secrets"].items()}
    return [
        *(f"--volume={secrets / files[name]}:/run/secrets/{name}:ro" for name in service["secrets"]),
        *(f"--tmpfs={each}" for each in service["tmpfs"]),
        *(f"--cap-drop={each}" for each in service["cap_drop"]),
        *(f"--security-opt={each.replace(':true', '')}" for each in service["security_opt"]),
        *(["--read-only"] if service["read_only"] else []),
        f"--memory={service['mem_limit']}",
        f"--pids-limit={service['pids_limit']}",
    ]


def test_the_service_of_compose_serves_on_postgresql_with_a_token_minted_as_it_says(
    cluster: Cluster, tmp_path: Path
) -> None:
    image()
    service, secrets = COMPOSE["services"]["tai-autonomics"], tmp_path / "secrets"
    subprocess.run([ROOT / "container" / "local-secrets", secrets], check=True, timeout=30)
    url = secrets / "store_url"
    named = "@postgresql:5432/tai"
    assert named in url.read_text()
    url.chmod(0o644)
    url.write_text(url.read_text().replace(named, f"@127.0.0.1:{cluster.port}/{cluster.database()}"))
    with Container(*options_of(service, secrets), on_host=True, environ=service["environment"]) as container:
        token = container.output("tai-autonomics", "token", "mint", "--role", "admin", "--tenants", "*")
        with container.client(token) as client:
            grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "free"}
            assert client.post("/marketplace", json=grant).status_code == 200
            assert client.get("/v1/tenants/acme/receipts/head").json()["receipt"]["seq"] == 1
        assert container.stop() < service_grace(service)
        said = [json.loads(line)["message"] for line in container.log().splitlines()]
    assert "listening" in said


def service_grace(service: dict[str, Any]) -> float:
    return float(service["stop_grace_period"].removesuffix("s"))
