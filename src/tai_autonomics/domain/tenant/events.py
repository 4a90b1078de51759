"""Everything that can have happened to a tenant."""

from tai_autonomics.domain.decider import Recorded
from tai_autonomics.domain.entitlement import EntitlementEvent
from tai_autonomics.domain.identifiers import PlanName
from tai_autonomics.domain.quota import QuotaEvent


class PartErased(Recorded, frozen=True):
    """The erasable part of the receipt `seq` is taken away; the state never held it."""

    seq: int
    part: str


class EffectivePlanChanged(Recorded, frozen=True):
    """The highest-ranked plan in service is another one now. None is no plan."""

    was: PlanName | None = None
    plan: PlanName | None = None


Event = QuotaEvent | EntitlementEvent | EffectivePlanChanged | PartErased
