"""The lines of a rule's picture are what its conditions compare the measurement with."""

import pytest

from tai_autonomics.policy.file import load
from tai_autonomics.policy.thresholds import thresholds_of

FILE = """
plans:
  pro:
    rank: 1
    quotas: {{calls: {{limit: 10, per: day, kind: soft}}}}
    governor:
      budget: {{max: 1, per: 1h}}
      rules:
        - name: high
          signal: cpu
          over: 5m
          act_when: '{act}'
          clear_when: '{clear}'
          cooldown: 1m
          action: entitlement.suspend
          mode: shadow
"""


@pytest.mark.parametrize(
    ("act", "clear", "lines"),
    [
        ("window.avg > 80.0", "window.avg < 50.0", [("act_when", 80.0), ("clear_when", 50.0)]),
        ("90.5 <= value", "has(labels.calm)", [("act_when", 90.5)]),
        (
            "window.count >= 10 && window.max > 0.05",
            "!(window.min >= 0.01)",
            [("act_when", 0.05), ("clear_when", 0.01)],
        ),
        (
            "value > 9.0 || (value > 9.0 && window.last > 7.0)",
            "quota.calls.used < 3",
            [("act_when", 9.0), ("act_when", 7.0)],
        ),
        ("value > double(quota.calls.used) * 0.5", "value < window.avg", []),
    ],
)
def test_what_has_the_measurements_unit_is_a_line(act: str, clear: str, lines: list[tuple[str, float]]) -> None:
    (plan,) = load(FILE.format(act=act, clear=clear).encode(), name="x").plans.values()
    assert list(thresholds_of(plan.governor.rules[0], plan.quotas)) == lines
