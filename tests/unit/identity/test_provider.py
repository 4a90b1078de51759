"""An identity provider's keys: when they are fetched, how long they are good, and who waits for whom."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from jwt.algorithms import get_default_algorithms
from tests.unit.identity.issuer import ISSUANCE, PRIVATE, MovableClock, token

from tai_autonomics.errors import InvalidSetting, KeysUnavailable, Unauthenticated
from tai_autonomics.identity.keys import provider_keys
from tai_autonomics.identity.provider import FETCH_PAUSE_SECONDS, ProviderKeys
from tai_autonomics.identity.tokens import TokenVerifier

pytestmark = pytest.mark.anyio
KEEP_SECONDS = 3_600.0


def jwk(algorithm: str = "EdDSA", kid: str = "k1", **members: Any) -> dict[str, Any]:
    public = get_default_algorithms()[algorithm].to_jwk(PRIVATE[algorithm].public_key(), as_dict=True)
    return {**public, "kid": kid, **members}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


class Provider:
    """Answers with what a test lays down; an error is raised."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.fetched = 0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> bytes:
        self.fetched += 1
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Told:
    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, str(error)))


class House:
    def __init__(self, answer: bytes | Exception) -> None:
        self.provider, self.clock, self.told = Provider(answer), MovableClock(), Told()
        self.keys = ProviderKeys(
            self.provider.fetch,
            self.clock,
            self.told,  # type: ignore[arg-type]
            refresh_seconds=300,
            keep_seconds=KEEP_SECONDS,
        )

    async def kid_of(self, kid: str | None) -> str | None:
        key = await self.keys.find(kid)
        return None if key is None else str(key.key_id)


AWAY = KeysUnavailable("status 500")


async def test_a_key_is_fetched_once_and_then_known() -> None:
    house = House(jwks(jwk()))
    assert [await house.kid_of("k1") for _ in range(3)] == ["k1"] * 3
    assert house.provider.fetched == 1
    assert house.keys.result() == "ok"


async def test_without_a_kid_the_only_key_is_meant() -> None:
    assert await House(jwks(jwk())).kid_of(None) == "k1"
    assert await House(jwks(jwk(), jwk("ES256", "k2"))).kid_of(None) is None


