"""README tells the truth: its calls answer as it says, its links lead somewhere."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.journey.service import Service

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
CALLS = re.findall(r"^curl .*?(?=\n```|\n\n)", README, re.MULTILINE | re.DOTALL)


def called(service: Service, call: str) -> dict[str, object]:
    """What a call of the README answers, against the started service in place of the one it names."""
    call = call.replace("http://127.0.0.1:8080", service.url).replace(
        "data/admin.token", f"{service.data_dir}/admin.token"
    )
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=30, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_calls_answer_as_shown(tmp_path: Path) -> None:
    grant, check = CALLS
    shown = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    documented = json.loads(shown[1])
    with Service(tmp_path) as service:
        answered = called(service, grant)
        again = called(service, grant)
        checked = called(service, check)
    receipt, expected = answered["receipt"], documented["receipt"]
    assert isinstance(receipt, dict)
    assert receipt.keys() == expected.keys()
    for member in ("decision", "events", "seq", "subject", "tenant", "type", "v"):
        assert receipt[member] == expected[member]
    assert {**receipt["cause"], "request": "…"} == expected["cause"]
    assert again == answered
    assert checked["allowed"] is True


def test_an_export_is_verified_by_the_program_and_by_forty_lines_and_explained(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        called(service, CALLS[0])
    commands = [
        line.partition("#")[0] for line in README.splitlines() if "receipts.jsonl" in line and not line.startswith("#")
    ]
    for command in commands:
        words = shlex.split(command)
        program = [sys.executable, "-m", "tai_autonomics"] if words[0].endswith("tai-autonomics") else [sys.executable]
        store = ["--store", f"sqlite:///{tmp_path}/tai.db"] if "export" in words else []
        rest = [str(ROOT / word) if word.startswith("tests/") else word for word in words[1:]]
        subprocess.run([*program, *rest, *store], cwd=tmp_path, timeout=60, check=True, capture_output=True)
    assert len(commands) == 4


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
