"""What rules in mode shadow would have done, by tenant and rule, as receipts tell it."""

from collections import Counter

from msgspec import Struct, field

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.ports import Store
from tai_autonomics.application.tallying import acts_of
from tai_autonomics.application.transfer import receipts, seq_before
from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.governor import RuleEvaluated
from tai_autonomics.domain.identifiers import RuleName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.ledger.records import Head


class Shadow(Struct):
    """How often a rule would have done its action, when first and last, and how often why not."""

    rule: RuleName
    action: ActionType
    first: Moment
    last: Moment
    acts: int = 0
    withheld: dict[str, int] = field(default_factory=Counter)


async def shadows(store: Store, tenant: str, head: Head, since: Moment) -> tuple[Shadow, ...]:
    """
    One a rule and action type, of the receipts from `since` on; a rule that never would have acted has none.

    Raises LedgerNewerThanCode, StoreUnavailable.
    """
    found: dict[tuple[RuleName, ActionType], Shadow] = {}
    withheld: dict[RuleName, Counter[str]] = {}
    async for receipt in receipts(store, tenant, after=await seq_before(store, tenant, head, since)):
        events = events_of(receipt)
        for act in acts_of(events):
            if act.kind == "would_have":
                shadow = found.setdefault((act.rule, act.action), Shadow(act.rule, act.action, act.at, act.at))
                shadow.acts += 1
                shadow.last = act.at
        for event in events:
            if isinstance(event, RuleEvaluated) and event.withheld is not None:
                withheld.setdefault(event.rule, Counter())[event.withheld] += 1
    for shadow in found.values():
        shadow.withheld = withheld.get(shadow.rule, Counter())
    return tuple(found.values())
