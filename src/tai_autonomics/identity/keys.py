"""
The keys that verify tokens: read from a JWKS or PEM file, or made by ourselves on the first start.

Every key has one algorithm, which belongs to the key and never to a token: Ed25519 EdDSA, P-256 ES256, RSA RS256.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.errors import InvalidSetting

KEY_FILE: Final = "signing-key.pem"
TOKEN_FILE: Final = "admin.token"  # noqa: S105 (a file's name)
KEYS_MAX: Final = 100
KEY_FILE_BYTES_MAX: Final = 1024 * 1024
RSA_BITS_MIN: Final = 2048
_ED25519_PRIME: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        *(0, 1, _ED25519_PRIME - 1),
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
"""The y of the Ed25519 points whose order divides 8: under such a key anybody can sign."""

_MEMBERS: Final = {"OKP": ("kty", "crv", "x"), "EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e")}
_ALGORITHMS: Final = {"OKP": "EdDSA", "EC": "ES256", "RSA": "RS256"}
_PRIVATE: Final = (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class Keys(Struct, frozen=True):
    """`public` verifies, by kid; `signing`, where a private key was given, mints. Neither is ever printed."""

    public: Mapping[str, PyJWK]
    signing: PyJWK | None = None
    digest: bytes = b""
    """SHA-256 of the file that they are from."""

    async def find(self, kid: str | None) -> PyJWK | None:
        """The key of this kid, or without a kid the only one; None where there is none."""
        return key_of(kid, self.public)

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.public)})"


class KeysInForce:
    """Keys that may be replaced while tokens are verified by them."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def find(self, kid: str | None) -> PyJWK | None:
        """As Keys.find."""
        return await self._keys.find(kid)

    def replace(self, keys: Keys) -> bool:
        """Whether they are others, from the next token on."""
        are_others = keys.digest != self._keys.digest
        self._keys = keys
        return are_others


def key_of(kid: str | None, keys: Mapping[str, PyJWK]) -> PyJWK | None:
    """Of these keys, as `Keys.find`."""
    if kid is not None:
        return keys.get(kid)
    return next(iter(keys.values())) if len(keys) == 1 else None


class _Refused(Exception):
    """Why a key cannot be used; never holds a part of the key."""


def load_keys(file: Path, *, setting: str = "JWT_KEYS") -> Keys:
    """
    The keys of a JWKS file (RFC 7517, public keys) or of a PEM file (public keys, at most one private key).

    A key without `kid` is named by its thumbprint (RFC 7638). Keys for encryption are passed over. Raises
    InvalidSetting, naming the setting, the file and the key, for anything else that could not verify a token safely.
    The file may be readable by others: mounted secrets usually are.
    """
    try:
        content = _read(file)
        found = _from_jwks(content) if content.lstrip()[:1] == b"{" else _from_pem(content)
    except _Refused as refused:
        raise InvalidSetting(f"{setting}: {file} {refused}") from None
    return replace(found, digest=hashlib.sha256(content).digest())


def provider_keys(content: bytes) -> tuple[dict[str, PyJWK], tuple[str, ...]]:
    """
    The keys of an identity provider's JWKS, by kid, and why each other one is not used.

    A provider may hold keys of kinds that are not used here; a key that cannot be named or used safely is left out
    instead of refusing the set. Raises InvalidSetting where it is no JWKS, or no key of it can be used.
    """
    keys: dict[str, PyJWK] = {}
    unusable: list[str] = []
    try:
        entries = _entries_of(content)
    except _Refused as refused:
        raise InvalidSetting(f"the set {refused}") from None
    if len(entries) > KEYS_MAX:
        unusable.append(f"only the first {KEYS_MAX} of {len(entries)} keys are used")
    for place, entry in entries[:KEYS_MAX]:
        try:
            key = _public_of_jwk(entry)
        except _Refused as refused:
            unusable.append(f"keys[{place}] {refused}")
            continue
        if keys.setdefault(str(key.key_id), key) is not key:
            unusable.append(f"keys[{place}] has the kid of another key")
    if not keys:
        raise InvalidSetting("the set holds no key that can be used")
    return keys, tuple(unusable)


