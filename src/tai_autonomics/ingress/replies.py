"""
Receipt or error to status, headers and body: one table.

    accepted receipt --> 200 {"receipt", "hash", "parts"?}
    refusal receipt  --> its reason's status, problem (RFC 9457) with receipt and hash
    error            --> its reason's status, problem without a receipt: nothing was decided
"""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.application.corridor import Answer
from tai_autonomics.application.ports import Clock
from tai_autonomics.application.queries import ThrottleView
from tai_autonomics.domain.decider import Reason
from tai_autonomics.domain.moments import Moment, datetime_of
from tai_autonomics.errors import (
    Forbidden,
    IdempotencyKeyReused,
    Malformed,
    Overloaded,
    Unauthenticated,
    Unavailable,
    Unknown,
)
from tai_autonomics.ingress.exchange import Pairs, Reply, TurnedAway
from tai_autonomics.ledger.records import Part, Receipt

PROBLEM: Final = b"application/problem+json"
THROTTLE: Final = "throttle"
"""How headers name the policy that an action set."""
QUOTA_EXCEEDED_TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
RETRY_SECONDS: Final = 1
POLICY_NAMES: Final[Mapping[str, str]] = MappingProxyType({"rate_limited": "tenant", "overloaded": "instance"})
"""Which of this instance's own policies a 429 without a receipt violates, where the error names none."""


class Kind(Struct, frozen=True):
    """What a reason is, wherever it appears."""

    status: int
    title: str
    next_step: str
    retry: bool = False
    """Whether the answer has Retry-After."""


REASONS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "malformed_request": Kind(400, "The request cannot be understood", "Correct what the pointers name."),
        "malformed_envelope": Kind(400, "Not a Pub/Sub push envelope", "Send message.messageId and subscription."),
        "invalid_tenant_id": Kind(400, "Not a tenant id", "Use 1-128 of A-Za-z0-9._:@-, a letter or digit first."),
        "invalid_entitlement_id": Kind(
            400, "Not an entitlement id", "Use 1-128 of A-Za-z0-9._:@-, a letter or digit first."
        ),
        "unknown_action": Kind(400, "No such action", "Use one of the listed actions."),
        "missing_field": Kind(400, "A required member is missing", "Add the member that the pointer names."),
        "unauthenticated": Kind(401, "No valid credential", "Send Authorization: Bearer <token>."),
        "token_expired": Kind(401, "The token has expired", "Get a new token."),
        "signature_invalid": Kind(401, "The signature does not verify", "Sign with a key that this service trusts."),
        "role_forbidden": Kind(403, "The role does not allow this", "Use a token with one of the named roles."),
        "tenant_forbidden": Kind(403, "The token does not reach this tenant", "Use a token that names the tenant."),
        "entitlement_inactive": Kind(403, "The entitlement is not in service", "Grant or resume the entitlement."),
        "compliance_closed": Kind(403, "The compliance gate is closed", "Release the hold or renew the attestation."),
        "governor_refusing": Kind(
            403,
            "The governor is refusing",
            "See its causes in the gates: wait for those that end, resume it for the others.",
        ),
        "not_found": Kind(404, "Not found", "Check the path and the ids in it."),
        "method_not_allowed": Kind(405, "The path has no such method", "Use one that Allow names."),
        "request_timeout": Kind(408, "The request took too long to arrive", "Send it again, faster."),
        "invalid_transition": Kind(409, "Not allowed from the present state", "See the states in the detail."),
        "stale": Kind(409, "Older than what was already applied", "Send the newest observation."),
        "too_many_entitlements": Kind(409, "The tenant holds too many entitlements", "End entitlements not in use."),
        "body_too_large": Kind(413, "The body is too large", "Send less at once."),
        "unsupported_media_type": Kind(415, "Not a JSON body", "Send application/json, not compressed."),
        "release_exceeds_use": Kind(422, "More released than used", "Release at most what the window has used."),
        "unknown_plan": Kind(422, "No such plan", "Use a plan of the plans file in force."),
        "unknown_quota": Kind(422, "No such quota", "Use a quota of the tenant's plan."),
        "unknown_metric": Kind(422, "No rule names this metric", "Send a metric that a rule of the plan names."),
        "invalid_time": Kind(422, "The time cannot hold", "Send a later time."),
        "clock_skew": Kind(422, "Observed too far in the future", "Check the source's clock."),
        "idempotency_key_reused": Kind(422, "The key belongs to another request", "Use a new key for new content."),
        "quota_exceeded": Kind(429, "The quota is used up", "Wait for the window to end or change the plan.", True),
        "action_budget_exhausted": Kind(429, "The action budget is used up", "Wait for its window to end.", True),
        "rate_limited": Kind(
            429, "Too many requests of this tenant or caller", "Slow down and repeat with the same key.", True
        ),
        "overloaded": Kind(429, "The instance is at capacity", "Repeat with the same key.", True),
        "headers_too_large": Kind(431, "The header is too large", "Send fewer or shorter header fields."),
        "internal": Kind(500, "Our fault", "Report the request id."),
        "store_unavailable": Kind(503, "The store cannot be reached", "Repeat with the same key.", True),
        "conflict": Kind(503, "Other writers were first", "Repeat with the same key.", True),
        "draining": Kind(503, "The instance is stopping", "Repeat with the same key.", True),
        "ledger_newer_than_code": Kind(503, "The ledger needs a newer release", "Wait for the rollout.", True),
        "clock_untrusted": Kind(503, "The instance's clock is off", "Repeat with the same key.", True),
        "keys_unavailable": Kind(503, "The verifying keys cannot be had", "Repeat in a moment.", True),
        "outcome_unknown": Kind(503, "Nobody can say what was decided", "Repeat with the same key.", True),
    }
)

