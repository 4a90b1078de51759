"""Everything that a tenant can be asked, by a caller or by the passing of time."""

from msgspec import Struct

from tai_autonomics.domain.entitlement import (
    Cancel,
    ChangePlan,
    EntitlementTimer,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    Verify,
)
from tai_autonomics.domain.quota import Consume, Release, Reset


class Erase(Struct, frozen=True, gc=False):
    """Takes an erasable part away from the receipt `seq`."""

    seq: int
    part: str


LifecycleCommand = Request | Grant | Reject | ChangePlan | Suspend | Resume | Cancel | Reinstate | Renew | Revoke
Command = Verify | Consume | Release | Reset | LifecycleCommand | EntitlementTimer | Erase
