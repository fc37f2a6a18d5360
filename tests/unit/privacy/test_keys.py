"""Boxes between two keys are NaCl's, however many other keys came in between."""

import secrets

import nacl.bindings
import nacl.exceptions
import pytest

from lacnode.privacy.keys import KEY_BYTES, MAX_SHARED_SECRETS, KeyPair

A, B = KeyPair.generate(), KeyPair.generate()
NONCE = bytes(24)


def test_a_box_is_that_of_nacl_and_opens_on_both_sides() -> None:
    box = A.seal_box(b"text", NONCE, B.public)
    assert box == nacl.bindings.crypto_box(b"text", NONCE, B.public, A.private)
    assert A.open_box(box, NONCE, B.public) == B.open_box(box, NONCE, A.public) == b"text"


def test_many_keys_of_strangers_leave_the_boxes_of_others_right() -> None:
    box = A.seal_box(b"text", NONCE, B.public)
    for _ in range(MAX_SHARED_SECRETS + 1):
        with pytest.raises(nacl.exceptions.CryptoError):
            B.open_box(box, NONCE, secrets.token_bytes(KEY_BYTES))
    assert B.open_box(box, NONCE, A.public) == b"text"


@pytest.mark.parametrize("key", [b"", bytes(KEY_BYTES - 1), bytes(KEY_BYTES)])
def test_what_is_no_key_is_refused_each_time(key: bytes) -> None:
    for _ in range(2):
        with pytest.raises((ValueError, RuntimeError)):
            A.seal_box(b"text", NONCE, key)
