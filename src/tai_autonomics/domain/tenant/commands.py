"""Everything that a tenant can be asked, by a caller or by the passing of time."""

from msgspec import Struct

from tai_autonomics.domain.compliance import ComplianceCommand, ComplianceTimer
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
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.governor import GovernorCommand, GovernorTimer
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Consume, Release, Reset


class Erase(Struct, frozen=True, gc=False):
    """
    Takes an erasable part away from the receipt `seq`, which was made at `made_at`.

    `made_at` None: it is archived, so its retention was over.
    `again`: that was decided before, and a backup brought the part back; no hold can keep what is erased already.
    """

    seq: int
    part: str
    again: bool = False
    made_at: Moment | None = None


class Restore(Struct, frozen=True, gc=False):
    """Goes on with a ledger that a backup brought back, its newest receipt being `seq` with that hash."""

    ledger: str
    seq: int
    hash: str


class Archive(Struct, frozen=True, gc=False):
    """
    Takes note that receipts `first_seq` to `through_seq` (of hash `hash`, made at `made_at`) rest in an archive file.

    The digests are SHA-256: of the state after the last of them, as it is kept, and of the file.
    """

    ledger: str
    first_seq: int
    through_seq: int
    hash: str
    state_digest: str
    archive_digest: str
    made_at: Moment


class NoteExport(Struct, frozen=True, gc=False):
    """
    Takes note that somebody took an audit bundle: `receipts` of the ledger from `since` on and before `until`.

    It ends with the receipt `head_seq`, whose hash is `head_hash`; `manifest_digest` is the SHA-256 of its manifest,
    which lists every file of it by digest.
    """

    ledger: str
    since: Moment
    until: Moment
    receipts: int
    head_seq: int
    head_hash: str
    manifest_digest: str


LifecycleCommand = Request | Grant | Reject | ChangePlan | Suspend | Resume | Cancel | Reinstate | Renew | Revoke
TimerCommand = EntitlementTimer | GovernorTimer | ComplianceTimer
Command = (
    Verify
    | Consume
    | Release
    | Reset
    | LifecycleCommand
    | GovernorCommand
    | ComplianceCommand
    | Reserve
    | TimerCommand
    | Erase
    | Restore
    | Archive
    | NoteExport
)
