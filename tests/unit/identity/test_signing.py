"""Detached signatures of files of ours."""

from pathlib import Path

import pytest
from jwt.utils import base64url_encode

from tai_autonomics.errors import Unauthenticated
from tai_autonomics.identity.keys import Keys, first_start_key
from tai_autonomics.identity.signing import sign, verify

TEXT = b'{"receipts": 3}\n'


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return first_start_key(tmp_path)


def signed(keys: Keys, *, purpose: str = "bundle") -> str:
    assert keys.signing is not None
    return sign(TEXT, keys.signing, purpose=purpose)


def test_a_signature_stands_beside_its_bytes_and_names_its_key(keys: Keys) -> None:
    signature = signed(keys)
    assert signature.split(".")[1] == ""
    (kid,) = keys.public
    assert verify(TEXT, signature + "\n", keys.public, purpose="bundle") == kid


def test_a_signature_is_of_these_bytes_alone(keys: Keys) -> None:
    with pytest.raises(Unauthenticated, match="does not verify"):
        verify(TEXT + b" ", signed(keys), keys.public, purpose="bundle")


def test_a_signature_made_for_another_purpose_is_none(keys: Keys) -> None:
    with pytest.raises(Unauthenticated, match="another purpose"):
        verify(TEXT, signed(keys, purpose="JWT"), keys.public, purpose="bundle")


def test_a_key_that_nobody_knows_signs_nothing(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match="no key has this kid"):
        verify(TEXT, signed(keys), first_start_key(tmp_path / "other").public, purpose="bundle")


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256"])
def test_the_key_names_the_algorithm_and_never_the_header(keys: Keys, alg: str) -> None:
    (kid,) = keys.public
    header = base64url_encode(f'{{"alg":"{alg}","kid":"{kid}","typ":"bundle"}}'.encode()).decode()
    for rest in ("", signed(keys).rpartition(".")[2]):
        with pytest.raises(Unauthenticated, match="does not verify"):
            verify(TEXT, f"{header}..{rest}", keys.public, purpose="bundle")


def test_what_is_no_detached_signature_is_refused(keys: Keys) -> None:
    header, _, rest = signed(keys).split(".")
    whole = f"{header}.{base64url_encode(TEXT).decode()}.{rest}"
    for text in (whole, "", "..", "x", f"{header}..", "é..x", f"{header}..{'A' * 5_000}"):
        with pytest.raises(Unauthenticated):
            verify(TEXT, text, keys.public, purpose="bundle")