SEALED_REASONS: Final = frozenset(get_args(Reason))
"""
Reasons that a receipt can carry; every other one means that nothing was decided.

So does rate_limited without a receipt: then the instance's own bound was met, and no action's throttle.
"""


ReceiptBody = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Receipt"})]
"""The stored bytes, spliced in unchanged."""


class Fault(Struct, frozen=True):
    """Where in the request something is wrong: an RFC 6901 pointer, "" for the whole."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457, with our members; `receipt` and `hash` when a decision was sealed."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    reason: str
    next_step: str
    gates: Annotated[Raw, Meta(extra_json_schema={"type": "array"})] | UnsetType = UNSET
    errors: tuple[Fault, ...] = ()
    violated_policies: tuple[str, ...] | UnsetType = msgspec.field(default=UNSET, name="violated-policies")
    receipt: ReceiptBody | UnsetType = UNSET
    hash: str | UnsetType = UNSET


class ShownPart(Struct, frozen=True):
    """An erasable part: `salt` in hex, `text` the JSON text as it was received."""

    salt: str
    text: str


class Sealed(Struct, frozen=True):
    """A receipt as clients get it; `parts` are those that still exist."""

    receipt: ReceiptBody
    hash: str
    parts: dict[str, ShownPart] | UnsetType = UNSET


class SealedItem(Struct, frozen=True):
    """One accepted command among several."""

    status: Literal[200]
    receipt: ReceiptBody
    hash: str


Item = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [{"$ref": "#/components/schemas/SealedItem"}, {"$ref": "#/components/schemas/Problem"}]
        }
    ),
]
"""One command's own answer among several: a SealedItem, or a Problem."""


class _Refusal(Struct, frozen=True):
    reason: str
    detail: str
    next_step: str


class _Gate(Struct, frozen=True):
    gate: str
    passed: bool
    evidence: dict[str, Any]


class _Decision(Struct, frozen=True):
    gates: Raw = Raw(b"[]")


class _Refused(Struct, frozen=True):
    """What a reply needs of a refusal's body."""

    refusal: _Refusal
    decision: _Decision


