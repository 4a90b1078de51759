"""Which file is written from what, and as which text."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from observability import google_dashboard, grafana_dashboard, policies, rules

ROOT: Final = Path(__file__).parents[1]
SAID: Final = "# Written by `python -m observability` from observability/*.py: change those.\n"


def files() -> dict[Path, str]:
    """Every generated file, by its path from the root."""
    return {
        Path("observability/prometheus/recording.yaml"): _yaml(rules.recording()),
        Path("observability/prometheus/alerting.yaml"): _yaml(rules.alerting()),
        Path("observability/grafana/tai.json"): _json(grafana_dashboard.dashboard()),
        Path("terraform/alerts.json"): _json(policies.policies()),
        Path("terraform/objectives.json"): _json(policies.objectives()),
        Path("terraform/dashboard.json"): _json(google_dashboard.dashboard()),
    }


def _yaml(content: dict[str, Any]) -> str:
    return SAID + yaml.safe_dump(content, sort_keys=False, width=1000, allow_unicode=True)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
