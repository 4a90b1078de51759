"""Commitments: what opens them, and that nothing else does."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.ledger.commitment import commit, opens

SALTS = st.binary(min_size=32, max_size=32)


def test_a_commitment_is_a_digest_of_the_version_the_salt_and_the_text() -> None:
    salt = bytes(range(32))
    assert commit(salt, b'{"a": 1}') == sha256(b"tai/commit/v1" + b"\x00" + salt + b'{"a": 1}').hexdigest()
    assert commit(salt, b'{"a": 1}') == "0bcea499dbab88b3e9d723a4a40ccf65d0ffbe7c6a3d7d73602c9a64c70c3eaa"


@given(SALTS, st.binary(max_size=100))
def test_its_own_salt_and_text_open_it(salt: bytes, text: bytes) -> None:
    assert opens(commit(salt, text), salt=salt, text=text)


@given(SALTS, SALTS, st.binary(max_size=10), st.binary(max_size=10))
def test_no_other_salt_or_text_opens_it(salt: bytes, other_salt: bytes, text: bytes, other_text: bytes) -> None:
    same = (salt, text) == (other_salt, other_text)
    assert opens(commit(salt, text), salt=other_salt, text=other_text) is same


@pytest.mark.parametrize("length", [0, 31, 33])
def test_bytes_that_slide_between_salt_and_text_do_not_open_it(length: int) -> None:
    salt, text = bytes(range(32)), b'{"a":1}'
    joined = salt + text
    assert not opens(commit(salt, text), salt=joined[:length], text=joined[length:])