_encode: Final = msgspec.json.Encoder().encode
_refused: Final = msgspec.json.Decoder(_Refused)
_gates: Final = msgspec.json.Decoder(tuple[_Gate, ...])


def json_reply(value: Any, *, status: int = 200, headers: Pairs = ()) -> Reply:
    return Reply(status, _encode(value), headers)


def shown(receipt: Receipt, parts: tuple[Part, ...] = ()) -> Sealed:
    """The stored bytes go into the reply unchanged."""
    if not parts:
        return Sealed(Raw(receipt.body), receipt.hash)
    texts = {part.name: ShownPart(part.salt.hex(), part.text.decode()) for part in parts}
    return Sealed(Raw(receipt.body), receipt.hash, texts)


def reply_of(answer: Answer, parts: tuple[Part, ...], clock: Clock) -> tuple[Reply, str]:
    """A decision's own response, and its reason or ""; `clock` tells how long a Retry-After is."""
    receipt = answer.receipt
    headers: Pairs = ((b"receipt-hash", receipt.hash.encode("ascii")),)
    if answer.replayed:
        headers = (*headers, (b"idempotent-replayed", b"true"))
    if receipt.type != "refusal":
        return Reply(200, _encode(shown(receipt, parts)), headers), ""
    problem, limits = _refusal_of(receipt, clock)
    return Reply(problem.status, _encode(problem), (*headers, *limits), PROBLEM), problem.reason


def item_of(answer: Answer, clock: Clock) -> Item:
    """A decision as one of several."""
    receipt = answer.receipt
    if receipt.type != "refusal":
        return SealedItem(200, Raw(receipt.body), receipt.hash)
    return _refusal_of(receipt, clock)[0]


def problem_of(error: BaseException, request_id: str) -> Problem:
    """An error's problem; whatever this house does not know by name is our own fault and tells nothing."""
    match error:
        case Malformed(reason=reason, detail=detail, pointer=pointer):
            return _problem(reason, detail, request_id, errors=(Fault(pointer, detail),))
        case TurnedAway(reason=reason, detail=detail) | Forbidden(reason=reason, detail=detail):
            return _problem(reason, detail, request_id)
        case Unauthenticated(reason=reason, detail=detail):
            return _problem(reason, detail, request_id)
        case Overloaded(reason=reason, detail=detail):
            return _problem(reason, detail, request_id, violated=(_policy_violated(error),))
        case IdempotencyKeyReused():
            return _problem("idempotency_key_reused", str(error), request_id)
        case Unknown():
            return _problem("not_found", str(error), request_id)
        case Unavailable(reason=reason):
            known = reason if reason in REASONS else "store_unavailable"
            return _problem(known, REASONS[known].title, request_id)
        case _:
            return _problem("internal", "The request id finds the log line.", request_id)


def error_reply(error: BaseException, request_id: str, policies: Mapping[str, str]) -> tuple[Reply, str]:
    """The response to an error, and its reason. `policies`: each of ours by name, as RateLimit-Policy writes it."""
    problem = problem_of(error, request_id)
    headers: Pairs = ()
    match error:
        case TurnedAway(headers=own):
            headers = own
        case Unauthenticated(reason=reason):
            headers = (_challenge(reason),)
        case Overloaded(retry_after_seconds=seconds):
            headers = _overload_headers(_policy_violated(error), seconds, policies)
        case Unavailable():
            headers = (_retry_after(RETRY_SECONDS),)
        case _:
            pass
    return Reply(problem.status, _encode(problem), headers, PROBLEM), problem.reason


def _policy_violated(error: Overloaded) -> str:
    return error.policy or POLICY_NAMES[error.reason]


def is_ours(error: BaseException) -> bool:
    """Whether an error is a bug or a fault of this program, and not one of the answers it knows."""
    known = Malformed | TurnedAway | Unauthenticated | Forbidden | Unknown | IdempotencyKeyReused | Overloaded
    return not isinstance(error, known | Unavailable)


