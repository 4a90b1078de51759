"""What a bearer token must be, and what happens to every other."""

import asyncio
import contextlib
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, given
from hypothesis import strategies as st
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm
from tests.unit.identity.issuer import (
    ABSENT,
    CLAIMS,
    ISSUANCE,
    NOW,
    NOW_SECONDS,
    PRIVATE,
    MovableClock,
    b64,
    json_of,
    public,
    signed,
    token,
    verifier,
)

from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import Malformed, Unauthenticated
from tai_autonomics.identity import tokens
from tai_autonomics.identity.keys import Keys, first_start_key
from tai_autonomics.identity.tokens import TokenVerifier, mint

ROBOT = Caller("robot", frozenset({"integration"}), frozenset({"acme"}))
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verify(bearer: str, one: TokenVerifier | None = None) -> Caller:
    return asyncio.run((one or verifier()).verify(bearer))


def refused(bearer: str, one: TokenVerifier | None = None) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        verify(bearer, one)
    return refusal.value.reason


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_good_token_becomes_its_caller(algorithm: str) -> None:
    assert verify(token(algorithm), verifier(algorithm)) == ROBOT


def test_tenants_star_reaches_every_tenant() -> None:
    assert verify(token(tenants="*")) == Caller("robot", frozenset({"integration"}), None)


def test_each_token_is_verified_by_the_key_that_it_names() -> None:
    several = verifier("EdDSA", "ES256", "RS256")
    assert verify(token("ES256", {"kid": "k2"}), several) == ROBOT
    assert verify(token("RS256", {"kid": "k3"}), several) == ROBOT
    assert refused(token("ES256", {"kid": "k3"}), several) == "unauthenticated"


def test_a_token_without_kid_is_tried_only_when_there_is_one_key() -> None:
    assert verify(token(header={"kid": ABSENT})) == ROBOT
    assert refused(token(header={"kid": ABSENT}), verifier("EdDSA", "EdDSA")) == "unauthenticated"


@pytest.mark.parametrize("kid", ["k2", "", "../../../dev/null", "k1\0", "' OR 1=1 --", None, 1, ["k1"], {"k1": 1}])
def test_a_kid_that_names_no_key_is_refused(kid: object) -> None:
    assert refused(token(header={"kid": kid})) == "unauthenticated"


@pytest.mark.parametrize("kid", [None, 1, True])
def test_a_kid_is_text(kid: object) -> None:
    one = TokenVerifier(Keys({str(kid): public("EdDSA")}), ISSUANCE, MovableClock())
    assert refused(token(header={"kid": kid}), one) == "unauthenticated"


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "ES256", "RS256", "eddsa", "Ed25519", "", None, ABSENT, 1, []]
)
def test_the_algorithm_is_that_of_the_key_whatever_the_token_says(alg: object) -> None:
    assert refused(token(header={"alg": alg})) == "unauthenticated"


def test_alg_none_with_an_empty_signature_is_refused() -> None:
    header, payload = b64(json_of({"alg": "none", "kid": "k1"})), b64(json_of(CLAIMS))
    assert refused(f"{header}.{payload}.") == "unauthenticated"
    assert refused(f"{header}.{payload}") == "unauthenticated"


def test_the_public_rsa_key_is_no_shared_secret() -> None:
    secret = PRIVATE["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing_input = f"{b64(json_of({'alg': 'HS256', 'kid': 'k1'}))}.{b64(json_of(CLAIMS))}"
    forged = f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"
    assert refused(forged, verifier("RS256")) == "unauthenticated"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_inside_a_token_is_not_looked_at(member: str) -> None:
    foreign = token("ES256", {"alg": "EdDSA", member: json.loads(json.dumps(public("ES256")._jwk_data))})
    assert refused(foreign) == "signature_invalid"
    assert verify(token(header={member: "https://evil.example"})) == ROBOT


@pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}])
def test_an_extension_that_must_be_understood_is_refused(extension: dict[str, object]) -> None:
    assert refused(token(header=extension)) == "unauthenticated"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", ABSENT])
def test_a_token_that_says_it_is_one_is_accepted(typ: object) -> None:
    assert verify(token(header={"typ": typ})) == ROBOT


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "JOSE", "", None, 7])
def test_a_token_made_for_another_purpose_is_refused(typ: object) -> None:
    assert refused(token(header={"typ": typ})) == "unauthenticated"


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_changed_payload_or_signature_is_refused(algorithm: str) -> None:
    header, payload, signature = token(algorithm).split(".")
    other = b64(json_of({**CLAIMS, "roles": ["admin"]}))
    assert refused(f"{header}.{other}.{signature}", verifier(algorithm)) == "signature_invalid"
    changed = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refused(f"{header}.{payload}.{changed}", verifier(algorithm)) == "signature_invalid"
    assert refused(f"{header}.{payload}.{signature[:-4]}", verifier(algorithm)) == "signature_invalid"
    assert refused(f"{header}.{payload}.{signature}AAAA", verifier(algorithm)) == "signature_invalid"


