"""Which keys verify tokens, which are refused, and how the first one is made."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.unit.identity.issuer import PRIVATE, public

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.identity import keys
from tai_autonomics.identity.keys import first_start_key, load_keys, write_admin_token

RFC_7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
    "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5haj"
    "rn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)


def private_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password) if password else NoEncryption())


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(algorithm: str = "EdDSA", **members: object) -> dict[str, object]:
    """A good public JWK, but for what is said here; None leaves a member out."""
    found = {"kid": "k1", **public(algorithm)._jwk_data, **members}
    return {name: value for name, value in found.items() if value is not None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def loaded(file: Path, content: bytes | dict[str, object]) -> keys.Keys:
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return load_keys(file)


def refused(file: Path, content: bytes | dict[str, object]) -> str:
    with pytest.raises(InvalidSetting) as refusal:
        loaded(file, content)
    assert str(refusal.value).startswith(f"JWT_KEYS: {file} ")
    return str(refusal.value).removeprefix(f"JWT_KEYS: {file} ")


def test_a_jwks_gives_each_key_its_algorithm_under_its_kid(file: Path) -> None:
    found = loaded(file, {"keys": [jwk("EdDSA", kid="a"), jwk("ES256", kid="b"), jwk("RS256", kid="c", alg="RS256")]})
    assert {kid: key.algorithm_name for kid, key in found.public.items()} == {"a": "EdDSA", "b": "ES256", "c": "RS256"}
    assert found.signing is None


def test_a_key_without_kid_is_named_by_its_thumbprint_of_rfc_7638(file: Path) -> None:
    found = loaded(file, {"keys": [{"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB", "alg": "RS256"}]})
    assert list(found.public) == ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]


def test_keys_for_encryption_are_passed_over(file: Path) -> None:
    encryption = {"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "kid": "e", "n": "AQAB", "e": "AQAB"}
    wrapping = jwk("ES256", kid="w", key_ops=["deriveKey"])
    assert list(loaded(file, {"keys": [encryption, jwk(use="sig"), wrapping]}).public) == ["k1"]
    assert refused(file, {"keys": [encryption]}) == "holds 0 keys for signatures; allowed: 1 to 100"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "shared secret"),
        ({"kty": "oct"}, "shared secret"),
        (jwk(k="c2VjcmV0"), "shared secret"),
        ({**jwk(), "d": "c2VjcmV0"}, "private key"),
        (jwk(x="c2VjcmV0"), "no key of"),
        (jwk(x=None), "no key of"),
        (jwk(x=1), "no key of"),
        (jwk(crv="X25519"), "no key of"),
        (jwk(crv="Ed448"), "no key of"),
        (jwk(kty="ec"), "no key of"),
        (jwk(kty=None), "no key of"),
        (jwk(kty=[]), "no key of"),
        (jwk(alg="ES256"), "allowed for such a key: EdDSA"),
        (jwk("RS256", alg="PS256"), "allowed for such a key: RS256"),
        (jwk("RS256", alg="HS256"), "allowed for such a key: RS256"),
        (jwk("RS256", e="AQ"), "no key of"),
        (jwk("RS256", n="AQAB"), "no key of"),
        (jwk("ES256", x="AA" * 16, y="AA" * 16), "no key of"),
        (jwk("ES256", crv="P-384"), "no key of"),
        (jwk("ES256", crv="secp256k1"), "no key of"),
        (jwk(kid=""), "has a kid"),
        (jwk(kid=7), "has a kid"),
        (jwk(kid="a" * 256), "has a kid"),
        (jwk(kid="a\n"), "has a kid"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_jwk_that_cannot_verify_safely_is_refused(file: Path, entry: dict[str, object], why: str) -> None:
    said = refused(file, {"keys": [jwk("RS256", kid="good"), entry]})
    assert said.startswith("keys[1] ")
    assert why in said
    assert "c2VjcmV0" not in said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b'{"keys":[1]}',
        b'{"kty":"OKP"}',
        b'{"keys":[],"keys":[{}]}',
        b"{" + b'"a":[' * 100_000,
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\n",
        b"ssh-ed25519 AAAA",
    ],
)
def test_a_file_of_another_kind_is_refused(file: Path, content: bytes) -> None:
    assert "is " in refused(file, content)


def test_two_keys_of_one_kid_and_one_key_of_two_kids_are_refused(file: Path) -> None:
    assert refused(file, {"keys": [jwk(), jwk("ES256")]}) == "holds two keys with the kid 'k1'"
    assert refused(file, {"keys": [jwk(), jwk(kid="k2")]}) == "holds the key 'k2' twice"
    assert "twice" not in str(loaded(file, {"keys": [jwk(), jwk("ES256", kid="k2")]}))


def test_a_rsa_key_of_less_than_2048_bits_is_refused(file: Path) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert refused(file, public_pem(weak)) == "is an RSA key of 1024 bits; allowed: at least 2048"


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_public_pem_verifies_and_a_private_one_signs_too(file: Path, algorithm: str) -> None:
    verifying = loaded(file, public_pem(PRIVATE[algorithm]))
    signing = loaded(file, private_pem(PRIVATE[algorithm]))
    assert verifying.signing is None
    assert signing.signing is not None
    assert [signing.signing.key_id] == list(signing.public) == list(verifying.public)
    assert signing.signing.algorithm_name == algorithm
    assert "d" not in signing.public[signing.signing.key_id or ""]._jwk_data


def test_a_pem_file_may_hold_several_keys_and_what_openssl_writes_beside_them(file: Path) -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    traditional = private_pem(PRIVATE["ES256"], PrivateFormat.TraditionalOpenSSL)
    found = loaded(file, b"# ours\n" + parameters + traditional + public_pem(PRIVATE["EdDSA"]))
    assert sorted(key.algorithm_name for key in found.public.values()) == ["ES256", "EdDSA"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "another type or curve"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "another type or curve"),
        (public_pem(ed448.Ed448PrivateKey.generate()), "another type or curve"),
        (public_pem(x25519.X25519PrivateKey.generate()), "another type or curve"),
        (public_pem(dsa.generate_private_key(2048)), "another type or curve"),
        (private_pem(PRIVATE["ES256"], password=b"secret"), "encrypted private key"),
        (private_pem(PRIVATE["ES256"], PrivateFormat.TraditionalOpenSSL, b"secret"), "is encrypted"),
        (private_pem(PRIVATE["EdDSA"], PrivateFormat.OpenSSH), "openssh private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is a certificate"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be understood"),
        (private_pem(PRIVATE["EdDSA"]) + private_pem(PRIVATE["ES256"]), "two private keys"),
        (private_pem(PRIVATE["EdDSA"]) + public_pem(PRIVATE["EdDSA"]), "twice"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_pem_that_cannot_verify_safely_is_refused(file: Path, content: bytes, why: str) -> None:
    assert why in refused(file, content)


def test_a_file_that_is_missing_too_large_or_a_directory_is_named(file: Path) -> None:
    with pytest.raises(InvalidSetting, match="cannot be read: No such file"):
        load_keys(file)
    with pytest.raises(InvalidSetting, match="cannot be read: Is a directory"):
        load_keys(file.parent)
    assert "larger than" in refused(file, b" " * (keys.KEY_FILE_BYTES_MAX + 1))


def test_a_hundred_keys_are_the_most(file: Path) -> None:
    def entry(n: int) -> dict[str, object]:
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        return {"kid": str(n), **keys.OKPAlgorithm.to_jwk(key, as_dict=True)}

    assert refused(file, {"keys": [entry(n) for n in range(101)]}) == "holds 101 keys for signatures; allowed: 1 to 100"


def test_the_first_start_makes_a_key_that_only_we_can_read(tmp_path: Path) -> None:
    made = first_start_key(tmp_path / "new" / "data")
    file = tmp_path / "new" / "data" / keys.KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [keys.KEY_FILE]
    assert [made.signing.key_id if made.signing else ""] == list(made.public)


def test_our_key_is_on_disk_before_it_has_its_name_and_its_name_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append("directory" if is_directory(fd) else "key"), fsync(fd))[1]
    )
    monkeypatch.setattr(os, "link", lambda *names: (steps.append("name"), link(*names))[1])
    first_start_key(tmp_path)
    assert steps == ["key", "name", "directory"]


def is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def test_the_next_start_reads_the_same_key(tmp_path: Path) -> None:
    assert list(first_start_key(tmp_path).public) == list(first_start_key(tmp_path).public)


def test_of_processes_that_start_at_once_one_makes_the_key_and_all_read_it(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from tai_autonomics.identity.keys import first_start_key; sys.stdin.readline();"
        "print(*first_start_key(pathlib.Path(sys.argv[1])).public)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for one in started:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    said = {one.communicate(timeout=60)[0] for one in started}
    assert said == {f"{next(iter(first_start_key(tmp_path).public))}\n".encode()}
    assert [path.name for path in tmp_path.iterdir()] == [keys.KEY_FILE]


def test_a_process_that_was_second_reads_the_key_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def first_links(beside: Path, file: Path) -> None:
        (tmp_path / "theirs").write_bytes(private_pem(PRIVATE["EdDSA"]))
        (tmp_path / "theirs").chmod(0o600)
        link(tmp_path / "theirs", file)
        link(beside, file)

    monkeypatch.setattr(os, "link", first_links)
    assert list(first_start_key(tmp_path).public) == list(load_keys(tmp_path / "theirs").public)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o601])
def test_our_own_key_is_refused_when_everybody_can_reach_it(tmp_path: Path, mode: int) -> None:
    first_start_key(tmp_path)
    (tmp_path / keys.KEY_FILE).chmod(mode)
    with pytest.raises(InvalidSetting, match=re.escape(f"is open to everybody (mode {mode:o})")):
        first_start_key(tmp_path)


def test_our_own_key_may_be_read_by_the_group_of_a_mounted_volume(tmp_path: Path) -> None:
    first_start_key(tmp_path)
    (tmp_path / keys.KEY_FILE).chmod(0o660)
    assert first_start_key(tmp_path).signing is not None


def test_a_damaged_key_of_ours_is_named_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / keys.KEY_FILE
    for content in (b"", public_pem(PRIVATE["EdDSA"])):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(InvalidSetting, match=f"TAI_DATA_DIR: {file}"):
            first_start_key(tmp_path)
        assert file.read_bytes() == content


def test_a_directory_that_takes_no_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidSetting, match=r"TAI_DATA_DIR: .* cannot be made"):
        first_start_key(tmp_path / "file")
    with pytest.raises(InvalidSetting, match=r"TAI_DATA_DIR: .* cannot be written"):
        write_admin_token(tmp_path / "missing", "token")


def test_the_admin_token_replaces_an_older_one_and_only_we_can_read_it(tmp_path: Path) -> None:
    (tmp_path / keys.TOKEN_FILE).write_text("old")
    file = write_admin_token(tmp_path, "new.admin.token")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new.admin.token\n", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == [keys.TOKEN_FILE]


def test_keys_print_their_names_alone(tmp_path: Path) -> None:
    made = first_start_key(tmp_path)
    (kid,) = made.public
    assert repr(made) == str(made) == f"Keys({kid})"
    assert "object at" in repr(made.signing)
