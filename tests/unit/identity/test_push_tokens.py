"""Which tokens a push subscription of Google's may bring, and what happens to every other."""

import asyncio
import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.engines.google_keys import ACCOUNT, AUDIENCE, claims, new_key, pem_of, signed, signed_bytes
from tests.unit.identity.issuer import MovableClock

from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import KeysUnavailable, Unauthenticated
from tai_autonomics.identity import push_tokens
from tai_autonomics.identity.push_tokens import PushTokenVerifier, Subscription, is_googles

KEY, OTHER = new_key(), new_key()
CERTIFICATES = {"k1": pem_of(KEY)}
OWN = Caller("robot", frozenset({"admin"}), None)
PUSHER = Caller(ACCOUNT, frozenset({"integration"}), None, rated=False)
SUBSCRIPTION = Subscription(audience=AUDIENCE, service_account=ACCOUNT, leeway_seconds=30)


class OwnTokens:
    """Says which token it was asked for, and knows `own` alone."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def verify(self, token: str) -> Caller:
        self.asked.append(token)
        if not token.startswith("own"):
            raise Unauthenticated("unauthenticated", "not one of ours")
        return OWN


class Certificates:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def find(self, kid: str) -> str | None:
        self.asked.append(kid)
        if self.away:
            raise KeysUnavailable("Google's certificates: status 500")
        return CERTIFICATES.get(kid)


def clock_of_now() -> MovableClock:
    """google-auth asks the machine's clock, so this one begins there."""
    clock = MovableClock()
    clock.wall = datetime.now(UTC)
    return clock


class Scene:
    def __init__(self) -> None:
        self.own, self.certificates, self.clock = OwnTokens(), Certificates(), clock_of_now()
        self.verifier = PushTokenVerifier(self.own, self.certificates.find, SUBSCRIPTION, self.clock)

    def caller(self, token: str) -> Caller:
        return asyncio.run(self.verifier.verify(token))

    def refusal(self, token: str) -> tuple[str, str]:
        with pytest.raises(Unauthenticated) as refused:
            self.caller(token)
        return refused.value.reason, refused.value.detail


def test_the_subscriptions_token_acts_as_integration_on_all_tenants() -> None:
    assert Scene().caller(signed(KEY)) == PUSHER


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_both_of_googles_names_are_its_own(issuer: str) -> None:
    assert Scene().caller(signed(KEY, iss=issuer)) == PUSHER


def test_an_audience_is_the_same_in_other_cases() -> None:
    assert Scene().caller(signed(KEY, aud=AUDIENCE.upper())) == PUSHER


def test_a_token_of_ours_is_verified_as_ever() -> None:
    scene = Scene()
    assert scene.caller("own.token.x") == OWN
    assert scene.refusal("someone.elses.x") == ("unauthenticated", "not one of ours")
    assert scene.certificates.asked == []


def test_a_good_token_of_ours_is_opened_once_here_and_judged_by_the_own_verifier_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(push_tokens, "is_googles", lambda token: opened.append(token))
    monkeypatch.setattr(push_tokens, "KEPT_TOKENS_MAX", 2)
    scene = Scene()
    for token in ("own-1", "own-1", "own-2", "own-1", "own-2", "own-3", "own-1", "own-3"):
        assert scene.caller(token) == OWN
    assert opened == ["own-1", "own-2", "own-3", "own-1"]
    assert len(scene.own.asked) == 8
    for _ in range(2):
        scene.refusal("forged")
    assert opened[-2:] == ["forged", "forged"]


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ({"aud": "https://other.example/pubsub"}, "aud is not the audience"),
        ({"aud": ""}, "aud is not the audience"),
        ({"email": "other@acme-prod.iam.gserviceaccount.com"}, "email is not the verified one"),
        ({"email": None}, "email is not the verified one"),
        ({"email_verified": False}, "email is not the verified one"),
        ({"email_verified": None}, "email is not the verified one"),
        ({"email_verified": "true"}, "no ID token of Google's"),
        ({"aud": [AUDIENCE]}, "no ID token of Google's"),
        ({"aud": None}, "no ID token of Google's"),
        ({"iat": None}, "no ID token of Google's"),
        ({"exp": None}, "no ID token of Google's"),
        ({"exp": 10**30}, "no ID token of Google's"),
        ({"exp": True}, "no ID token of Google's"),
        ({"iat": -1}, "no ID token of Google's"),
    ],
)
def test_a_token_of_googles_for_something_else_is_refused(wrong: dict[str, Any], detail: str) -> None:
    scene = Scene()
    reason, told = scene.refusal(signed_bytes(json.dumps(claims(**wrong)).encode(), KEY))
    assert (reason, detail in told) == ("unauthenticated", True), told
    assert scene.own.asked == []


@pytest.mark.parametrize("issuer", ["https://accounts.google.com/", "https://issuer.example", "", None, 5])
def test_whoever_else_issued_it_is_for_the_own_verifier(issuer: Any) -> None:
    token = signed_bytes(json.dumps(claims(iss=issuer)).encode(), KEY)
    scene = Scene()
    assert scene.refusal(token) == ("unauthenticated", "not one of ours")
    assert scene.own.asked == [token]