def es256_with(make: object) -> str:
    """A token whose raw ES256 signature (r, s) was put in another form."""
    header, payload, signature = token("ES256").split(".")
    raw = tokens.base64url_decode(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{header}.{payload}.{b64(make(r, s))}"  # type: ignore[operator]


@pytest.mark.parametrize(
    "make",
    [
        encode_dss_signature,
        lambda r, s: bytes(64),
        lambda r, s: r.to_bytes(32, "big") + bytes(32),
        lambda r, s: r.to_bytes(32, "big") + P256_ORDER.to_bytes(32, "big"),
        lambda r, s: b"\0" + r.to_bytes(32, "big") + b"\0" + s.to_bytes(32, "big"),
        lambda r, s: s.to_bytes(32, "big") + r.to_bytes(32, "big"),
        lambda r, s: b"",
    ],
    ids=["DER", "zeros", "s=0", "s=order", "66 bytes", "swapped", "empty"],
)
def test_an_es256_signature_is_64_raw_bytes_in_range(make: object) -> None:
    assert refused(es256_with(make), verifier("ES256")) in {"signature_invalid", "unauthenticated"}


def test_the_other_es256_signature_of_the_same_claims_gives_the_same_caller() -> None:
    twin = es256_with(lambda r, s: r.to_bytes(32, "big") + (P256_ORDER - s).to_bytes(32, "big"))
    assert verify(twin, verifier("ES256")) == ROBOT


@pytest.mark.parametrize("after", [0, 29.9])
def test_a_token_is_good_until_its_leeway_after_exp(after: float) -> None:
    clock = MovableClock()
    clock.move(3600 + after)
    assert verify(token(), verifier(clock=clock)) == ROBOT


@pytest.mark.parametrize("after", [30, 31, 10**6])
def test_a_token_has_expired_at_exp_and_its_leeway(after: float) -> None:
    clock = MovableClock()
    clock.move(3600 + after)
    assert refused(token(), verifier(clock=clock)) == "token_expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_from_the_future_waits_for_its_leeway(claim: str) -> None:
    assert verify(token(**{claim: NOW_SECONDS + 30})) == ROBOT
    assert refused(token(**{claim: NOW_SECONDS + 31})) == "unauthenticated"


def test_an_expired_token_with_a_wrong_signature_is_not_told_apart() -> None:
    header, payload, _ = token(exp=1).split(".")
    assert refused(f"{header}.{payload}.{b64(bytes(64))}") == "signature_invalid"


def test_a_token_lives_no_longer_than_the_setting() -> None:
    assert verify(token(exp=NOW_SECONDS + 86_400)) == ROBOT
    assert refused(token(exp=NOW_SECONDS + 86_401)) == "unauthenticated"
    assert refused(token(iat=NOW_SECONDS + 10, exp=NOW_SECONDS + 10)) == "unauthenticated"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "date", ["1795000000", True, False, None, [], {}, -1, 10**400, 2**63, 253_402_300_800, "Infinity", "NaN"]
)
def test_a_date_is_a_number_of_seconds_and_nothing_else(name: str, date: object) -> None:
    assert refused(token(**{name: date})) == "unauthenticated"


def test_a_date_may_have_a_fraction() -> None:
    assert verify(token(iat=NOW_SECONDS - 0.5, exp=NOW_SECONDS + 0.5)) == ROBOT


@pytest.mark.parametrize("literal", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000])
def test_a_date_that_is_no_finite_number_is_refused(literal: str) -> None:
    payload = json_of({**CLAIMS, "exp": "@"}).replace(b'"@"', literal.encode())
    assert refused(signed(json_of({"alg": "EdDSA", "kid": "k1"}), payload)) == "unauthenticated"


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp", "roles", "tenants"])
def test_a_missing_claim_is_refused(name: str) -> None:
    assert refused(token(**{name: ABSENT})) == "unauthenticated"


@pytest.mark.parametrize(
    "iss", ["https://issuer.example/", "HTTPS://issuer.example", "", None, ["https://issuer.example"]]
)
def test_another_issuer_is_refused(iss: object) -> None:
    assert refused(token(iss=iss)) == "unauthenticated"


def test_aud_is_our_audience_or_a_list_that_holds_it() -> None:
    assert verify(token(aud=["other", "tai"])) == ROBOT


@pytest.mark.parametrize(
    "aud", ["other", "ta", "tai ", "", [], ["other"], [["tai"]], ["tai", 1], {"tai": 1}, None, True]
)
def test_another_audience_is_refused(aud: object) -> None:
    assert refused(token(aud=aud)) == "unauthenticated"


