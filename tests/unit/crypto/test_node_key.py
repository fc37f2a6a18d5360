"""Key files as Besu keeps them, and what happens to those that are wrong."""

import stat
from pathlib import Path

import pytest

from lacnode.crypto.node_key import KeyFileError, load_node_key, load_or_create_node_key
from lacnode.crypto.secp256k1 import agree, public_key_of, recover_address, sign
from lacnode.primitives.keccak import keccak256

ONE = "0x" + "00" * 31 + "01"


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key"
    key = load_or_create_node_key(path)
    assert load_or_create_node_key(path) == key
    assert path.read_text() == "0x" + key.private_key.hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [ONE, ONE[2:], ONE + "\n"])
def test_a_key_of_besu_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    assert load_node_key(tmp_path / "key").address.hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@pytest.mark.parametrize("text", ["", "0x00", "hello", "0x" + "00" * 32, "0x" + "ff" * 32, "\x00" * 70])
def test_a_wrong_key_file_is_named_never_shown_and_never_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=str(path)) as caught:
        load_or_create_node_key(path)
    assert not text or text not in str(caught.value)
    assert path.read_text() == text


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be loaded"):
        load_or_create_node_key(tmp_path)


def test_a_file_that_cannot_be_looked_for_is_named_and_no_key_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "key"
    # As in a directory of another user. The tests may run as root, who may read every directory.
    monkeypatch.setattr("os.stat", refuse)
    with pytest.raises(KeyFileError, match=f"{path}: Permission denied"):
        load_or_create_node_key(path)
    monkeypatch.undo()
    assert not path.exists()


def test_a_missing_key_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="doesn't exist"):
        load_node_key(tmp_path / "key")


def test_signatures_recover_and_keys_agree(tmp_path: Path) -> None:
    alice, bob = load_or_create_node_key(tmp_path / "a"), load_or_create_node_key(tmp_path / "b")
    digest = keccak256(b"message")
    assert recover_address(digest, sign(digest, alice.private_key)) == alice.address
    assert agree(alice.private_key, bob.public_key) == agree(bob.private_key, alice.public_key)
    assert public_key_of(alice.private_key) == alice.public_key
