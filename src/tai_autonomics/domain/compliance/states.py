"""What is known of a tenant's compliance: its holds, and what was attested of its controls."""

from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.domain.identifiers import ControlName, HoldId
from tai_autonomics.domain.moments import Moment

Scope = Literal["all", "actions", "erasure"]
"""What a hold closes."""
Concern = Literal["service", "actions", "erasure"]
"""What the gate is asked about: serving the tenant, acting on it, erasing of its ledger."""
Verdict = Literal["compliant", "non_compliant"]
Standing = Literal["missing", "compliant", "non_compliant", "lapsed"]
"""Where a control stands. `missing`: nobody attested it."""
HoldStatus = Literal["none", "on", "released", "expired"]
TimerKind = Literal["hold_expiry", "attestation_lapse"]
"""In the order in which they are decided when they are due at the same time."""

HOLDS_MAX: Final = 32
"""Holds that are on at the same time."""
CONTROLS_MAX: Final = 64
"""Controls that are known; at the bound a new one takes the place of one whose attestation has lapsed."""


class Hold(Struct, frozen=True, gc=False, omit_defaults=True):
    """Someone's word that something must not be done. Without `expires_at` it is on until it is released."""

    scope: Scope
    evidence: str
    by: str
    placed_at: Moment
    expires_at: Moment | None = None


class Attestation(Struct, frozen=True, gc=False, omit_defaults=True):
    """The newest word on a control."""

    status: Verdict
    evidence: str
    by: str
    attested_at: Moment
    valid_until: Moment
    lapsed: bool = False


class ComplianceState(Struct, frozen=True, omit_defaults=True):
    """One tenant's. A hold that was released or has expired is not in it."""

    holds: dict[HoldId, Hold] = {}
    controls: dict[ControlName, Attestation] = {}


INITIAL_STATE: Final = ComplianceState()


def holds_on(concern: Concern, state: ComplianceState, now: Moment) -> dict[HoldId, Hold]:
    """The holds that close the concern at `now`, also where a hold's expiry was not decided yet."""
    return {
        hold_id: hold
        for hold_id, hold in state.holds.items()
        if (hold.scope == "all" or hold.scope == concern) and is_on(hold, now)
    }


def is_on(hold: Hold, now: Moment) -> bool:
    """Whether its time is not over at `now`."""
    return not _is_over(hold.expires_at, now)


def standing_of(control: ControlName, state: ComplianceState, now: Moment) -> Standing:
    """The control's standing at `now`, also where its lapse was not decided yet."""
    attested = state.controls.get(control)
    if attested is None:
        return "missing"
    return "lapsed" if attested.lapsed or _is_over(attested.valid_until, now) else attested.status


def wanting(
    requires: tuple[ControlName, ...], concern: Concern, state: ComplianceState, now: Moment
) -> dict[ControlName, Standing]:
    """
    Those of the required controls that are not compliant, for a concern that they matter to.

    To erasure they do not: what a person may have erased must not depend on a vendor's audit.
    """
    if concern == "erasure":
        return {}
    standings = {control: standing_of(control, state, now) for control in requires}
    return {control: standing for control, standing in standings.items() if standing != "compliant"}


def is_closed(requires: tuple[ControlName, ...], concern: Concern, state: ComplianceState, now: Moment) -> bool:
    """Whether a hold or a control closes the concern."""
    if not state.holds and not requires:
        return False
    return bool(holds_on(concern, state, now) or wanting(requires, concern, state, now))


def _is_over(until: Moment | None, now: Moment) -> bool:
    return until is not None and until <= now