@pytest.mark.parametrize("sub", ["", "a" * 129, "a b", "a\n", "ä", "\x7f", 1, None, ["robot"], {}])
def test_a_subject_is_printable_ascii_without_a_space(sub: object) -> None:
    assert refused(token(sub=sub)) == "unauthenticated"
    assert verify(token(sub="a" * 128)).subject == "a" * 128
    assert verify(token(sub="system:serviceaccount:tai:robot")).subject == "system:serviceaccount:tai:robot"


@pytest.mark.parametrize("roles", ["viewer", [], ["root"], ["Viewer"], ["viewer", 1], [["viewer"]], None, {}])
def test_roles_is_a_list_with_a_known_role(roles: object) -> None:
    assert refused(token(roles=roles)) == "unauthenticated"


def test_a_providers_other_roles_say_nothing_here() -> None:
    assert verify(token(roles=["offline_access", "root", "viewer"])).roles == {"viewer"}


def test_claims_have_the_names_that_the_provider_gives_them() -> None:
    issuance = msgspec.structs.replace(
        ISSUANCE, subject_claim="azp", roles_claim="/realm_access/roles", tenants_claim="https://tai.example/tenants"
    )
    one = TokenVerifier(Keys({"k1": public("EdDSA")}), issuance, MovableClock())
    claims = {"azp": "me", "realm_access": {"roles": ["viewer"]}, "https://tai.example/tenants": ["acme"]}
    assert verify(token(**claims), one) == Caller("me", frozenset({"viewer"}), frozenset({"acme"}))
    assert refused(token(**{**claims, "realm_access": "roles"}), one) == "unauthenticated"
    assert refused(token(), one) == "unauthenticated"
    assert verify(
        minted(PyJWK({**OKPAlgorithm.to_jwk(PRIVATE["EdDSA"], as_dict=True), "kid": "k1"}, "EdDSA"), issuance=issuance),
        one,
    ).roles == {"admin"}


@pytest.mark.parametrize(
    "tenants", [["*"], ["acme", "*"], [], "acme", "**", "", ["a b"], ["acme\n"], [""], [1], ["a" * 129], None, {}, True]
)
def test_tenants_is_a_list_of_ids_or_a_star_alone(tenants: object) -> None:
    assert refused(token(tenants=tenants)) == "unauthenticated"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub":"robot","sub":"admin",' + json_of(CLAIMS)[1:],
        json_of(CLAIMS)[:-1] + b',"x":{"a":1,"a":2}}',
        b"[" + json_of(CLAIMS) + b"]",
        b"null",
        b"",
        b"\xff" + json_of(CLAIMS),
        b"\xef\xbb\xbf" + json_of(CLAIMS),
        json_of(CLAIMS) + b"{}",
        b"[" * 2500,
    ],
    ids=["twice", "twice inside", "array", "null", "empty", "not UTF-8", "BOM", "trailing", "deep"],
)
def test_a_payload_is_one_strict_json_object(payload: bytes) -> None:
    assert refused(signed(json_of({"alg": "EdDSA", "kid": "k1"}), payload)) == "unauthenticated"


@pytest.mark.parametrize("header", [b'{"alg":"none","alg":"EdDSA","kid":"k1"}', b"[]", b"{", b"\xff"])
def test_a_header_is_one_strict_json_object(header: bytes) -> None:
    assert refused(signed(header, json_of(CLAIMS))) == "unauthenticated"


@pytest.mark.parametrize(
    "spoil", ["{}.x", "{}=", " {}", "{} ", "{}\n", "x.{}", ".{}", "{}.", "", ".", "..", "a.b", "é{}", "\ud800{}"]
)
def test_a_token_is_three_parts_of_base64url(spoil: str) -> None:
    assert refused(spoil.format(token())) == "unauthenticated"


def test_unused_bits_at_the_end_of_a_part_are_refused() -> None:
    good = token()
    twin = good[:-1] + chr(ord(good[-1]) + 1)
    assert refused(twin) == "signature_invalid"


GOOD = {algorithm: token(algorithm) for algorithm in PRIVATE}


@given(st.sampled_from(sorted(GOOD)), st.integers(min_value=0), st.sampled_from("AZaz09-_.=+ \n"))
def test_no_character_of_a_token_can_be_changed(algorithm: str, place: int, character: str) -> None:
    good, at = GOOD[algorithm], place % len(GOOD[algorithm])
    assume(good[at] != character)
    assert refused(good[:at] + character + good[at + 1 :], verifier(algorithm)) in {
        "unauthenticated",
        "signature_invalid",
    }


def test_an_oversized_token_is_refused_before_it_is_read() -> None:
    assert refused(token(padding="x" * 8192)) == "unauthenticated"


