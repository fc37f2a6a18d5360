"""The calls of the operating system below the consensus log."""

import os
from pathlib import Path

import pytest

from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.disk import RealDisk


def test_a_file_is_read_whole_though_the_system_gives_it_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux gives at most 2 GiB in one call."""
    (tmp_path / "file").write_bytes(bytes(range(200)))
    pread = os.pread
    disk = RealDisk()
    descriptor = disk.open(tmp_path / "file")
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, min(length, 64), offset))
    assert disk.read(descriptor) == bytes(range(200))
    disk.truncate(descriptor, 0)
    assert disk.read(descriptor) == b""
    disk.close(descriptor)


def test_a_log_that_is_read_in_parts_is_not_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ConsensusLog(tmp_path / "log")
    for number in range(5):
        log.append(bytes([number]) * 100)
    log.close()
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, min(length, 300), offset))
    log = ConsensusLog(tmp_path / "log")
    assert not log.shortened
    assert [record[0] for record in log.records()] == list(range(5))
    log.close()