def _refusal_of(receipt: Receipt, clock: Clock) -> tuple[Problem, Pairs]:
    body = _refused.decode(receipt.body)
    reason, gates = body.refusal.reason, body.decision.gates
    kind = REASONS[reason]
    limits: Pairs = ()
    violated: tuple[str, ...] = ()
    if kind.status == HTTPStatus.TOO_MANY_REQUESTS:
        failed = _gates.decode(gates)[-1]
        policy = _policy_of(failed)
        violated, limits = (policy,), _limits_of(policy, failed.evidence, clock)
    problem = Problem(
        type=QUOTA_EXCEEDED_TYPE if reason == "quota_exceeded" else f"/problems/{reason}",
        title=kind.title,
        status=kind.status,
        detail=body.refusal.detail,
        instance=f"/v1/tenants/{receipt.tenant}/receipts/{receipt.seq}",
        reason=reason,
        next_step=body.refusal.next_step,
        gates=gates,
        violated_policies=violated or UNSET,
        receipt=Raw(receipt.body),
        hash=receipt.hash,
    )
    return problem, limits


def _policy_of(failed: _Gate) -> str:
    """The quota's name; a budget of actions has its reason's."""
    if failed.gate == "rate_is_within_throttle":
        return THROTTLE
    return str(failed.evidence.get("quota", "action_budget_exhausted"))


def _limits_of(name: str, evidence: dict[str, Any], clock: Clock) -> Pairs:
    """Retry-After, RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) of what was exceeded."""
    limit, remaining = evidence.get("limit", evidence.get("max")), evidence.get("remaining", 0)
    resets_at, start, window = evidence.get("resets_at"), evidence.get("window_start"), evidence.get("per_seconds")
    if resets_at is None or start is None:
        return _limit_headers(name, limit, remaining, None, None)
    if window is None:
        window = int((datetime_of(resets_at) - datetime_of(start)).total_seconds())
    seconds = _seconds_until(resets_at, clock)
    return (_retry_after(seconds), *_limit_headers(name, limit, remaining, window, seconds))


def throttle_headers(throttle: ThrottleView, clock: Clock) -> Pairs:
    """RateLimit and RateLimit-Policy of a throttle, whether or not something of it remains."""
    seconds = _seconds_until(throttle.resets_at, clock)
    return _limit_headers(THROTTLE, throttle.requests, throttle.remaining, throttle.per_seconds, seconds)


def _limit_headers(name: str, limit: object, remaining: object, window: int | None, seconds: int | None) -> Pairs:
    policy, state = f'"{name}";q={limit}', f'"{name}";r={remaining}'
    if window is not None and seconds is not None:
        policy, state = f"{policy};w={window}", f"{state};t={seconds}"
    return (b"ratelimit-policy", policy.encode("ascii")), (b"ratelimit", state.encode("ascii"))


def _seconds_until(moment: str, clock: Clock) -> int:
    return max(1, ceil((datetime_of(Moment(moment)) - clock.now()).total_seconds()))


def _problem(
    reason: str, detail: str, request_id: str, *, errors: tuple[Fault, ...] = (), violated: tuple[str, ...] = ()
) -> Problem:
    kind = REASONS[reason]
    return Problem(
        type=f"/problems/{reason}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=f"urn:request:{request_id}",
        reason=reason,
        next_step=kind.next_step,
        errors=errors,
        violated_policies=violated or UNSET,
    )


def _overload_headers(policy: str, seconds: int, policies: Mapping[str, str]) -> Pairs:
    return (
        _retry_after(seconds),
        (b"ratelimit-policy", f'"{policy}";{policies[policy]}'.encode("ascii")),
        (b"ratelimit", f'"{policy}";r=0;t={seconds}'.encode("ascii")),
    )


def _retry_after(seconds: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(seconds).encode("ascii")


def _challenge(reason: str) -> tuple[bytes, bytes]:
    # RFC 6750 section 3: no error code where no credential was given.
    error = b"" if reason == "unauthenticated" else b', error="invalid_token"'
    return b"www-authenticate", b'Bearer realm="tai-autonomics"' + error
