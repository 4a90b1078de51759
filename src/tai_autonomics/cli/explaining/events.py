"""Everything that can have happened to a tenant, a sentence an event."""

from tai_autonomics.cli.explaining import actions, compliance, entitlements, governors, quotas
from tai_autonomics.cli.explaining.actions import ActionEvent
from tai_autonomics.cli.explaining.governors import RuleEvent
from tai_autonomics.domain.compliance import ComplianceEvent
from tai_autonomics.domain.entitlement import EntitlementEvent
from tai_autonomics.domain.quota import QuotaEvent
from tai_autonomics.domain.tenant import (
    AuditExported,
    EffectivePlanChanged,
    Event,
    LedgerArchived,
    LedgerRestored,
    PartErased,
)


def sentence_of(event: Event) -> str:
    """What the event says, all of it."""
    if isinstance(event, EntitlementEvent):
        return entitlements.sentence_of(event)
    if isinstance(event, QuotaEvent):
        return quotas.sentence_of(event)
    if isinstance(event, RuleEvent):
        return governors.sentence_of(event)
    if isinstance(event, ActionEvent):
        return actions.sentence_of(event)
    if isinstance(event, ComplianceEvent):
        return compliance.sentence_of(event)
    match event:
        case EffectivePlanChanged(was, plan):
            now = f"{plan}, the highest-ranked in service" if plan else "none, as no plan of the file's is in service"
            return f"The plan that the tenant's limits and rules come from was {was or 'none'} and is {now}."
        case PartErased(seq, part):
            return f"The part {part} of receipt {seq} was erased for good; that receipt and its hash stay."
        case LedgerArchived(first_seq, through_seq, hash, state_digest, archive_digest):
            return (
                f"The receipts {first_seq} to {through_seq} rest in the archive with the SHA-256 {archive_digest}; the"
                f" newest of them is {hash}, and the state after it has the SHA-256 {state_digest}. The ledger may"
                " begin after them."
            )
        case AuditExported(since, until, receipts, head_seq, head_hash, manifest_digest):
            return (
                f"An audit bundle was made of the receipts from {since} on and before {until}, {receipts} in all, up to"
                f" the head {head_seq} ({head_hash}). Its manifest has the SHA-256 {manifest_digest}. Whoever asked for"
                " this receipt has it."
            )
        case LedgerRestored(head):
            return (
                f"The ledger was brought back from a backup that ends with receipt {head.seq} ({head.hash}). Receipts"
                " after it that somebody holds are lost; what they had decided is decided anew when it is asked again."
            )
