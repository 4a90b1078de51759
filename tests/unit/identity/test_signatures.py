"""
Signatures at the edges of each algorithm, made here with the key in hand, each taken or refused by name.

One claim set, one key an algorithm; only the bytes of the signature, or the key, are unusual.
"""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384
from jwt.utils import base64url_decode
from tests.unit.identity.curve import (
    IDENTITY,
    IDENTITY_AGAIN,
    ORDER,
    ORDER_TWO,
    PRIME,
    challenge,
    scalar,
    small_order_heights,
)
from tests.unit.identity.issuer import CLAIMS, PRIVATE, b64, json_of, token, verifier

from tai_autonomics.errors import InvalidSetting, Unauthenticated
from tai_autonomics.identity.keys import load_keys

TAKEN, REFUSED = "taken", "signature_invalid"
NO_TOKEN: Final = "unauthenticated"
"""A signature of no bytes is no third part, so that this is no token at all."""


def outcome(algorithm: str, message: bytes, signature: bytes) -> str:
    bearer = f"{message.decode()}.{b64(signature)}"
    try:
        asyncio.run(verifier(algorithm).verify(bearer))
    except Unauthenticated as refusal:
        return refusal.reason
    return TAKEN


def message_of(algorithm: str, **claims: object) -> bytes:
    return f"{b64(json_of({'alg': algorithm, 'kid': 'k1'}))}.{b64(json_of({**CLAIMS, **claims}))}".encode()


def signature_of(algorithm: str) -> bytes:
    """An honest one of `message_of(algorithm)`."""
    message, _, signature = token(algorithm).rpartition(".")
    assert message.encode() == message_of(algorithm)
    return base64url_decode(signature)


# ---- ES256: r and s of 32 bytes each, between 1 and n - 1 (RFC 7518 section 3.4)

P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n, the order of the curve's group."""
EC: Final = PRIVATE["ES256"]
OTHER_EC: Final = ec.generate_private_key(ec.SECP256R1())
P384: Final = ec.generate_private_key(ec.SECP384R1())


