"""What is shown of a tenant's compliance: what it closes now, by which holds and controls."""

from typing import Final, get_args

from msgspec import Struct

from tai_autonomics.domain.compliance import (
    ComplianceState,
    Concern,
    Scope,
    Standing,
    is_closed,
    is_on,
    standing_of,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan

CONCERNS: Final[tuple[Concern, ...]] = get_args(Concern)


class HoldView(Struct, frozen=True, gc=False, omit_defaults=True):
    """A hold that is on; without `expires_at`, until it is released."""

    hold_id: str
    scope: Scope
    evidence: str
    by: str
    placed_at: Moment
    expires_at: Moment | None = None


class ControlView(Struct, frozen=True, gc=False, omit_defaults=True):
    """A control that the effective plan requires or that was attested. The rest is there where it ever was attested."""

    control: str
    standing: Standing
    required: bool
    evidence: str | None = None
    by: str | None = None
    attested_at: Moment | None = None
    valid_until: Moment | None = None


class ComplianceView(Struct, frozen=True, gc=False):
    """As of now. `closed`: what the gate compliance_permits refuses."""

    closed: tuple[Concern, ...]
    holds: tuple[HoldView, ...]
    controls: tuple[ControlView, ...]


def compliance_view(state: ComplianceState, plan: Plan | None, now: Moment) -> ComplianceView:
    """`plan` is the effective one."""
    requires = () if plan is None else plan.requires
    holds = tuple(
        HoldView(hold_id, hold.scope, hold.evidence, hold.by, hold.placed_at, hold.expires_at)
        for hold_id, hold in state.holds.items()
        if is_on(hold, now)
    )
    controls = []
    for control in dict.fromkeys([*requires, *state.controls]):
        standing, required = standing_of(control, state, now), control in requires
        said = state.controls.get(control)
        if said is None:
            controls.append(ControlView(control, standing, required))
        else:
            controls.append(
                ControlView(control, standing, required, said.evidence, said.by, said.attested_at, said.valid_until)
            )
    closed = tuple(concern for concern in CONCERNS if is_closed(requires, concern, state, now))
    return ComplianceView(closed, holds, tuple(controls))
