"""What Terraform is told agrees with the schema of its provider, and comes to what its own tests assert."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT.parent / "shared" / "tools" / "terraform-offline" / "check"
ENVIRON = {**os.environ, "TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}

needs_schema = pytest.mark.skipif(
    not CHECK.exists() or shutil.which("terraform") is None, reason="terraform or its provider's schema is not here"
)


def carried_out(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=ENVIRON)


@needs_schema
def test_terraform_is_formatted_and_agrees_with_the_schema_of_its_provider() -> None:
    done = carried_out("terraform", "fmt", "-check", "-recursive", ROOT / "terraform")
    assert done.returncode == 0, done.stdout + done.stderr
    done = carried_out(CHECK, ROOT / "terraform")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = sum(len(re.findall(r'^run "', file.read_text(), re.M)) for file in (ROOT / "terraform").glob("*.tftest.hcl"))
    assert f"{runs} passed, 0 failed" in done.stdout


@needs_schema
def test_an_argument_that_the_provider_does_not_know_is_seen(tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT / "terraform", tmp_path / "terraform")
    for test in copy.glob("*.tftest.hcl"):
        test.unlink()
    (copy / "pubsub.tf").write_text((copy / "pubsub.tf").read_text().replace("retry_policy {", "retry_policies {"))
    done = carried_out(CHECK, copy)
    assert done.returncode != 0
    assert 'Blocks of type "retry_policies" are not expected here' in done.stdout + done.stderr