def two(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def ecdsa(key: ec.EllipticCurvePrivateKey, algorithm: hashes.HashAlgorithm, size: int = 32) -> bytes:
    return two(*decode_dss_signature(key.sign(message_of("ES256"), ec.ECDSA(algorithm))), size)


ECDSA: Final[Mapping[str, tuple[Callable[[int, int], bytes], str]]] = {
    "as it was made": (two, TAKEN),
    # ECDSA is malleable, and a token's signature identifies nothing here: both are the signer's word.
    "the other s": (lambda r, s: two(r, P256 - s), TAKEN),
    "the lower s": (lambda r, s: two(r, min(s, P256 - s)), TAKEN),
    "the higher s": (lambda r, s: two(r, max(s, P256 - s)), TAKEN),
    "r of 0": (lambda r, s: two(0, s), REFUSED),
    "s of 0": (lambda r, s: two(r, 0), REFUSED),
    "both 0": (lambda r, s: two(0, 0), REFUSED),
    "both 1": (lambda r, s: two(1, 1), REFUSED),
    "r of n": (lambda r, s: two(P256, s), REFUSED),
    "s of n": (lambda r, s: two(r, P256), REFUSED),
    "r of n + 1": (lambda r, s: two(P256 + 1, s), REFUSED),
    "s of n + 1": (lambda r, s: two(r, P256 + 1), REFUSED),
    "r of n - 1": (lambda r, s: two(P256 - 1, s), REFUSED),
    "r negated": (lambda r, s: two(P256 - r, s), REFUSED),
    "both negated": (lambda r, s: two(P256 - r, P256 - s), REFUSED),
    "all ones": (lambda r, s: b"\xff" * 64, REFUSED),
    "r of 0 and s of n": (lambda r, s: two(0, P256), REFUSED),
    "swapped": (lambda r, s: two(s, r), REFUSED),
    "s + n in 33 bytes each": (lambda r, s: two(r, s + P256, 33), REFUSED),
    "a zero before each": (lambda r, s: two(r, s, 33), REFUSED),
    "63 bytes": (lambda r, s: two(r, s)[:-1], REFUSED),
    "65 bytes": (lambda r, s: two(r, s) + b"\0", REFUSED),
    "a zero before": (lambda r, s: b"\0" + two(r, s), REFUSED),
    "r alone": (lambda r, s: two(r, s)[:32], REFUSED),
    "twice": (lambda r, s: two(r, s) * 2, REFUSED),
    "DER": (encode_dss_signature, REFUSED),
    "DER of zeros": (lambda r, s: encode_dss_signature(0, 0), REFUSED),
    "in hexadecimal": (lambda r, s: two(r, s).hex().encode(), REFUSED),
    "little endian": (lambda r, s: r.to_bytes(32, "little") + s.to_bytes(32, "little"), REFUSED),
    "none": (lambda r, s: b"", NO_TOKEN),
    "of another key": (lambda r, s: ecdsa(OTHER_EC, SHA256()), REFUSED),
    "over SHA-384": (lambda r, s: ecdsa(EC, SHA384()), REFUSED),
    "over SHA-1": (lambda r, s: ecdsa(EC, SHA1()), REFUSED),
    "of a P-384 key": (lambda r, s: ecdsa(P384, SHA384(), 48), REFUSED),
    "of an Ed25519 key": (lambda r, s: PRIVATE["EdDSA"].sign(message_of("ES256")), REFUSED),
}


@pytest.mark.parametrize(("make", "expected"), ECDSA.values(), ids=ECDSA)
def test_es256(make: Callable[[int, int], bytes], expected: str) -> None:
    raw = signature_of("ES256")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    assert outcome("ES256", message_of("ES256"), make(r, s)) == expected


def test_es256_keeps_the_zeros_that_a_number_begins_with() -> None:
    """One honest signature in 128 has such a number."""
    for number in range(20_000):
        message = message_of("ES256", jti=number)
        r, s = decode_dss_signature(EC.sign(message, ec.ECDSA(SHA256())))
        if min(r, s) < 1 << 248:
            assert outcome("ES256", message, two(r, s)) == TAKEN
            stripped = two(r, s)[1:] if r < 1 << 248 else two(r, s)[:32] + two(r, s)[33:]
            assert outcome("ES256", message, stripped) == REFUSED
            return
    raise AssertionError("20,000 signatures, and no number under 2^248")


# ---- EdDSA: R of 32 bytes, then S under L in little endian (RFC 8032 section 5.1.7)

ED: Final = PRIVATE["EdDSA"]
PUBLIC: Final = ED.public_key().public_bytes_raw()
MESSAGE: Final = message_of("EdDSA")


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def answering(commitment: bytes, *, domain: bytes = b"", message: bytes = MESSAGE) -> bytes:
    """With the S that a commitment of order 1 needs: h a, so that S B - h A is the identity."""
    return commitment + little(challenge(commitment, PUBLIC, message, domain=domain) * scalar(ED) % ORDER)


def moved(times: int) -> Callable[[bytes], bytes]:
    return lambda signature: signature[:32] + little(int.from_bytes(signature[32:], "little") + times * ORDER)


PREHASHED: Final = b"SigEd25519 no Ed25519 collisions\x01\x00"
CONTEXT: Final = b"SigEd25519 no Ed25519 collisions\x00\x03jwt"

EDDSA: Final[Mapping[str, tuple[Callable[[bytes], bytes], str]]] = {
    "as it was made": (lambda signature: signature, TAKEN),
    "S + L": (moved(1), REFUSED),
    "S + 2L": (moved(2), REFUSED),
    "S + 8L": (moved(8), REFUSED),
    "S of 0": (lambda signature: signature[:32] + bytes(32), REFUSED),
    "S of L": (lambda signature: signature[:32] + little(ORDER), REFUSED),
    "S negated": (lambda signature: signature[:32] + little(ORDER - int.from_bytes(signature[32:], "little")), REFUSED),
    "S with its highest bit set": (lambda signature: signature[:-1] + bytes([signature[-1] | 0x80]), REFUSED),
    "S of ones": (lambda signature: signature[:32] + b"\xff" * 32, REFUSED),
    "S big endian": (lambda signature: signature[:32] + signature[:31:-1], REFUSED),
    "R with the other sign": (
        lambda signature: signature[:31] + bytes([signature[31] ^ 0x80]) + signature[32:],
        REFUSED,
    ),
    "R of p, no canonical y": (lambda signature: little(PRIME) + signature[32:], REFUSED),
    "R of ones": (lambda signature: b"\xff" * 32 + signature[32:], REFUSED),
    "R and S swapped": (lambda signature: signature[32:] + signature[:32], REFUSED),
    "all zeros": (lambda signature: bytes(64), REFUSED),
    "the identity and 0": (lambda signature: IDENTITY + bytes(32), REFUSED),
    # Whoever makes S here has the key: it is the signer's word, with a commitment that nobody honest picks.
    "R the identity, S by the key": (lambda signature: answering(IDENTITY), TAKEN),
    "R the identity again, not canonical, S by the key": (lambda signature: answering(IDENTITY_AGAIN), REFUSED),
    # Multiplied by the cofactor this would hold; it is not multiplied here.
    "R of order two, S by the key": (lambda signature: answering(ORDER_TWO), REFUSED),
    "S by the key, S + L": (lambda signature: moved(1)(answering(IDENTITY)), REFUSED),
    "Ed25519ph": (
        lambda signature: answering(IDENTITY, domain=PREHASHED, message=hashlib.sha512(MESSAGE).digest()),
        REFUSED,
    ),
    "Ed25519ctx": (lambda signature: answering(IDENTITY, domain=CONTEXT), REFUSED),
    "63 bytes": (lambda signature: signature[:-1], REFUSED),
    "65 bytes": (lambda signature: signature + b"\0", REFUSED),
    "a zero before": (lambda signature: b"\0" + signature, REFUSED),
    "R alone": (lambda signature: signature[:32], REFUSED),
    "twice": (lambda signature: signature * 2, REFUSED),
    "in hexadecimal": (lambda signature: signature.hex().encode(), REFUSED),
    "none": (lambda signature: b"", NO_TOKEN),
    "of another key": (lambda signature: ed25519.Ed25519PrivateKey.generate().sign(MESSAGE), REFUSED),
    "of an Ed448 key": (lambda signature: ed448.Ed448PrivateKey.generate().sign(MESSAGE), REFUSED),
    "of a P-256 key": (lambda signature: two(*decode_dss_signature(EC.sign(MESSAGE, ec.ECDSA(SHA256())))), REFUSED),
    "of the digest of the message": (lambda signature: ED.sign(hashlib.sha256(MESSAGE).digest()), REFUSED),
}


@pytest.mark.parametrize(("make", "expected"), EDDSA.values(), ids=EDDSA)
def test_eddsa(make: Callable[[bytes], bytes], expected: str) -> None:
    assert outcome("EdDSA", MESSAGE, make(signature_of("EdDSA"))) == expected


# ---- RS256: EMSA-PKCS1-v1_5 of SHA-256, of exactly the modulus's length (RFC 8017 section 8.2.2)

RSA: Final = PRIVATE["RS256"]
NUMBERS: Final = RSA.private_numbers()
MODULUS: Final = NUMBERS.public_numbers.n
SHA256_PREFIX: Final = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2, note 1)."""


def digest() -> bytes:
    return hashlib.sha256(message_of("RS256")).digest()


def padded(info: bytes, *, first: bytes = b"\x00\x01", filler: bytes = b"\xff", end: bytes = b"\x00") -> bytes:
    return first + filler * (256 - len(first) - len(end) - len(info)) + end + info


def raw(encoded: bytes) -> bytes:
    """Signed as it stands: whoever has the key can say anything."""
    return pow(int.from_bytes(encoded, "big"), NUMBERS.d, MODULUS).to_bytes(256, "big")


def rsa_signed(pad: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> bytes:
    return RSA.sign(message_of("RS256"), pad, algorithm)


def pss(salt: int) -> bytes:
    return rsa_signed(padding.PSS(padding.MGF1(SHA256()), salt), SHA256())


GOOD_INFO: Final = SHA256_PREFIX + digest()
NO_NULL: Final = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest()
LONG_LENGTH: Final = b"\x30\x81\x31" + GOOD_INFO[2:]
SHA512_256: Final = SHA256_PREFIX.replace(bytes.fromhex("0201"), bytes.fromhex("0206")) + digest()
PKCS1: Final[Mapping[str, tuple[Callable[[], bytes], str]]] = {
    "as it was made": (lambda: signature_of("RS256"), TAKEN),
    "put together by hand": (lambda: raw(padded(GOOD_INFO)), TAKEN),
    "over SHA-1": (lambda: rsa_signed(padding.PKCS1v15(), SHA1()), REFUSED),
    "over SHA-384": (lambda: rsa_signed(padding.PKCS1v15(), SHA384()), REFUSED),
    "over SHA-512": (lambda: rsa_signed(padding.PKCS1v15(), hashes.SHA512()), REFUSED),
    "SHA-256 under the name of SHA-512/256": (lambda: raw(padded(SHA512_256)), REFUSED),
    "the digest without its name": (lambda: raw(padded(digest())), REFUSED),
    "no NULL after the name": (lambda: raw(padded(NO_NULL)), REFUSED),
    "a length in two bytes": (lambda: raw(padded(LONG_LENGTH)), REFUSED),
    "PSS, salt of 32": (lambda: pss(32), REFUSED),
    "PSS, no salt": (lambda: pss(0), REFUSED),
    "block type 0": (lambda: raw(padded(GOOD_INFO, first=b"\0\0", filler=b"\0")), REFUSED),
    "block type 2": (lambda: raw(padded(GOOD_INFO, first=b"\0\2", filler=b"\x7f")), REFUSED),
    "another first byte": (lambda: raw(padded(GOOD_INFO, first=b"\x01\x01")), REFUSED),
    "a filler of another byte": (lambda: raw(padded(GOOD_INFO, filler=b"\xfe")), REFUSED),
    "no zero after the filler": (lambda: raw(padded(GOOD_INFO, end=b"")), REFUSED),
    "two zeros after the filler": (lambda: raw(padded(GOOD_INFO, end=b"\0\0")), REFUSED),
    "eight bytes of filler, rubbish after the digest": (
        lambda: raw(b"\0\1" + b"\xff" * 8 + b"\0" + GOOD_INFO + bytes(256 - 11 - len(GOOD_INFO))),
        REFUSED,
    ),
    "rubbish within the filler": (
        lambda: raw(padded(GOOD_INFO).replace(b"\xff" * 9, b"\xff" * 8 + b"\x42", 1)),
        REFUSED,
    ),
    "the encoded message, not signed": (lambda: padded(GOOD_INFO), REFUSED),
    "0": (lambda: bytes(256), REFUSED),
    "1": (lambda: (1).to_bytes(256, "big"), REFUSED),
    "n - 1": (lambda: (MODULUS - 1).to_bytes(256, "big"), REFUSED),
    "n": (lambda: MODULUS.to_bytes(256, "big"), REFUSED),
    "n + 1": (lambda: (MODULUS + 1).to_bytes(256, "big"), REFUSED),
    "n more, in 257 bytes": (
        lambda: (int.from_bytes(signature_of("RS256"), "big") + MODULUS).to_bytes(257, "big"),
        REFUSED,
    ),
    "255 bytes": (lambda: signature_of("RS256")[:-1], REFUSED),
    "257 bytes": (lambda: signature_of("RS256") + b"\0", REFUSED),
    "a zero before": (lambda: b"\0" + signature_of("RS256"), REFUSED),
    "little endian": (lambda: signature_of("RS256")[::-1], REFUSED),
    "twice": (lambda: signature_of("RS256") * 2, REFUSED),
    "none": (lambda: b"", NO_TOKEN),
    "of another key": (
        lambda: rsa.generate_private_key(65537, 2048).sign(message_of("RS256"), padding.PKCS1v15(), SHA256()),
        REFUSED,
    ),
    "of a P-256 key": (lambda: EC.sign(message_of("RS256"), ec.ECDSA(SHA256())), REFUSED),
}


@pytest.mark.parametrize(("make", "expected"), PKCS1.values(), ids=PKCS1)
def test_rs256(make: Callable[[], bytes], expected: str) -> None:
    assert outcome("RS256", message_of("RS256"), make()) == expected


def test_rs256_keeps_the_zero_that_a_signature_begins_with() -> None:
    """One honest signature in 256 or less begins so: n - 2^2040 or more of the others are above."""
    for number in range(10_000):
        message = message_of("RS256", jti=number)
        signature = RSA.sign(message, padding.PKCS1v15(), SHA256())
        if signature[0] == 0:
            assert outcome("RS256", message, signature) == TAKEN
            assert outcome("RS256", message, signature[1:]) == REFUSED
            return
    raise AssertionError("10,000 signatures, and none begins with a zero")


def test_rs256_more_than_the_modulus_is_refused_where_it_fits_its_length() -> None:
    for number in itertools.count():
        message = message_of("RS256", jti=number)
        signature = int.from_bytes(RSA.sign(message, padding.PKCS1v15(), SHA256()), "big")
        if signature + MODULUS < 1 << 2048:
            assert outcome("RS256", message, (signature + MODULUS).to_bytes(256, "big")) == REFUSED
            return
        assert number < 1_000


# ---- keys under which a signature proves nothing


def jwk_of(**members: object) -> bytes:
    return json.dumps({"keys": [members]}).encode()


def ed25519_jwk(point: bytes) -> bytes:
    return jwk_of(kty="OKP", crv="Ed25519", x=b64(point))


def rsa_jwk(n: int, e: int) -> bytes:
    return jwk_of(
        kty="RSA", n=b64(n.to_bytes(-(-n.bit_length() // 8), "big")), e=b64(e.to_bytes(4, "big").lstrip(b"\0"))
    )


def ec_jwk(x: int, y: int, crv: str = "P-256", size: int = 32) -> bytes:
    return jwk_of(kty="EC", crv=crv, x=b64(x.to_bytes(size, "big")), y=b64(y.to_bytes(size, "big")))


SMALL_ORDER: Final = {
    (y | sign << 255).to_bytes(32, "little")
    for height in small_order_heights()
    for y in (height, height + PRIME)
    if y < 1 << 255
    for sign in (0, 1)
}
POINT: Final = EC.public_key().public_numbers()
P384_POINT: Final = P384.public_key().public_numbers()
P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
WEAK: Final[Mapping[str, bytes]] = {
    **{f"Ed25519, small order {point.hex()}": ed25519_jwk(point) for point in sorted(SMALL_ORDER)},
    "Ed25519 of 31 bytes": ed25519_jwk(PUBLIC[:31]),
    "Ed25519 of 33 bytes": ed25519_jwk(PUBLIC + b"\0"),
    "Ed448": jwk_of(kty="OKP", crv="Ed448", x=b64(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw())),
    "P-256, not on the curve": ec_jwk(POINT.x, POINT.y ^ 1),
    "P-256, zeros": ec_jwk(0, 0),
    "P-256, x + p": ec_jwk(POINT.x + P256_PRIME, POINT.y, size=33),
    "P-256, a zero before": ec_jwk(POINT.x, POINT.y, size=33),
    "P-384": ec_jwk(P384_POINT.x, P384_POINT.y, "P-384", 48),
    "P-384 under the name of P-256": ec_jwk(P384_POINT.x, P384_POINT.y, "P-256", 48),
    "RSA, e of 1": rsa_jwk(MODULUS, 1),
    "RSA, e of 2": rsa_jwk(MODULUS, 2),
    "RSA, e even": rsa_jwk(MODULUS, 65536),
    "RSA, n of 2047 bits": rsa_jwk(MODULUS >> 1 | 1, 65537),
    "RSA, n of 1": rsa_jwk(1, 65537),
}


@pytest.mark.parametrize("content", WEAK.values(), ids=WEAK)
def test_a_key_under_which_a_signature_proves_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(InvalidSetting):
        load_keys(tmp_path / "keys.json")


def test_there_are_five_heights_of_small_order() -> None:
    """And each would let anybody sign, or nearly: the identity and S of 0 fit under the key that is the identity."""
    assert len(small_order_heights()) == 5
    ed25519.Ed25519PublicKey.from_public_bytes(IDENTITY).verify(IDENTITY + bytes(32), b"whatever")


@pytest.mark.parametrize(
    "content",
    [ed25519_jwk(PUBLIC), ec_jwk(POINT.x, POINT.y), rsa_jwk(MODULUS, 65537)],
    ids=["EdDSA", "ES256", "RS256"],
)
def test_the_same_keys_unspoiled_are_taken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    assert len(load_keys(tmp_path / "keys.json").public) == 1


def test_a_forged_cube_root_is_refused_although_e_is_3(tmp_path: Path) -> None:
    """A cube that begins rightly is easily found; only the whole encoding counts."""
    modulus = rsa.generate_private_key(3, 2048).public_key().public_numbers().n
    (tmp_path / "keys.json").write_bytes(rsa_jwk(modulus, 3))
    (key,) = load_keys(tmp_path / "keys.json").public.values()
    begins = b"\0\1" + b"\xff" * 8 + b"\0" + GOOD_INFO
    root = _cube_root(int.from_bytes(begins.ljust(256, b"\xff"), "big"))
    assert (root**3).to_bytes(256, "big").startswith(begins)
    with pytest.raises(InvalidSignature):
        key.key.verify(root.to_bytes(256, "big"), message_of("RS256"), padding.PKCS1v15(), SHA256())


def _cube_root(number: int) -> int:
    """The largest whole number whose cube is at most this."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low