async def test_everyone_who_asks_at_once_waits_for_one_fetch() -> None:
    house = House(jwks(jwk()))
    house.provider.open.clear()
    waiting = [asyncio.create_task(house.kid_of("k1")) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    house.provider.open.set()
    assert await asyncio.gather(*waiting[1:]) == ["k1"] * 49
    assert house.provider.fetched == 1


async def test_unknown_kids_cause_one_fetch_in_a_while() -> None:
    house = House(jwks(jwk()))
    assert [await house.kid_of(f"x{n}") for n in range(1_000)] == [None] * 1_000
    assert house.provider.fetched == 1
    house.clock.move(FETCH_PAUSE_SECONDS)
    house.provider.answer = jwks(jwk(), jwk("ES256", "k2"))
    assert await house.kid_of("k2") == "k2"
    assert house.provider.fetched == 2


async def test_a_key_that_is_taken_away_verifies_nothing_after_the_next_refresh() -> None:
    house = House(jwks(jwk(), jwk("ES256", "k2")))
    assert await house.kid_of("k1") == "k1"
    house.provider.answer = jwks(jwk("ES256", "k2"))
    await house.keys.refresh()
    assert await house.kid_of("k1") is None


async def test_while_the_provider_is_away_its_keys_are_good_for_a_bounded_time() -> None:
    house = House(jwks(jwk()))
    assert await house.kid_of("k1") == "k1"
    house.provider.answer = AWAY
    await house.keys.refresh()
    house.clock.move(KEEP_SECONDS)
    assert await house.kid_of("k1") == "k1"
    assert house.keys.result() == "ok"
    house.clock.move(0.001)
    with pytest.raises(KeysUnavailable, match="status 500"):
        await house.kid_of("k1")
    assert house.keys.result() == "status 500"
    house.provider.answer = jwks(jwk())
    house.clock.move(FETCH_PAUSE_SECONDS)
    assert await house.kid_of("k1") == "k1"


async def test_of_a_kid_that_nobody_knows_nothing_is_said_while_the_provider_is_away() -> None:
    house = House(jwks(jwk()))
    assert await house.kid_of("k1") == "k1"
    house.provider.answer = AWAY
    house.clock.move(FETCH_PAUSE_SECONDS)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await house.kid_of("new")
    assert house.provider.fetched == 2
    assert house.told.failures == [("jwks", "status 500")]


async def test_before_the_first_answer_nothing_is_verified_and_health_says_so() -> None:
    house = House(AWAY)
    assert house.keys.result() == "not fetched yet"
    with pytest.raises(KeysUnavailable):
        await house.kid_of("k1")
    assert house.keys.result() == "status 500"


async def test_an_answer_that_is_no_set_leaves_the_keys_as_they_were() -> None:
    house = House(jwks(jwk()))
    assert await house.kid_of("k1") == "k1"
    house.provider.answer = b"<html>"
    await house.keys.refresh()
    assert await house.kid_of("k1") == "k1"
    assert house.told.failures == [("jwks", "the set is neither JSON nor PEM")]


async def test_keys_are_refreshed_in_the_background_and_sooner_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, pauses = House(AWAY), list[float]()
    house.provider.answer = AWAY

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            house.provider.answer = jwks(jwk())
        if len(pauses) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr("tai_autonomics.identity.provider.asyncio.sleep", paused)
    with pytest.raises(asyncio.CancelledError):
        await house.keys.run()
    assert pauses == [5, 5, 5, 300, 300]


async def test_a_verifier_tells_a_key_that_is_unknown_from_one_that_cannot_be_had() -> None:
    house = House(jwks(jwk()))
    verifier = TokenVerifier(house.keys, ISSUANCE, house.clock)
    assert (await verifier.verify(token())).subject == "robot"
    with pytest.raises(Unauthenticated, match="no key has this kid"):
        await verifier.verify(token(header={"kid": "other"}))
    house.provider.answer = AWAY
    house.clock.move(FETCH_PAUSE_SECONDS)
    with pytest.raises(KeysUnavailable):
        await verifier.verify(token(header={"kid": "other"}))


@pytest.mark.parametrize(
    ("content", "kids", "unusable"),
    [
        (jwks(jwk(), jwk("RS256", "r")), {"k1", "r"}, 0),
        (jwks(jwk(), {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}), {"k1"}, 1),
        (jwks(jwk(), jwk("ES256", "e", d="AQAB")), {"k1"}, 1),
        (jwks(jwk(), jwk("RS256", "r", alg="PS256")), {"k1"}, 1),
        (jwks(jwk(), {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "p"}), {"k1"}, 1),
        (jwks(jwk(), jwk("ES256", "k1")), {"k1"}, 1),
        (jwks(jwk(), jwk("ES256", "enc", use="enc")), {"k1"}, 0),
        (jwks(*(jwk(kid=f"k{n}") for n in range(150))), {f"k{n}" for n in range(100)}, 1),
    ],
    ids=["of two kinds", "secret", "private", "alg", "curve", "twice", "for encryption", "too many"],
)
def test_what_a_provider_holds_beside_usable_keys_is_left_out(
    content: bytes, kids: Iterable[str], unusable: int
) -> None:
    keys, left_out = provider_keys(content)
    assert (keys.keys(), len(left_out)) == (kids, unusable)
    assert keys["k1"].algorithm_name == "EdDSA"


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"keys":[]}', b'{"keys":[1]}', jwks({"kty": "oct", "k": "AA"}), b"["]
)
def test_a_set_without_a_usable_key_is_none(content: bytes) -> None:
    with pytest.raises(InvalidSetting):
        provider_keys(content)
