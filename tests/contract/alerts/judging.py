"""Prometheus' own verdict on the delivered rules: promtool, the files, and what it makes of series of one a minute."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from tests.engines.absence import absent

RULES: Final = sorted((Path(__file__).parents[3] / "observability" / "prometheus").glob("*.yaml"))


def found_promtool() -> str:
    """The program; without it the test is skipped, or fails where every engine is required."""
    found = shutil.which("promtool")
    if found is None:
        absent("promtool", "apt-get install -y --no-install-recommends prometheus")
    return found


def judged(promtool: str, *arguments: str | Path) -> str:
    """What it objects to; nothing where it is content."""
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=100, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def unit_test(files: Sequence[Path], series: Mapping[str, str | None], **asked: list[dict[str, Any]]) -> str:
    """The text of one; a series of None is left out, `asked` is what promtool calls alert_rule_test and so on."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items() if values is not None],
        **asked,
    }
    return yaml.safe_dump(
        {"rule_files": [str(file) for file in files], "evaluation_interval": "1m", "tests": [test]}, width=10_000
    )
