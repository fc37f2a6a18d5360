"""A payload with many boxes that open and do not fit its cipher text. Any stranger can push one."""

import secrets

import nacl.bindings
import pytest

from lacnode.privacy.keys import KEY_BYTES, KeyPair, KeyRing
from lacnode.privacy.manager.encrypted_payload import (
    MAX_BOXES,
    EncryptedPayload,
    encrypt_payload,
    find_own_boxes,
    restore_sender_box,
)

STRANGER, OWN = KeyPair.generate(), KeyPair.generate()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The master keys with which a cipher text was read."""
    tried: list[bytes] = []
    read = nacl.bindings.crypto_secretbox_open_easy

    def record(cipher_text: bytes, nonce: bytes, key: bytes) -> bytes:
        tried.append(key)
        return read(cipher_text, nonce, key)

    monkeypatch.setattr(nacl.bindings, "crypto_secretbox_open_easy", record)
    return tried


def with_false_boxes(sealed: EncryptedPayload, count: int) -> EncryptedPayload:
    boxes = (
        nacl.bindings.crypto_box(secrets.token_bytes(KEY_BYTES), sealed.nonce, OWN.public, STRANGER.private)
        for _ in range(count)
    )
    return EncryptedPayload(
        sealed.sender, sealed.nonce, (*boxes, *sealed.boxes), sealed.cipher_text, sealed.group_id, sealed.cipher_nonce
    )


def test_a_pushed_cipher_text_is_read_once_for_each_own_key(opened: list[bytes]) -> None:
    """15 MB are read in 15 ms: once for each box would be a minute for one push."""
    sealed = encrypt_payload(b"x", STRANGER, [OWN.public], bytes(32))
    false = with_false_boxes(sealed, MAX_BOXES - len(sealed.boxes))
    assert find_own_boxes(false, KeyRing([KeyPair.generate(), OWN])) == {}
    assert len(opened) == 1
    assert find_own_boxes(sealed, KeyRing([KeyPair.generate(), OWN])) == {OWN.public: 0}


def test_a_recovered_cipher_text_is_read_once(opened: list[bytes]) -> None:
    """The boxes come from the recipient that is asked for the payload."""
    sealed = encrypt_payload(b"x", OWN, [STRANGER.public], bytes(32))
    false = with_false_boxes(sealed, MAX_BOXES - len(sealed.boxes))
    assert restore_sender_box(false, STRANGER.public, OWN) is None
    assert len(opened) == 1
    assert restore_sender_box(sealed.with_boxes_at([0]), STRANGER.public, OWN) is not None
