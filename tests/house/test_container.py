"""The container's files are sound where no engine is: linted, closed by default, and without anybody's secret."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
CONTAINERFILE: Final = ROOT / "container" / "Containerfile"
SCRIPTS: Final = [ROOT / "container" / name for name in ("build", "local-secrets", "stand-in", "sbom")]
COMPOSE: Final = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
PIN: Final = re.compile(r"^([a-z0-9.-]+)==([^ ;\\]+)", re.MULTILINE)


def tool(name: str, *arguments: str | Path) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_containerfile_is_clean() -> None:
    assert tool("hadolint", "--failure-threshold", "style", CONTAINERFILE) == (0, "")


def test_the_scripts_are_clean() -> None:
    assert tool("shellcheck", *SCRIPTS) == (0, "")
    assert all(os.access(script, os.X_OK) for script in SCRIPTS)


def test_what_the_image_is_made_of_is_named_and_nothing_else_is_sent_to_the_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE.read_text(), re.MULTILINE)
    assert {Path(name).parts[0] for line in copied for name in line.split()} == sent


@pytest.mark.parametrize("file", ["run", "otel", "gcp", "build"])
def test_what_is_shipped_is_what_the_tests_run_on(file: str) -> None:
    pins = {name: set(PIN.findall((ROOT / "requirements" / f"{name}.txt").read_text())) for name in (file, "dev")}
    assert pins[file] - pins["dev"] == set()
    assert len(pins[file]) >= 5


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
def test_a_service_of_compose_is_closed(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user") not in ("root", "0", 0)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert {"mem_limit", "pids_limit", "stop_grace_period"} <= service.keys()


def test_secrets_of_compose_are_files_that_git_and_the_build_leave_out() -> None:
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            secret = re.search(r"PASSWORD|SECRET|STORE_URL|JWT_KEYS", name)
            assert not secret or str(value).startswith("/run/secrets/"), name
    files = [each["file"] for each in COMPOSE["secrets"].values()]
    ignored = subprocess.run(
        ["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert ignored.stdout.split() == files
    assert len(files) == 3


def test_whoever_comes_up_is_waited_for_until_it_is_healthy() -> None:
    assert SERVICES["tai-autonomics"]["depends_on"] == {"postgresql": {"condition": "service_healthy"}}
    assert SERVICES["postgresql"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert "HEALTHCHECK" in CONTAINERFILE.read_text()


def test_local_secrets_are_made_once_in_a_folder_of_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = ROOT / "container" / "local-secrets"
    subprocess.run([script, folder], check=True, timeout=60)
    names = {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    assert {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()} == dict.fromkeys(names, 0o444)
    assert folder.stat().st_mode & 0o777 == 0o700
    password = (folder / "postgresql_password").read_text()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert (folder / "store_url").read_text() == f"postgresql://tai:{password}@postgresql:5432/tai"
    again = subprocess.run([script, folder], capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 73
    assert (folder / "postgresql_password").read_text() == password


def test_local_secrets_of_which_one_could_not_be_made_are_none(tmp_path: Path) -> None:
    folder, openssl = tmp_path / "secrets", tmp_path / "openssl"
    openssl.write_text('#!/bin/sh\ntest "$1" = rand && echo 00\n')
    openssl.chmod(0o755)
    script = ROOT / "container" / "local-secrets"
    without_keys = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run([script, folder], timeout=60, check=False, env=without_keys).returncode == 1
    assert not folder.exists()
    subprocess.run([script, folder], check=True, timeout=60)
