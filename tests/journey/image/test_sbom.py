"""The bill of materials names what is in the image: every locked library, the base's packages, the service."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from tests.engines.containers import IMAGE, ROOT, absent, image

import tai_autonomics

pytestmark = [pytest.mark.embedded, pytest.mark.long]

LOCKED: Final = re.compile(r"^([a-z0-9.-]+==[^\\\n]+)", re.MULTILINE)


def test_the_bill_names_every_library_of_the_lock_and_the_bases_packages(tmp_path: Path) -> None:
    image()
    syft = shutil.which("syft", path=f"{ROOT / '.venv-image' / 'bin'}:{os.environ['PATH']}")
    if syft is None:
        absent("syft is not on this machine")
    bill = tmp_path / "bill.json"
    environ = {**os.environ, "SYFT": syft}
    subprocess.run([ROOT / "container" / "sbom", IMAGE, bill], env=environ, check=True, timeout=100)
    made = json.loads(bill.read_text())
    assert made["bomFormat"] == "CycloneDX"
    named = {(each["name"].lower().replace("_", "-"), each.get("version")) for each in made["components"]}
    locked = [Requirement(each) for each in LOCKED.findall((ROOT / "requirements" / "gcp.txt").read_text())]
    expected = {
        (each.name, str(each.specifier).removeprefix("=="))
        for each in locked
        if each.marker is None or each.marker.evaluate()
    }
    assert len(expected) > 50
    assert expected - named == set()
    assert ("tai-autonomics", tai_autonomics.__version__) in named
    assert {"libc6", "libssl3"} <= {name.removesuffix("t64") for name, _ in named}
