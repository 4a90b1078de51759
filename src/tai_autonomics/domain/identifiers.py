"""Names of things, parsed once at the border and trusted inside."""

import re
from typing import Final, NewType

from tai_autonomics.errors import Malformed

TenantId = NewType("TenantId", str)
EntitlementId = NewType("EntitlementId", str)
PlanName = NewType("PlanName", str)
QuotaName = NewType("QuotaName", str)
FeatureName = NewType("FeatureName", str)
MetricName = NewType("MetricName", str)
RuleName = NewType("RuleName", str)
ActionId = NewType("ActionId", str)
HoldId = NewType("HoldId", str)
ControlName = NewType("ControlName", str)

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", re.ASCII)
IDENTIFIER_RULE: Final = "1 to 128 of A-Z a-z 0-9 . _ : @ - and starts with a letter or digit"
FLEET: Final = TenantId("~fleet")
"""The tenant that stands for all of them: its ledger counts what they do together. No caller's tenant id begins so."""


def parse_tenant_id(text: str) -> TenantId:
    """Raises Malformed(invalid_tenant_id)."""
    return TenantId(_identifier(text, reason="invalid_tenant_id", what="a tenant id"))


def parse_ledger(text: str) -> TenantId:
    """Whose ledger is read: a tenant's, or the fleet's. Raises Malformed(invalid_tenant_id)."""
    return FLEET if text == FLEET else parse_tenant_id(text)


def parse_entitlement_id(text: str) -> EntitlementId:
    """Raises Malformed(invalid_entitlement_id)."""
    return EntitlementId(_identifier(text, reason="invalid_entitlement_id", what="an entitlement id"))


def parse_name(text: str) -> str:
    """The name of a plan, quota, feature, metric, rule or control. Raises Malformed(malformed_request)."""
    return _identifier(text, reason="malformed_request", what="a name")


def _identifier(text: str, *, reason: str, what: str) -> str:
    if IDENTIFIER.fullmatch(text) is None:
        raise Malformed(reason, f"{what} is {IDENTIFIER_RULE}")
    return text
