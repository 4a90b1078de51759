"""Everything that can have happened to a tenant."""

from msgspec import Struct

from tai_autonomics.domain.compliance import ComplianceEvent
from tai_autonomics.domain.decider import Recorded
from tai_autonomics.domain.entitlement import EntitlementEvent
from tai_autonomics.domain.fleet import FleetReserved
from tai_autonomics.domain.governor import GovernorEvent
from tai_autonomics.domain.identifiers import PlanName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaEvent


class PartErased(Recorded, frozen=True):
    """The erasable part of the receipt `seq` is taken away; the state never held it."""

    seq: int
    part: str


class RestoredHead(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The newest receipt that a backup held of a ledger."""

    seq: int
    hash: str


class LedgerRestored(Recorded, frozen=True):
    """
    The ledger was brought back from a backup that ends with `head`.

    Others may have been told of receipts after it that are lost: what they ask for again is decided again.
    """

    head: RestoredHead


class LedgerArchived(Recorded, frozen=True):
    """
    The receipts up to `through_seq` rest in an archive file; the ledger may begin after them, with the state there.

    Verification reads it (ledger/chain.py).
    """

    first_seq: int
    through_seq: int
    hash: str
    state_digest: str
    archive_digest: str


class AuditExported(Recorded, frozen=True):
    """
    An audit bundle was made: of `receipts` from `since` on and before `until`, ending with the receipt `head_seq`.

    Who took it is the cause of its receipt.
    """

    since: Moment
    until: Moment
    receipts: int
    head_seq: int
    head_hash: str
    manifest_digest: str


class EffectivePlanChanged(Recorded, frozen=True):
    """The highest-ranked plan in service is another one now. None is no plan."""

    was: PlanName | None = None
    plan: PlanName | None = None


Event = (
    QuotaEvent
    | EntitlementEvent
    | GovernorEvent
    | ComplianceEvent
    | FleetReserved
    | EffectivePlanChanged
    | PartErased
    | LedgerRestored
    | LedgerArchived
    | AuditExported
)
