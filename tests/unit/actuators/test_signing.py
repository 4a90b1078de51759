"""Outgoing webhooks are signed as the public library verifies them."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tai_autonomics.actuators.signing import signed

OLD, NEW, OTHER = b"o" * 24, b"n" * 32, b"x" * 64


def library(secret: bytes) -> Webhook:
    return Webhook("whsec_" + base64.b64encode(secret).decode())


@given(secret=st.binary(min_size=24, max_size=64), text=st.text(), id=st.text("abcXYZ019_-.", min_size=1))
def test_the_public_library_verifies_the_signature(secret: bytes, text: str, id: str) -> None:
    body = text.encode("utf-8", "replace")
    headers = signed((secret,), id=id, at=datetime.now(UTC), body=body)
    library(secret).verify(body, headers, json_parse=False)


def test_the_signature_is_that_of_the_specifications_example() -> None:
    headers = signed(
        (base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),),
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_verify_while_one_is_replaced_and_no_third_one() -> None:
    headers = signed((OLD, NEW), id="a", at=datetime.now(UTC), body=b"{}")
    for secret in (OLD, NEW):
        library(secret).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        library(OTHER).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        library(OLD).verify(b"{ }", headers)


def test_the_time_is_that_of_the_instant_whatever_its_offset() -> None:
    at = datetime(2026, 11, 24, 12, 0, 0, 999_999, UTC)
    there = at.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert signed((OLD,), id="a", at=there, body=b"") == signed((OLD,), id="a", at=at, body=b"")
    assert signed((OLD,), id="a", at=at, body=b"")["webhook-timestamp"] == "1795521600"
