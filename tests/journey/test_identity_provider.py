"""Tokens of an identity provider: its keys over HTTPS, their rotation, and a provider that is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.engines.certificates import certificate, serving
from tests.engines.receiver import Receiver, silence, status
from tests.journey.service import Service

pytestmark = [pytest.mark.anyio, pytest.mark.embedded]
ISSUER, AUDIENCE = "https://issuer.example", "tai"
OLD, NEW = rsa.generate_private_key(public_exponent=65537, key_size=2048), ec.generate_private_key(ec.SECP256R1())
TENANT = "/v1/tenants/acme"
POLL_SECONDS = 0.2


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def jwks(**keys: Any) -> bytes:
    """Public halves by kid."""

    def entry(kid: str, key: Any) -> dict[str, Any]:
        algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
        return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

    return json.dumps({"keys": [entry(kid, key) for kid, key in keys.items()]}).encode()


def token(kid: str, key: Any, **claims: Any) -> str:
    now = int(time.time())
    every = {"iss": ISSUER, "aud": AUDIENCE, "sub": "system:serviceaccount:tai:robot", "iat": now, "exp": now + 600}
    every |= {"realm_access": {"roles": ["offline_access", "admin"]}, "tenants": ["acme"], "jti": str(time.time_ns())}
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    return jwt.encode({**every, **claims}, key, algorithm, headers={"kid": kid})


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Receiver]:
    async with Receiver(status(200, jwks(old=OLD)), tls=serving(certificate(tmp_path, "localhost"))) as receiver:
        yield receiver


def service_of(provider: Receiver, tmp_path: Path, **environ: str) -> Service:
    return Service(
        tmp_path / "data",
        environ={
            "JWT_JWKS_URL": f"https://localhost:{provider.port}/keys",
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "JWT_ROLES_CLAIM": "/realm_access/roles",
            "SSL_CERT_FILE": str(tmp_path / "both.pem"),
            **environ,
        },
    )


async def asked(service: Service, bearer: str) -> tuple[int, str]:
    """The status, and the reason where there is one."""
    async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        answer = await client.get(TENANT, headers={"Authorization": f"Bearer {bearer}"})
    return answer.status_code, answer.json().get("reason", "")


async def health(service: Service) -> tuple[int, str]:
    async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        answer = await client.get("/health")
    return answer.status_code, answer.json()["checks"]["keys"]


KNOWN = (404, "not_found")
"""The caller is known and reaches the tenant, which has no ledger yet."""


async def test_a_providers_keys_verify_and_are_rotated_without_a_restart(provider: Receiver, tmp_path: Path) -> None:
    service = service_of(provider, tmp_path)
    await asyncio.to_thread(service.start)
    try:
        assert await asked(service, token("old", OLD)) == KNOWN
        assert await asked(service, token("old", NEW)) == (401, "unauthenticated")  # another algorithm than the key's
        assert await asked(service, token("old", OLD, realm_access={"roles": ["offline_access"]})) == (
            401,
            "unauthenticated",
        )
        assert await asked(service, token("old", OLD, tenants=["other"])) == (403, "tenant_forbidden")
        assert await health(service) == (200, "ok")
        provider.answer = status(200, jwks(old=OLD, new=NEW))
        while (answered := await asked(service, token("new", NEW))) != KNOWN:
            assert answered == (401, "unauthenticated")  # the provider was asked within the last ten seconds
            await asyncio.sleep(POLL_SECONDS)
        assert await asked(service, token("old", OLD)) == KNOWN
        fetched = len(provider.requests)
        assert {await asked(service, token(f"x{n}", NEW)) for n in range(20)} == {(401, "unauthenticated")}
        assert len(provider.requests) <= fetched + 1
        assert not (tmp_path / "data" / "admin.token").exists()
    finally:
        assert await asyncio.to_thread(service.stop) == 0


@pytest.mark.parametrize("away", [status(500), status(302, location="https://localhost/keys"), silence])
async def test_a_service_starts_without_its_provider_says_so_and_recovers(
    provider: Receiver, tmp_path: Path, away: Any
) -> None:
    provider.answer = away
    service = service_of(provider, tmp_path)
    await asyncio.to_thread(service.start)
    try:
        assert (await health(service))[0] == 503
        assert await asked(service, token("old", OLD)) == (503, "keys_unavailable")
        provider.answer = status(200, jwks(old=OLD))
        while (answered := await asked(service, token("old", OLD))) != KNOWN:
            assert answered == (503, "keys_unavailable")
            await asyncio.sleep(POLL_SECONDS)
        while (found := await health(service)) != (200, "ok"):
            assert found[0] == 503
            await asyncio.sleep(POLL_SECONDS)
    finally:
        assert await asyncio.to_thread(service.stop) == 0


async def test_a_providers_certificate_that_nobody_trusts_gives_no_keys(provider: Receiver, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    service = service_of(provider, tmp_path, SSL_CERT_FILE=str(certificate(tmp_path / "other", "localhost")))
    await asyncio.to_thread(service.start)
    try:
        answered, keys = await health(service)
        assert answered == 503
        assert "CERTIFICATE_VERIFY_FAILED" in keys
        assert provider.requests == []
    finally:
        assert await asyncio.to_thread(service.stop) == 0