def first_start_key(directory: Path) -> Keys:
    """
    Our own Ed25519 key in `directory`, made if there is none: mode 0600, complete, and on disk when this returns.

    Of several processes that start at once, one makes the key and all of them read it. Raises InvalidSetting when the
    directory does not allow it, or when the file is open to everybody: a key that others could read must be replaced.
    Its group may read it, because volumes are often mounted that way.
    """
    file = directory / KEY_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _write_secret(file, _new_private_pem(), place=_link_unless_there)
        mode = file.stat().st_mode
    except OSError as error:
        raise InvalidSetting(f"TAI_DATA_DIR: {file} cannot be made: {error.strerror}") from error
    if mode & 0o007:
        raise InvalidSetting(
            f"TAI_DATA_DIR: {file} is open to everybody (mode {mode & 0o777:o}): remove it, or chmod 600"
        )
    keys = load_keys(file, setting="TAI_DATA_DIR")
    if keys.signing is None:
        raise InvalidSetting(f"TAI_DATA_DIR: {file} holds no private key")
    return keys


def write_admin_token(directory: Path, token: str) -> Path:
    """Puts the token in `directory`, mode 0600, in place of an older one, on disk when this returns; its path."""
    file = directory / TOKEN_FILE
    try:
        _write_secret(file, f"{token}\n".encode(), place=os.replace)
    except OSError as error:
        raise InvalidSetting(f"TAI_DATA_DIR: {file} cannot be written: {error.strerror}") from error
    return file


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _Refused(f"cannot be read: {error.strerror}") from None
    if len(content) > KEY_FILE_BYTES_MAX:
        raise _Refused(f"is larger than {KEY_FILE_BYTES_MAX} bytes")
    return content


def _from_jwks(content: bytes) -> Keys:
    keys = []
    for place, entry in _entries_of(content):
        try:
            keys.append(_public_of_jwk(entry))
        except _Refused as refused:
            raise _Refused(f"keys[{place}] {refused}") from None
    return Keys(_by_kid(keys))


