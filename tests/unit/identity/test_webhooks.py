"""Which webhooks are taken, and what happens to every other. They are signed by the public library."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.unit.identity.issuer import NOW, NOW_SECONDS, MovableClock

from tai_autonomics.application.ports import Caller, ReceivedWebhook
from tai_autonomics.errors import Unauthenticated
from tai_autonomics.identity.webhooks import SIGNATURES_MAX, Sender, SignedWebhooks

OLD, NEW, SHOP = b"o" * 24, b"n" * 32, b"s" * 64
SENDERS = {"billing": Sender((OLD, NEW), None), "shop": Sender((SHOP,), frozenset({"acme"}))}
BODY = b'{"tenant_id":"acme","entitlement_id":"ent_1"}'
BILLING = ReceivedWebhook(Caller("webhook:billing", frozenset({"integration"}), None), "billing", "msg_1")
TOLERANCE = 300


def signature(secret: bytes, *, id: str = "msg_1", at: int = NOW_SECONDS, body: bytes = BODY) -> str:
    library = Webhook(base64.b64encode(secret).decode())
    return library.sign(id, datetime.fromtimestamp(at, UTC), body.decode())


def headers(signature: str, *, id: str = "msg_1", at: int | str = NOW_SECONDS) -> dict[bytes, bytes]:
    named = {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": signature}
    return {name.encode(): value.encode("latin-1") for name, value in named.items()}


def received(given: dict[bytes, bytes], body: bytes = BODY, *, clock: MovableClock | None = None) -> ReceivedWebhook:
    verifier = SignedWebhooks(SENDERS, clock or MovableClock(), tolerance_seconds=TOLERANCE)
    return verifier.verify(verifier.claim(given), body)


def refusal(given: dict[bytes, bytes], body: bytes = BODY, *, clock: MovableClock | None = None) -> tuple[str, str]:
    with pytest.raises(Unauthenticated) as refused:
        received(given, body, clock=clock)
    return refused.value.reason, refused.value.detail


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_source_signs_with_any_of_its_secrets(secret: bytes) -> None:
    assert received(headers(signature(secret))) == BILLING


def test_the_secret_that_fits_says_the_source_and_its_tenants() -> None:
    caller = Caller("webhook:shop", frozenset({"integration"}), frozenset({"acme"}))
    assert received(headers(signature(SHOP))) == ReceivedWebhook(caller, "shop", "msg_1")


def test_of_several_signatures_one_must_fit() -> None:
    fits = signature(NEW)
    assert received(headers(f"v1,bm9uZQ== {fits}")) == BILLING
    assert received(headers(f"{fits} v1a,bm9uZQ== v2,bm9uZQ==")) == BILLING
    assert refusal(headers(f"v1,bm9uZQ== {signature(b'x' * 24)}"))[0] == "signature_invalid"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_with_one_byte_changed_is_refused(place: int, flip: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= flip
    assert refusal(headers(signature(NEW)), bytes(changed))[0] == "signature_invalid"


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b"", b" " + BODY])
def test_a_longer_or_shorter_body_is_refused(body: bytes) -> None:
    assert refusal(headers(signature(NEW)), body)[0] == "signature_invalid"


def test_a_signature_is_good_for_its_id_and_its_timestamp_alone() -> None:
    signed = signature(NEW)
    assert refusal(headers(signed, id="msg_2"))[0] == "signature_invalid"
    assert refusal(headers(signed, at=NOW_SECONDS + 1))[0] == "signature_invalid"
    assert refusal(headers(signed, at=f"0{NOW_SECONDS}"))[0] == "signature_invalid"


def test_a_secret_that_nobody_has_signs_nothing() -> None:
    assert refusal(headers(signature(b"x" * 24)))[0] == "signature_invalid"


@pytest.mark.parametrize("away", [-TOLERANCE, TOLERANCE])
def test_a_webhook_within_the_tolerance_is_taken(away: int) -> None:
    at = NOW_SECONDS + away
    assert received(headers(signature(NEW, at=at), at=at)) == BILLING


@pytest.mark.parametrize("away", [-TOLERANCE - 1, TOLERANCE + 1, -(10**9), 10**11])
def test_an_old_or_a_future_webhook_is_stale_though_its_signature_is_good(away: int) -> None:
    at = NOW_SECONDS + away
    signed = signature(NEW, at=at) if at < 10**11 else "v1,bm9uZQ=="
    assert refusal(headers(signed, at=at)) == (
        "unauthenticated",
        "the webhook is stale: its webhook-timestamp is more than 300 s from now",
    )


def test_a_repeat_grows_stale_and_a_retry_signed_anew_does_not() -> None:
    clock, first = MovableClock(), headers(signature(NEW))
    assert received(first, clock=clock) == BILLING
    clock.move(TOLERANCE + 1)
    assert refusal(first, clock=clock)[0] == "unauthenticated"
    now = int(clock.now().timestamp())
    assert received(headers(signature(NEW, at=now), at=now), clock=clock) == BILLING


def test_a_clock_between_seconds_does_not_widen_the_tolerance() -> None:
    clock = MovableClock()
    clock.move(0.5)
    assert refusal(headers(signature(NEW, at=NOW_SECONDS - TOLERANCE), at=NOW_SECONDS - TOLERANCE), clock=clock)
    assert clock.now() > NOW


@pytest.mark.parametrize("at", ["", "soon", "-1", "1.5", "+1", " 1", "1e9", "0x1", "٣", "9" * 13, "nan"])
def test_a_timestamp_is_whole_seconds_in_digits(at: str) -> None:
    given = {**headers(signature(NEW)), b"webhook-timestamp": at.encode()}
    assert refusal(given)[0] == "unauthenticated"


@pytest.mark.parametrize("id", ["", "a b", "a\n", "\xff", "i" * 256])
def test_an_id_is_visible_ascii(id: str) -> None:
    assert refusal(headers(signature(NEW), id=id))[0] == "unauthenticated"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_header_must_be_there(missing: str) -> None:
    given = headers(signature(NEW))
    del given[missing.encode()]
    assert refusal(given)[0] == ("signature_invalid" if missing == "webhook-signature" else "unauthenticated")


@pytest.mark.parametrize(
    "signature",
    ["", " ", ",", "v1", "v1,", "v1,,", "v1,\xff", "v2,bm9uZQ==", signature(NEW)[3:], signature(NEW).upper()],
)
def test_what_is_no_signature_verifies_nothing(signature: str) -> None:
    assert refusal(headers(signature))[0] == "signature_invalid"


def test_the_number_of_signatures_is_bounded() -> None:
    fits = signature(NEW)
    assert received(headers(" ".join(["v1,bm9uZQ=="] * (SIGNATURES_MAX - 1) + [fits]))) == BILLING
    assert refusal(headers(" ".join(["v1,bm9uZQ=="] * SIGNATURES_MAX + [fits])))[0] == "signature_invalid"


def test_nothing_shows_a_secret() -> None:
    assert repr(SENDERS) == (
        "{'billing': Sender(2 secrets, tenants=None), 'shop': Sender(1 secrets, tenants=frozenset({'acme'}))}"
    )
    for wrong in (headers(signature(NEW), id="msg_2"), headers("")):
        detail = refusal(wrong)[1]
        assert not any(secret.decode() in detail for secret in (OLD, NEW, SHOP))
