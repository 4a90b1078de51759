"""The command ids that became durable last, for the repeats that may come; for older ones the store is asked."""

from collections import OrderedDict
from typing import Final

from tai_autonomics.ledger.records import Receipt

TENANT_IDS_MAX: Final = 1_024


class RecentIds:
    """At most TENANT_IDS_MAX ids of a tenant and `ids_max` of all; over that, the tenant written longest ago leaves."""

    def __init__(self, *, ids_max: int) -> None:
        self._ids_max = ids_max
        self._count = 0
        self._tenants: OrderedDict[str, dict[str, int]] = OrderedDict()

    def seq_of(self, tenant: str, command_id: str) -> int | None:
        """The seq of the receipt that claims the id."""
        ids = self._tenants.get(tenant)
        return None if ids is None else ids.get(command_id)

    def add(self, receipt: Receipt) -> None:
        """Keep the id of a durable receipt, if it claims it."""
        if not receipt.claims:
            return
        ids = self._tenants.get(receipt.tenant)
        if ids is None:
            ids = self._tenants[receipt.tenant] = {}
        else:
            self._tenants.move_to_end(receipt.tenant)
            self._count -= len(ids)
        ids[receipt.command_id] = receipt.seq
        if len(ids) > TENANT_IDS_MAX:
            del ids[next(iter(ids))]
        self._count += len(ids)
        while self._count > self._ids_max:
            self._count -= len(self._tenants.popitem(last=False)[1])

    def forget(self, tenant: str) -> None:
        """The tenant's ledger is read anew."""
        self._count -= len(self._tenants.pop(tenant, ()))
