"""Google's certificates: when they are fetched, by whom, and how long they are good while Google is away."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.engines.certificates import certificate
from tests.engines.google_keys import GoogleKeys, new_key, pem_of
from tests.unit.identity.issuer import MovableClock

from tai_autonomics.errors import KeysUnavailable
from tai_autonomics.identity import fetching as over_https
from tai_autonomics.identity.fetching import fetching
from tai_autonomics.identity.push_keys import (
    FETCH_PAUSE_SECONDS,
    KEEP_SECONDS,
    REFRESH_SECONDS,
    GoogleCertificates,
    certificates_of,
)

PEM = pem_of(new_key())


def published(*kids: str) -> bytes:
    return json.dumps(dict.fromkeys(kids, PEM)).encode()


class Google:
    """Answers what it is told, or raises it; `held` until it is let go."""

    def __init__(self, answer: bytes | BaseException) -> None:
        self.answer = answer
        self.fetches = 0
        self.held: asyncio.Event | None = None

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.held is not None:
            await self.held.wait()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Told:
    def __init__(self) -> None:
        self.failures: list[str] = []

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {error}")


class Scene:
    def __init__(self, answer: bytes | BaseException) -> None:
        self.google, self.clock, self.told = Google(answer), MovableClock(), Told()
        self.certificates = GoogleCertificates(self.google.fetch, self.clock, self.told)  # type: ignore[arg-type]

    async def settled(self) -> None:
        """The fetch that nobody waits for has ended."""
        await self.certificates.refresh()

    async def unavailable(self, kid: str = "k1") -> str:
        with pytest.raises(KeysUnavailable) as refused:
            await self.certificates.find(kid)
        return str(refused.value)


def played(scene: Scene, play: Callable[[Scene], Awaitable[None]]) -> None:
    asyncio.run(play(scene))  # type: ignore[arg-type]


AWAY = KeysUnavailable("status 500")
CANNOT_BE_HAD = "Google's certificates cannot be had now"


def test_certificates_are_fetched_once_and_kept() -> None:
    async def play(scene: Scene) -> None:
        assert [await scene.certificates.find("k1") for _ in range(3)] == [PEM] * 3
        scene.clock.move(REFRESH_SECONDS - 1)
        assert await scene.certificates.find("k1") == PEM
        assert scene.google.fetches == 1

    played(Scene(published("k1")), play)


def test_an_unknown_kid_causes_one_fetch_for_everyone_and_none_for_a_while() -> None:
    async def play(scene: Scene) -> None:
        await scene.certificates.find("k1")
        assert await scene.certificates.find("k2") is None
        assert scene.google.fetches == 1, "it was asked a moment ago"
        scene.clock.move(FETCH_PAUSE_SECONDS)
        scene.google.answer, scene.google.held = published("k1", "k2"), asyncio.Event()
        asking = [asyncio.ensure_future(scene.certificates.find(kid)) for kid in ("k2", "k3", "k2")]
        await asyncio.sleep(0)
        assert await scene.certificates.find("k1") == PEM, "who is known waits for nobody"
        scene.google.held.set()
        assert await asyncio.gather(*asking) == [PEM, None, PEM]
        assert [await scene.certificates.find(f"k{n}") for n in range(3, 50)] == [None] * 47
        assert scene.google.fetches == 2

    played(Scene(published("k1")), play)


def test_who_stops_waiting_does_not_end_the_fetch_for_the_others() -> None:
    async def play(scene: Scene) -> None:
        scene.google.held = asyncio.Event()
        first, second = (asyncio.ensure_future(scene.certificates.find("k1")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        scene.google.held.set()
        assert await second == PEM
        assert (first.cancelled(), scene.google.fetches) == (True, 1)

    played(Scene(published("k1")), play)


def test_old_certificates_are_fetched_anew_and_nobody_waits_for_it() -> None:
    async def play(scene: Scene) -> None:
        await scene.certificates.find("k1")
        scene.clock.move(REFRESH_SECONDS)
        scene.google.answer, scene.google.held = published("k2"), asyncio.Event()
        assert await scene.certificates.find("k1") == PEM
        await asyncio.sleep(0)
        assert scene.google.fetches == 2
        scene.google.held.set()
        await scene.settled()
        assert await scene.certificates.find("k2") == PEM
        assert await scene.certificates.find("k1") is None, "Google took it away"

    played(Scene(published("k1")), play)


def test_while_google_is_away_certificates_are_kept_for_a_while_and_then_verify_nothing() -> None:
    async def play(scene: Scene) -> None:
        await scene.certificates.find("k1")
        scene.google.answer = AWAY
        scene.clock.move(KEEP_SECONDS)
        assert await scene.certificates.find("k1") == PEM
        await scene.settled()
        for _ in range(3):
            assert await scene.certificates.find("k1") == PEM
            await asyncio.sleep(0)
        assert scene.google.fetches == 2
        assert await scene.unavailable("k2") == CANNOT_BE_HAD
        scene.clock.move(1)
        assert await scene.unavailable() == CANNOT_BE_HAD
        fetches = scene.google.fetches
        assert await scene.unavailable() == CANNOT_BE_HAD
        assert scene.google.fetches == fetches
        scene.google.answer = published("k1")
        scene.clock.move(FETCH_PAUSE_SECONDS)
        assert await scene.certificates.find("k1") == PEM
        assert scene.told.failures == ["push_keys: status 500"] * (fetches - 1)

    played(Scene(published("k1")), play)


def test_health_names_the_last_error_and_their_age_once_no_new_push_can_be_verified() -> None:
    async def play(scene: Scene) -> None:
        certificates = scene.certificates
        assert certificates.result() == "ok", "none was refused, and the first push waits for the first fetch"
        await scene.unavailable()
        assert certificates.result() == "Google's certificates: status 500; there are none"
        scene.google.answer = published("k1")
        await certificates.refresh()
        assert certificates.result() == "ok"
        scene.google.answer = AWAY
        scene.clock.move(KEEP_SECONDS)
        await certificates.refresh()
        assert certificates.result() == "ok", "they are kept"
        scene.clock.move(1)
        assert certificates.result() == "Google's certificates: status 500; those there are 86401 s old"
        scene.google.answer = published("k1")
        await certificates.refresh()
        assert certificates.result() == "ok"
        scene.clock.move(KEEP_SECONDS + 1)
        assert certificates.result() == "ok", "nothing has failed: the next push waits for a fetch"
        assert await certificates.find("k1") == PEM

    played(Scene(AWAY), play)


def test_of_an_error_that_nobody_foresaw_health_says_its_kind_alone() -> None:
    async def play(scene: Scene) -> None:
        await scene.certificates.refresh()
        assert scene.certificates.result() == "Google's certificates: ValueError; there are none"
        assert scene.told.failures == ["push_keys: secret"]

    played(Scene(ValueError("secret")), play)


def test_they_are_fetched_in_the_background_and_sooner_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    async def play(scene: Scene) -> None:
        async def paused(seconds: float) -> None:
            pauses.append(seconds)
            scene.google.answer = published("k1") if len(pauses) >= 2 else AWAY
            if len(pauses) == 4:
                raise asyncio.CancelledError

        monkeypatch.setattr("tai_autonomics.identity.push_keys.asyncio.sleep", paused)
        with pytest.raises(asyncio.CancelledError):
            await scene.certificates.run()
        assert scene.google.fetches == 4

    played(Scene(AWAY), play)
    assert pauses == [FETCH_PAUSE_SECONDS, FETCH_PAUSE_SECONDS, REFRESH_SECONDS, REFRESH_SECONDS]


@pytest.mark.parametrize("error", [AWAY, RuntimeError(), ValueError("broken")])
def test_without_an_answer_there_are_no_certificates_whatever_went_wrong(error: Exception) -> None:
    async def play(scene: Scene) -> None:
        scene.certificates.refresh()
        assert await scene.unavailable() == CANNOT_BE_HAD
        assert scene.google.fetches == 1
        assert scene.told.failures == [f"push_keys: {error}"]

    played(Scene(error), play)


def test_closing_ends_a_fetch_that_is_under_way() -> None:
    async def play(scene: Scene) -> None:
        await scene.certificates.aclose()
        scene.google.held = asyncio.Event()
        fetching = scene.certificates.refresh()
        await asyncio.sleep(0)
        await scene.certificates.aclose()
        assert fetching.cancelled()

    played(Scene(published("k1")), play)


def test_keys_that_cannot_verify_rs256_are_passed_over() -> None:
    mixed = {
        "good": PEM,
        "short": pem_of(new_key(1024)),
        "elliptic": pem_of(ec.generate_private_key(ec.SECP256R1())),
        "text": "not a certificate",
        "number": 5,
    }
    assert certificates_of(json.dumps(mixed).encode()) == {"good": PEM}


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"keys":[]}', b'{"k1":"x"}', b"\xff", b"[" * 100_000, published("k1")[:-1]],
)
def test_what_holds_no_certificate_is_no_answer(content: bytes) -> None:
    with pytest.raises(KeysUnavailable):
        certificates_of(content)


def test_the_number_of_certificates_is_bounded() -> None:
    with pytest.raises(KeysUnavailable):
        certificates_of(published(*(f"k{n}" for n in range(101))))


async def fetched(url: str) -> bytes:
    async with fetching(url) as fetch:
        return await fetch()


def test_certificates_come_over_https_from_a_server_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GoogleKeys(tmp_path) as google:
        monkeypatch.setenv("SSL_CERT_FILE", str(google.trust))
        assert certificates_of(asyncio.run(fetched(google.url))).keys() == {"k1"}
        for status in (302, 404, 500):
            google.status = status
            with pytest.raises(KeysUnavailable, match=f"status {status}"):
                asyncio.run(fetched(google.url))
        google.status = 200
        monkeypatch.setattr(over_https, "KEY_FILE_BYTES_MAX", 1_000)
        with pytest.raises(KeysUnavailable, match="more than 1000 bytes"):
            asyncio.run(fetched(google.url))
        (tmp_path / "other").mkdir()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path / "other", "localhost")))
        with pytest.raises(KeysUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(fetched(google.url))


def test_a_server_that_fails_is_outlived_for_a_while_and_its_recovery_is_found_by_the_next_push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(google: GoogleKeys) -> None:
        clock, told = MovableClock(), Told()
        async with fetching(google.url) as fetch:
            certificates = GoogleCertificates(fetch, clock, told)  # type: ignore[arg-type]
            await certificates.refresh()
            google.status = 500
            clock.move(KEEP_SECONDS)
            await certificates.refresh()
            assert (await certificates.find("k1") is not None, certificates.result()) == (True, "ok")
            clock.move(1)
            with pytest.raises(KeysUnavailable, match=CANNOT_BE_HAD):
                await certificates.find("k1")
            assert certificates.result() == "Google's certificates: status 500; those there are 86401 s old"
            google.rotate("k2")
            google.status = 200
            clock.move(FETCH_PAUSE_SECONDS)
            assert await certificates.find("k2") is not None
            assert certificates.result() == "ok"
            await certificates.aclose()
        assert told.failures == ["push_keys: status 500"]

    with GoogleKeys(tmp_path) as google:
        monkeypatch.setenv("SSL_CERT_FILE", str(google.trust))
        asyncio.run(play(google))


def test_who_does_not_answer_in_time_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_https, "FETCH_SECONDS_MAX", 0.0)
    with GoogleKeys(tmp_path) as google, pytest.raises(KeysUnavailable, match=r"no answer within 0 s|Timeout"):
        asyncio.run(fetched(google.url))