def _entries_of(content: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Those for signatures, each with its place."""
    match _parse_json(content):
        case {"keys": list(entries)} if entries and all(isinstance(entry, dict) for entry in entries):
            return [(place, entry) for place, entry in enumerate(entries) if _is_for_signatures(entry)]
        case _:
            raise _Refused('is no JWKS, which is {"keys": [{…}, …]} with a key at least')


def _parse_json(content: bytes) -> object:
    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise _Refused("is JSON with a member that is there twice")
        return dict(pairs)

    try:
        return json.loads(content, object_pairs_hook=members)
    except (ValueError, RecursionError):
        raise _Refused("is neither JSON nor PEM") from None


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    """RFC 7517 sections 4.2 and 4.3: an identity provider's set often holds keys for encryption too."""
    match entry:
        case {"use": str(use)} if use != "sig":
            return False
        case {"key_ops": list(operations)} if "verify" not in operations:
            return False
        case _:
            return True


def _public_of_jwk(entry: Mapping[str, Any]) -> PyJWK:
    if entry.get("kty") == "oct" or "k" in entry:
        raise _Refused("is a shared secret; only public keys verify tokens here")
    if "d" in entry:
        raise _Refused("is a private key; a JWKS here holds public keys, a private key belongs in a PEM file")
    try:
        key = PyJWK({member: entry[member] for member in _MEMBERS[entry["kty"]]}, _ALGORITHMS[entry["kty"]]).key
    except (KeyError, TypeError, ValueError, PyJWTError, UnsupportedAlgorithm):
        raise _Refused("is no key of Ed25519, P-256 or RSA with all its members") from None
    named = _named(key, entry.get("kid"))
    if entry.get("alg", named.algorithm_name) != named.algorithm_name:
        raise _Refused(f"has an alg that is not used here; allowed for such a key: {named.algorithm_name}")
    return named


def _from_pem(content: bytes) -> Keys:
    keys: list[object] = []
    for place, block in enumerate(_PEM_BLOCK.finditer(content), start=1):
        try:
            keys += _keys_of_block(block[1].decode(), block[0])
        except _Refused as refused:
            raise _Refused(f"block {place} {refused}") from None
    private = [key for key in keys if isinstance(key, _PRIVATE)]
    if not keys:
        raise _Refused("is neither a JWKS nor a PEM file with a key")
    if len(private) > 1:
        raise _Refused("holds two private keys, and nothing says which one signs")
    public = [key.public_key() if isinstance(key, _PRIVATE) else key for key in keys]
    return Keys(_by_kid(_named(key) for key in public), _named(private[0]) if private else None)


def _keys_of_block(label: str, block: bytes) -> tuple[object, ...]:
    try:
        match label:
            case "PUBLIC KEY" | "RSA PUBLIC KEY":
                return (load_pem_public_key(block),)
            case "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY":
                return (load_pem_private_key(block, password=None),)
            case "EC PARAMETERS":
                return ()
            case _:
                pass
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _Refused("cannot be understood, or is encrypted") from None
    raise _Refused(f"is a {label.lower()}; allowed: public key, unencrypted private key")


def _by_kid(keys: Iterable[PyJWK]) -> dict[str, PyJWK]:
    named: dict[str, PyJWK] = {}
    seen: set[str] = set()
    for key in keys:
        kid, thumbprint = str(key.key_id), _thumbprint(_described(key.key)[0])
        if thumbprint in seen:
            raise _Refused(f"holds the key {kid!r} twice")
        if kid in named:
            raise _Refused(f"holds two keys with the kid {kid!r}")
        named[kid] = key
        seen.add(thumbprint)
    if not 1 <= len(named) <= KEYS_MAX:
        raise _Refused(f"holds {len(named)} keys for signatures; allowed: 1 to {KEYS_MAX}")
    return named


def _named(key: object, kid: object = None) -> PyJWK:
    """The key with its one algorithm, under the kid that it was given or under its thumbprint."""
    jwk, algorithm = _described(key)
    match kid:
        case None:
            name = _thumbprint(jwk)
        case str() if re.fullmatch(r"[\x20-\x7e]{1,255}", kid):
            name = kid
        case _:
            raise _Refused("has a kid that is not 1 to 255 printable ASCII characters")
    return PyJWK({**jwk, "kid": name}, algorithm)


def _described(key: object) -> tuple[dict[str, Any], str]:
    match key:
        case ed25519.Ed25519PublicKey() if _is_of_small_order(key):
            raise _Refused("is a point of small order, under which anybody can sign")
        case ed25519.Ed25519PublicKey() | ed25519.Ed25519PrivateKey():
            return OKPAlgorithm.to_jwk(key, as_dict=True), "EdDSA"
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) | ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return ECAlgorithm.to_jwk(key, as_dict=True), "ES256"
        case rsa.RSAPublicKey(key_size=bits) | rsa.RSAPrivateKey(key_size=bits):
            if bits < RSA_BITS_MIN:
                raise _Refused(f"is an RSA key of {bits} bits; allowed: at least {RSA_BITS_MIN}")
            return RSAAlgorithm.to_jwk(key, as_dict=True), "RS256"
        case _:
            raise _Refused("is of another type or curve; allowed: Ed25519, P-256, RSA")


def _is_of_small_order(key: ed25519.Ed25519PublicKey) -> bool:
    """Whatever its sign, and also where its y is not canonical."""
    y = int.from_bytes(key.public_bytes_raw(), "little") & ~(1 << 255)
    return y % _ED25519_PRIME in _SMALL_ORDER


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638: SHA-256 over the required members, in the order of their names, without a blank."""
    required = {member: jwk[member] for member in sorted(_MEMBERS[jwk["kty"]])}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _new_private_pem() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_secret(file: Path, content: bytes, *, place: Callable[[Path, Path], None]) -> None:
    """Writes beside `file`, readable by us alone, and lets `place` put it there: nobody ever sees half of it."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
        place(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    _sync_directory(file.parent)


def _link_unless_there(beside: Path, file: Path) -> None:
    """A rename would replace the key of a process that was first."""
    with contextlib.suppress(FileExistsError):
        os.link(beside, file)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
