"""What meets the faults of append: a ledger, and an append that touches everything a store keeps of it."""

from tests.contract.stores.builders import SALT, append, moment, receipt, snapshot_of

from tai_autonomics.ledger.records import Due, DueKey, Erasure, Ledger, Part

OLD_TIMER, NEW_TIMER = Due("entitlement/ent_1", "expire", moment(1)), Due("entitlement/ent_2", "expire", moment(2))
OLD_PART, NEW_PART = Part(1, "metadata", SALT, b'"old"'), Part(2, "metadata", SALT, b'"new"')


class Case:
    """A tenant: `begin` makes its ledger, `everything` meets the fault; what the store holds `before` and `after`."""

    def __init__(self, tenant: str, *, state: bytes = b"state") -> None:
        self.tenant = tenant
        self.first = receipt(tenant, parts=[OLD_PART])
        self.second = receipt(tenant, self.first, parts=[NEW_PART])
        self.third = receipt(tenant, self.second)
        self.begin = append(tenant, [self.first], parts=(OLD_PART,), due=(OLD_TIMER,))
        self.everything = append(
            tenant,
            [self.second],
            self.first,
            parts=(NEW_PART,),
            erasures=(Erasure(1, "metadata"),),
            snapshot=snapshot_of(self.second, state),
            due=(NEW_TIMER,),
            settled=(DueKey(OLD_TIMER.subject, OLD_TIMER.kind),),
        )
        # The ledger, its parts, its timers, and the second receipt as its command id finds it.
        self.before = (Ledger(None, (self.first,)), (OLD_PART,), (OLD_TIMER,), None)
        self.after = (Ledger(self.everything.snapshot, ()), (NEW_PART,), (NEW_TIMER,), self.second)
