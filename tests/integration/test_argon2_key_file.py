"""A key file with the parameters of Argon2 that Tessera uses. It takes too long for the fast tests."""

from pathlib import Path

from tests.vectors.test_privacy import DOCUMENT, SLOW_KEY_FILE, key_in_file


def test_the_password_opens_the_file(tmp_path: Path) -> None:
    (vector,) = [vector for vector in DOCUMENT["key_files"] if vector["kind"] == SLOW_KEY_FILE]
    assert key_in_file(vector, tmp_path) == vector["privateKey"]
