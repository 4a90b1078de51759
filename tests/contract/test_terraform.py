"""What Terraform is told agrees with the schema of the provider that carries it out."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT.parent / "shared" / "tools" / "terraform-offline" / "check"


@pytest.mark.skipif(
    not CHECK.exists() or shutil.which("terraform") is None, reason="terraform or its provider's schema is not here"
)
def test_terraform_agrees_with_the_schema_of_its_provider() -> None:
    environ = {**os.environ, "TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}
    for command in (["terraform", "fmt", "-check", ROOT / "terraform"], [CHECK, ROOT / "terraform"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