@pytest.mark.parametrize("exp", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_payload_that_is_no_json_is_not_googles(exp: bytes) -> None:
    payload = json.dumps(claims(exp=0)).encode().replace(b'"exp": 0', b'"exp": ' + exp)
    assert exp in payload
    assert Scene().refusal(signed_bytes(payload, KEY)) == ("unauthenticated", "not one of ours")


def test_another_keys_signature_is_refused() -> None:
    assert Scene().refusal(signed(OTHER))[0] == "signature_invalid"


def test_a_claim_changed_after_signing_is_refused() -> None:
    head, _, signature = signed(KEY, email="other@x").split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=").decode()
    assert Scene().refusal(f"{head}.{forged}.{signature}")[0] == "signature_invalid"


def test_the_algorithm_is_rs256_whatever_the_header_says() -> None:
    scene = Scene()
    elliptic = ec.generate_private_key(ec.SECP256R1())
    tokens = [
        jwt.encode(claims(), elliptic, "ES256", headers={"kid": "k1"}),
        jwt.encode(claims(), b"k" * 32, "HS256", headers={"kid": "k1"}),
        jwt.encode(claims(), None, "none", headers={"kid": "k1"}),
        signed(KEY, algorithm="RS512"),
        signed(KEY, algorithm="PS256"),
        signed(KEY, None),
        signed(KEY, "k" * 256),
    ]
    for token in tokens:
        assert "no ID token of Google's" in scene.refusal(token)[1]
    assert scene.certificates.asked == []


def test_an_unknown_kid_is_refused_and_unavailable_certificates_are_said() -> None:
    scene = Scene()
    assert scene.refusal(signed(KEY, "k2")) == ("unauthenticated", "none of Google's certificates has the token's kid")
    scene.certificates.away = True
    with pytest.raises(KeysUnavailable):
        scene.caller(signed(KEY))


def test_a_token_has_its_time() -> None:
    scene, now = Scene(), int(time.time())
    assert scene.caller(signed(KEY, iat=now - 3590, exp=now - 20)) == PUSHER
    assert scene.refusal(signed(KEY, iat=now - 3700, exp=now - 40)) == ("token_expired", "the token has expired")
    assert scene.caller(signed(KEY, iat=now + 20)) == PUSHER
    assert scene.refusal(signed(KEY, iat=now + 90)) == ("unauthenticated", "the token is not good yet")


def test_a_verified_token_is_remembered_for_a_minute_and_not_past_its_end() -> None:
    scene, now = Scene(), int(time.time())
    token, ending = signed(KEY), signed(KEY, exp=now - 10)
    assert [scene.caller(token) for _ in range(3)] == [PUSHER] * 3
    assert scene.caller(ending) == PUSHER
    assert len(scene.certificates.asked) == 2
    scene.clock.move(25)
    scene.caller(token)
    scene.caller(ending)
    assert len(scene.certificates.asked) == 3
    scene.clock.move(40)
    scene.caller(token)
    assert len(scene.certificates.asked) == 4
    scene.clock.move(-3600)
    scene.caller(token)
    assert len(scene.certificates.asked) == 5


def test_what_was_refused_is_not_remembered() -> None:
    scene = Scene()
    for _ in range(2):
        scene.refusal(signed(OTHER))
    assert len(scene.certificates.asked) == 2


def test_the_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_tokens, "KEPT_TOKENS_MAX", 2)
    scene = Scene()
    tokens = [signed(KEY, jti=str(n)) for n in range(3)]
    for token in (*tokens, tokens[0], tokens[2]):
        assert scene.caller(token) == PUSHER
    assert len(scene.certificates.asked) == 4


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b", "a.b.c", "é.é.é", f"a.{'[' * 4000}.c", "a.e30.c", "a.bnVsbA.c", "a.W10.c", "own"],
)
def test_what_is_no_token_is_not_googles(token: str) -> None:
    assert not is_googles(token)


@pytest.mark.parametrize("part", [0, 2])
@pytest.mark.parametrize("broken", ["", "!", "e30", "bnVsbA", base64.urlsafe_b64encode(b"[" * 3000).decode()])
def test_a_broken_part_of_googles_token_is_refused(part: int, broken: str) -> None:
    parts = signed(KEY).split(".")
    parts[part] = broken
    assert Scene().refusal(".".join(parts))[0] in {"unauthenticated", "signature_invalid"}
    assert Scene().refusal(signed(KEY, azp="x" * 8192))[0] == "unauthenticated"


def test_a_deeply_nested_claim_is_refused_and_nothing_breaks() -> None:
    payload = b'{"iss":"accounts.google.com","x":' + b"[" * 2500 + b"]" * 2500 + b"}"
    token = signed_bytes(payload, KEY)
    assert Scene().refusal(token)[0] == "unauthenticated"


def test_the_clock_of_the_tests_is_the_machines() -> None:
    assert abs(clock_of_now().now() - datetime.now(UTC)) < timedelta(seconds=5)
