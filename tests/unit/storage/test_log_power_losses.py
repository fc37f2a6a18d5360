"""The consensus log on a disk whose power goes again and again, with records that look like the log itself."""

import random
from pathlib import Path

import pytest

from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.log_frames import UNMARKED
from lacnode.storage.log_header import HEADER_BYTES, UNMARKED_VERSION, LogHeader
from tests.simulation.disk import VirtualDisk

LOG = Path("/data/consensus.log")


class PowerLostError(Exception):
    """The power goes before a call of the disk."""


def lose_power_after(disk: VirtualDisk, calls: int) -> None:
    """The power of `disk` goes after so many changes."""
    left = calls

    def touched(call: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerLostError

    disk.touched = touched


def make_log(disk: VirtualDisk, version: bytes) -> None:
    """An empty log of this version, on the disk."""
    content = LogHeader(b"\x17" * 16, (), bytes(20), version).encode(HEADER_BYTES)
    disk.write(disk.open(LOG), memoryview(content))
    disk.flush(0)
    disk.flush_directory(LOG.parent)


def like_a_log(rng: random.Random) -> bytes:
    """A record whose sender has put whole frames of an older version into it."""
    return rng.randbytes(rng.randint(1, 40)) + UNMARKED.encode(rng.randbytes(5)) * 2 + rng.randbytes(rng.randint(0, 60))


@pytest.mark.parametrize("version", [UNMARKED_VERSION, LogHeader.new(bytes(20)).version])
def test_what_was_appended_is_there_and_the_log_opens(version: bytes) -> None:
    for seed in range(300):
        rng = random.Random(seed)
        disk = VirtualDisk()
        make_log(disk, version)
        appended: list[bytes] = []
        for _ in range(4):
            lose_power_after(disk, rng.randint(0, 24))
            record = b""
            try:
                log = ConsensusLog(LOG, disk=disk)
                while True:
                    record = like_a_log(rng)
                    log.append(record)
                    appended.append(record)
            except PowerLostError:
                disk = disk.after_power_loss(rng)
            log = ConsensusLog(LOG, disk=disk)
            found = list(log.records())
            # The record that was being written may be there or not.
            assert found in (appended, [*appended, record]), f"seed {seed}"
            assert not log.shortened, f"seed {seed}"
            log.close()
            appended = found