def test_no_refusal_repeats_what_the_token_said() -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verify(token(sub="se cret", header={"kid": "k1"}))
    assert "se cret" not in f"{refusal.value!r}{refusal.value}{refusal.value.__cause__!r}"


def test_a_verified_token_is_not_verified_again_within_a_minute() -> None:
    keys, clock = {"k1": public("EdDSA")}, MovableClock()
    one = TokenVerifier(Keys(keys), ISSUANCE, clock)
    assert verify(token(), one) == ROBOT
    keys.clear()
    clock.move(59.9)
    assert verify(token(), one) == ROBOT
    clock.move(0.1)
    assert refused(token(), one) == "unauthenticated"


def test_a_kept_token_ends_with_its_exp() -> None:
    keys, clock = {"k1": public("EdDSA")}, MovableClock()
    one, short = TokenVerifier(Keys(keys), ISSUANCE, clock), token(exp=NOW_SECONDS + 5)
    assert verify(short, one) == ROBOT
    keys.clear()
    clock.move(34.9)
    assert verify(short, one) == ROBOT
    keys["k1"] = public("EdDSA")
    clock.move(0.1)
    assert refused(short, one) == "token_expired"


def test_a_clock_that_goes_back_keeps_no_token() -> None:
    keys, clock = {"k1": public("EdDSA")}, MovableClock()
    one = TokenVerifier(Keys(keys), ISSUANCE, clock)
    assert verify(token(), one) == ROBOT
    keys.clear()
    clock.move(-1)
    assert refused(token(), one) == "unauthenticated"


def test_the_tokens_kept_are_bounded_and_the_least_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KEPT_TOKENS_MAX", 2)
    keys = {"k1": public("EdDSA")}
    one = TokenVerifier(Keys(keys), ISSUANCE, MovableClock())
    first, second, third = (token(sub=name) for name in ("first", "second", "third"))
    for bearer in (first, second, first, third):
        verify(bearer, one)
    keys.clear()
    assert (verify(first, one).subject, verify(third, one).subject) == ("first", "third")
    assert refused(second, one) == "unauthenticated"


def test_a_refused_token_is_not_kept() -> None:
    clock = MovableClock()
    one = verifier(clock=clock)
    early = token(nbf=NOW_SECONDS + 40)
    assert refused(early, one) == "unauthenticated"
    clock.move(10)
    assert verify(early, one) == ROBOT


@given(st.text(max_size=200) | st.text(alphabet="ey.J-_=", max_size=60))
def test_no_text_does_anything_but_be_refused(bearer: str) -> None:
    assert refused(bearer) in {"unauthenticated", "signature_invalid"}


@pytest.mark.long
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda one: st.lists(one)),
    st.sampled_from(sorted(CLAIMS)),
)
def test_a_claim_of_any_type_is_accepted_or_refused(value: object, name: str) -> None:
    with contextlib.suppress(Unauthenticated):
        assert isinstance(verify(token(**{name: value})), Caller)


def test_a_token_that_we_mint_is_verified(tmp_path: Path) -> None:
    keys = first_start_key(tmp_path)
    bearer = minted(keys.signing, tenants=frozenset({"b", "a"}))
    assert verify(bearer, TokenVerifier(keys, ISSUANCE, MovableClock())) == Caller(
        "admin", frozenset({"admin"}), frozenset({"a", "b"})
    )


def test_a_token_that_we_mint_is_good_at_once_without_leeway(tmp_path: Path) -> None:
    keys, strict = first_start_key(tmp_path), msgspec.structs.replace(ISSUANCE, leeway_seconds=0)
    clock = MovableClock()
    clock.move(0.999999)
    bearer = minted(keys.signing, issuance=strict, now=clock.now())
    assert verify(bearer, TokenVerifier(keys, strict, clock)).subject == "admin"


def minted(signing: object, **changed: object) -> str:
    asked: dict[str, object] = {
        "subject": "admin",
        "roles": frozenset({"admin"}),
        "tenants": None,
        "issuance": ISSUANCE,
        "now": NOW + timedelta(microseconds=999_999),
        "lifetime_seconds": 86_400,
    }
    return mint(signing, **{**asked, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "a b"},
        {"roles": frozenset()},
        pytest.param({"roles": frozenset({"root", "viewer"})}, id="a role that is none beside one that is"),
        {"roles": frozenset({"root"})},
        {"tenants": frozenset()},
        {"tenants": frozenset({"*"})},
        pytest.param({"tenants": frozenset(f"{'t' * 100}{n}" for n in range(100))}, id="a token too long"),
        {"lifetime_seconds": 0},
        {"lifetime_seconds": 86_401},
    ],
    ids=str,
)
def test_nothing_is_minted_that_would_be_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        minted(first_start_key(tmp_path).signing, **wrong)
