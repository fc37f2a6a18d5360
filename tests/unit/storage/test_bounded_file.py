"""A file is read whole up to its bound, and refused beyond it without being read."""

from pathlib import Path

import pytest

from lacnode.storage.bounded_file import read_bounded


def test_a_file_at_the_bound_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcd")
    assert read_bounded(tmp_path / "file", 4) == b"abcd"


def test_a_longer_file_is_refused_with_the_bound() -> None:
    with pytest.raises(OSError, match="at most 4 bytes were expected"):
        read_bounded(Path("/dev/zero"), 4)
