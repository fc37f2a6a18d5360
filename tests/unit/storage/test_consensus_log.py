"""The write-ahead log: what a validator relies on when it comes back."""

import os
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lacnode.storage.consensus_log import ConsensusLog, MemoryConsensusLog
from lacnode.storage.disk import RealDisk
from lacnode.storage.log_frames import MARKER_BYTES, UNMARKED
from lacnode.storage.log_header import HEADER_BYTES, NAME, SIZE_PLACES, UNMARKED_VERSION, LogHeader, LogPosition
from lacnode.storage.storage_errors import StorageCorruptError, StorageError, StorageLockedError


@pytest.fixture(params=["file", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ConsensusLog | MemoryConsensusLog]:
    log = ConsensusLog(tmp_path / "log") if request.param == "file" else MemoryConsensusLog()
    yield log
    log.close()


class TestContract:
    def test_gives_back_what_was_appended_in_order(self, log: ConsensusLog | MemoryConsensusLog) -> None:
        for record in (b"one", b"\0", bytes(5_000)):
            log.append(record)
        assert list(log.records()) == [b"one", b"\0", bytes(5_000)]

    def test_rewrites_as_a_whole_and_goes_on(self, log: ConsensusLog | MemoryConsensusLog) -> None:
        for record in (b"one", b"two", b"three"):
            log.append(record)
        log.rewrite(record for record in log.records() if record != b"two")
        log.append(b"four")
        assert list(log.records()) == [b"one", b"three", b"four"]

    def test_can_be_emptied(self, log: ConsensusLog | MemoryConsensusLog) -> None:
        log.append(b"one")
        log.rewrite([])
        assert list(log.records()) == []

    def test_refuses_an_empty_record(self, log: ConsensusLog | MemoryConsensusLog) -> None:
        with pytest.raises(ValueError, match="record"):
            log.append(b"")
        with pytest.raises(ValueError, match="record"):
            log.rewrite([b"kept?", b""])
        assert list(log.records()) == []


def reopened(path: Path) -> list[bytes]:
    log = ConsensusLog(path)
    records = list(log.records())
    log.close()
    return records


RECORDS = (b"first record", b"second", b"third and last")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "consensus.log"
    log = ConsensusLog(path)
    for record in RECORDS:
        log.append(record)
    log.close()
    return path


def write_old(path: Path, records: Sequence[bytes]) -> None:
    """Write a log as the version before did, and closed it."""
    header = LogHeader(b"\x17" * 16, (), bytes(20), UNMARKED_VERSION)
    frames = b"".join(map(UNMARKED.encode, records))
    path.write_bytes(header.encode(HEADER_BYTES + len(frames)) + frames)


class FaultyDisk(RealDisk):
    """The real disk, whose call `fails_at` fails after it has been done."""

    def __init__(self) -> None:
        self.fails_at = ""
        self.open_files: set[int] = set()

    def open(self, path: Path, *, empty: bool = False) -> int:
        descriptor = super().open(path, empty=empty)
        self.open_files.add(descriptor)
        return descriptor

    def flush_directory(self, path: Path) -> None:
        super().flush_directory(path)
        self._fail_at("flush_directory")

    def write_at(self, descriptor: int, offset: int, data: bytes) -> None:
        super().write_at(descriptor, offset, data)
        self._fail_at("write_at")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self.open_files.remove(descriptor)
        self._fail_at("close")

    def _fail_at(self, call: str) -> None:
        if call == self.fails_at:
            raise OSError(5, "Input/output error")


class TestFile:
    def test_survives_reopening(self, path: Path) -> None:
        assert reopened(path) == [b"first record", b"second", b"third and last"]

    def test_drops_a_torn_tail_wherever_it_was_torn(self, path: Path) -> None:
        whole = path.read_bytes()
        start_of_last = len(whole) - LAST_FRAME
        for end in range(start_of_last, len(whole)):
            path.write_bytes(whole[:end])
            assert reopened(path) == [b"first record", b"second"]
            assert path.stat().st_size == start_of_last

    @pytest.mark.parametrize("tail", [bytes(4_096), b"\xff" * 11, b"\0\0\0\x05torn?"])
    def test_drops_what_a_power_cut_may_leave(self, path: Path, tail: bytes) -> None:
        with path.open("ab") as file:
            file.write(tail)
        log = ConsensusLog(path)
        log.append(b"next")
        assert list(log.records())[2:] == [b"third and last", b"next"]
        log.close()

    @pytest.mark.parametrize("is_old", [False, True])
    def test_does_not_forget_quietly(self, path: Path, is_old: bool) -> None:
        if is_old:
            write_old(path, RECORDS)
        whole = path.read_bytes()
        last_frame = len(UNMARKED.encode(RECORDS[-1])) if is_old else LAST_FRAME
        sizes = range(SIZE_PLACES[0], HEADER_BYTES)  # each stands in two places, so that one may be damaged
        for position in set(range(len(whole) - last_frame)) - set(sizes):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(StorageCorruptError, match=r"consensus\.log"):
                ConsensusLog(path)

    def test_is_opened_once(self, path: Path) -> None:
        log = ConsensusLog(path)
        log.rewrite([b"kept"])
        with pytest.raises(StorageLockedError):
            ConsensusLog(path)
        log.close()
        assert reopened(path) == [b"kept"]

    def test_says_when_it_is_closed(self, path: Path) -> None:
        log = ConsensusLog(path)
        log.close()
        log.close()
        with pytest.raises(StorageError, match="closed"):
            log.append(b"late")

    def test_a_full_disk_takes_nothing_half(self, path: Path) -> None:
        code = f"""if True:
            import resource
            from pathlib import Path
            from lacnode.storage.consensus_log import ConsensusLog
            from lacnode.storage.storage_errors import StorageFullError
            log = ConsensusLog(Path({str(path)!r}))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
            for action in (lambda: log.append(bytes(2_000)), lambda: log.rewrite([bytes(2_000)])):
                try:
                    action()
                except StorageFullError as error:
                    print("full")
            log.append(b"small")
        """
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert run.stdout == "full\nfull\n", run.stderr
        assert reopened(path) == [b"first record", b"second", b"third and last", b"small"]

    def test_a_failed_flush_ends_appending(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = ConsensusLog(path)

        def failing(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(StorageError, match="Input/output"):
                log.append(b"lost?")
        with pytest.raises(StorageError, match="flushing failed before"):
            log.append(b"after")
        log.close()

    def test_a_rewrite_that_a_power_cut_may_undo_ends_appending(self, path: Path) -> None:
        """What is appended then would be lost together with the new log, after it was signed."""
        disk = FaultyDisk()
        log = ConsensusLog(path, disk=disk)
        disk.fails_at = "flush_directory"
        with pytest.raises(StorageError, match="Input/output"):
            log.rewrite([b"kept"])
        disk.fails_at = ""
        with pytest.raises(StorageError, match="flushing failed before"):
            log.append(b"after")
        with pytest.raises(StorageError, match="flushing failed before"):
            log.rewrite([b"after"])
        log.close()
        assert reopened(path) == [b"kept"]

    def test_a_rewrite_that_cannot_close_the_old_file_goes_on_with_the_new_one(self, path: Path) -> None:
        disk = FaultyDisk()
        log = ConsensusLog(path, disk=disk)
        disk.fails_at = "close"
        with pytest.raises(StorageError, match="Input/output"):
            log.rewrite([b"kept"])
        disk.fails_at = ""
        log.append(b"after")
        log.close()
        assert reopened(path) == [b"kept", b"after"]

    @pytest.mark.parametrize("call", ["write_at", "close"])
    def test_a_log_that_cannot_be_closed_in_order_is_not_held(self, path: Path, call: str) -> None:
        disk = FaultyDisk()
        log = ConsensusLog(path, disk=disk)
        disk.fails_at = call
        with pytest.raises(OSError, match="Input/output"):
            log.close()
        assert disk.open_files == set()
        with pytest.raises(StorageError, match="closed"):
            log.append(b"late")
        assert reopened(path) == [b"first record", b"second", b"third and last"]

    def test_a_killed_writer_loses_no_acknowledged_record(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        code = f"""if True:
            from pathlib import Path
            from lacnode.storage.consensus_log import ConsensusLog
            log = ConsensusLog(Path({str(path)!r}))
            for number in range(1, 100_000):
                log.append(number.to_bytes(4) * 50)
                print(number, flush=True)
        """
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            wanted = random.Random(7).randrange(5, 60)
            acknowledged = [line for line, _ in zip(process.stdout, range(wanted), strict=False)]
            process.kill()
        records = reopened(path)
        assert len(records) >= len(acknowledged)
        assert records == [number.to_bytes(4) * 50 for number in range(1, len(records) + 1)]


FRAME_BYTES = MARKER_BYTES + 8
LAST_FRAME = FRAME_BYTES + len(b"third and last")


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


class TestIdentity:
    def test_a_log_that_was_cut_after_it_was_closed_says_so(self, path: Path) -> None:
        whole = path.stat().st_size
        for size in (whole - LAST_FRAME, whole - 1, HEADER_BYTES):
            cut(path, size)
            log = ConsensusLog(path)
            assert log.shortened
            log.close()

    def test_a_crash_may_tear_only_the_last_record(self, tmp_path: Path) -> None:
        log = ConsensusLog(tmp_path / "log")
        for record in (b"first record", b"second", b"third and last"):
            log.append(record)
        crashed = (tmp_path / "log").read_bytes()
        log.close()
        for torn in (0, 1, LAST_FRAME - 1):
            (tmp_path / "copy").write_bytes(crashed[: len(crashed) - torn])
            copy = ConsensusLog(tmp_path / "copy")
            assert not copy.shortened
            assert copy.torn_bytes == (LAST_FRAME - torn if torn else 0)
            copy.close()
        (tmp_path / "copy").write_bytes(crashed[: len(crashed) - LAST_FRAME - FRAME_BYTES - len(b"second")])
        copy = ConsensusLog(tmp_path / "copy")
        assert copy.shortened
        copy.close()

    def test_one_damaged_length_is_made_up_for_by_the_other(self, path: Path) -> None:
        whole = path.read_bytes()
        for place in SIZE_PLACES:
            path.write_bytes(whole[:place] + bytes(12) + whole[place + 12 : -LAST_FRAME - FRAME_BYTES - len(b"second")])
            log = ConsensusLog(path)
            assert log.shortened
            log.close()

    def test_an_append_after_a_start_keeps_the_valid_length(self, path: Path) -> None:
        """One crash destroyed a length. The next one, in the first append after it, must not destroy the other."""
        whole = path.read_bytes()
        for place in SIZE_PLACES:
            path.write_bytes(whole[:place] + bytes(12) + whole[place + 12 :])
            log = ConsensusLog(path)
            before = path.read_bytes()
            log.append(b"next")
            after = path.read_bytes()
            log.close()
            [written] = [p for p in SIZE_PLACES if after[p : p + 12] != before[p : p + 12]]
            path.write_bytes(after[:written] + bytes(12) + after[written + 12 : HEADER_BYTES])
            log = ConsensusLog(path)
            assert log.shortened
            log.close()

    def test_it_contains_what_it_was_and_not_what_a_copy_became(self, path: Path, tmp_path: Path) -> None:
        old = path.read_bytes()
        log = ConsensusLog(path)
        positions = [log.position]
        for record in (b"fourth", b"fifth"):
            log.append(record)
            positions.append(LogPosition.decode(log.position.encode()))
        log.rewrite([b"fifth"])
        positions.append(log.position)
        assert all(log.continues_from(position) for position in positions)
        log.close()
        (tmp_path / "old").write_bytes(old)
        copy = ConsensusLog(tmp_path / "old")
        assert [copy.continues_from(position) for position in positions] == [True, False, False, False]
        for record in (b"another fourth", b"another fifth"):
            copy.append(record)
        assert [copy.continues_from(position) for position in positions] == [True, False, False, False]
        copy.close()

    def test_a_log_of_an_older_version_gets_a_header_and_keeps_its_records(self, path: Path) -> None:
        records = reopened(path)
        path.write_bytes(b"".join(map(UNMARKED.encode, records)) + b"torn")
        assert reopened(path) == records
        assert reopened(path) == records

    def test_a_log_of_another_owner_is_set_aside(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        first = ConsensusLog(path, owner=b"\1" * 20)
        first.append(b"said by the first")
        first.close()
        second = ConsensusLog(path, owner=b"\2" * 20, if_missing=[b"lost"])
        assert list(second.records()) == [b"lost"]
        assert second.set_aside is not None
        second.close()
        back = ConsensusLog(second.set_aside, owner=b"\1" * 20)
        assert list(back.records()) == [b"said by the first"]
        back.close()

    def test_a_missing_log_begins_with_what_was_asked_for(self, tmp_path: Path) -> None:
        for _ in range(2):
            log = ConsensusLog(tmp_path / "log", if_missing=[b"lost"])
            assert list(log.records()) == [b"lost"]
            log.close()
        assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


CALLDATA = b"block " + UNMARKED.encode(b"A") + bytes(500)
"""A record with a transaction whose sender made it contain a whole frame of an older version."""

CLAIMS = b"\0\x08" * 5_000
"""A record in which a frame of an older version may begin at every second byte."""


def crash_while_appending(path: Path, record: bytes, copy: Path) -> None:
    """Append `record` to the log at `path`, and write to `copy` what a process leaves that is killed a byte before the
    end."""
    log = ConsensusLog(path)
    log.append(record)
    copy.write_bytes(path.read_bytes()[:-1])
    log.close()


def count_checked_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all data whose checksum is made from now on."""
    lengths: list[int] = []
    crc32 = zlib.crc32

    def counting(data: bytes, start: int = 0) -> int:
        lengths.append(len(data))
        return crc32(data, start)

    monkeypatch.setattr(zlib, "crc32", counting)
    return lengths


class TestCalldataThatLooksLikeFrames:
    @pytest.mark.parametrize("is_old", [False, True])
    def test_a_torn_record_with_a_whole_frame_in_it_is_dropped(self, path: Path, tmp_path: Path, is_old: bool) -> None:
        if is_old:
            write_old(path, RECORDS)
        crash_while_appending(path, CALLDATA, tmp_path / "copy")
        log = ConsensusLog(tmp_path / "copy")
        assert (tuple(log.records()), log.shortened) == (RECORDS, False)
        assert log.torn_bytes > len(CALLDATA)
        log.append(CALLDATA)
        log.close()
        assert reopened(tmp_path / "copy") == [*RECORDS, CALLDATA]

    @pytest.mark.parametrize("is_old", [False, True])
    def test_a_record_that_was_acted_on_is_not_dropped_because_the_next_was_being_written(
        self, path: Path, is_old: bool
    ) -> None:
        """The size that the header knows does not count the last record that was acted on, in a crash."""
        if is_old:
            write_old(path, RECORDS)
        log = ConsensusLog(path)
        log.append(b"acted on, and damaged later")
        known = path.read_bytes()[:HEADER_BYTES]
        log.append(b"being written")
        whole = path.read_bytes()[HEADER_BYTES:]
        log.close()
        damaged = whole.replace(b"damaged later", b"damaged_later")
        path.write_bytes(known + damaged)
        with pytest.raises(StorageCorruptError, match="whole records may follow"):
            ConsensusLog(path)

    def test_a_search_in_a_log_of_an_older_version_has_an_end(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_old(path, [*RECORDS, CLAIMS])
        cut(path, path.stat().st_size - 1)
        log = ConsensusLog(path)
        assert log.shortened
        log.close()
        write_old(path, [*RECORDS, CLAIMS])
        cut(path, path.stat().st_size - 1)
        monkeypatch.setattr("lacnode.storage.log_frames.MAX_SEARCH_BYTES", 100_000)
        checked = count_checked_bytes(monkeypatch)
        with pytest.raises(StorageCorruptError, match="whole records may follow"):
            ConsensusLog(path)
        assert sum(checked) < 150_000

    def test_the_search_in_a_log_of_this_version_checks_no_calldata(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        crash_while_appending(path, CLAIMS, tmp_path / "copy")
        checked = count_checked_bytes(monkeypatch)
        log = ConsensusLog(tmp_path / "copy")
        assert sum(checked) < 1_000
        assert log.torn_bytes == FRAME_BYTES + len(CLAIMS) - 1
        log.close()


class TestVersions:
    def test_a_log_of_the_version_before_goes_on_until_it_is_rewritten(self, path: Path) -> None:
        write_old(path, RECORDS)
        log = ConsensusLog(path)
        positions = [log.position]
        log.append(b"fourth")
        positions.append(log.position)
        log.close()
        assert path.read_bytes().startswith(NAME + UNMARKED_VERSION)
        assert reopened(path) == [*RECORDS, b"fourth"]
        log = ConsensusLog(path)
        log.rewrite([b"fourth"])
        log.append(b"fifth")
        assert all(log.continues_from(position) for position in positions)
        log.close()
        assert not path.read_bytes().startswith(NAME + UNMARKED_VERSION)
        assert reopened(path) == [b"fourth", b"fifth"]

    def test_a_log_of_a_later_version_is_refused(self, path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(NAME + b"\x09" + whole[len(NAME) + 1 :])
        with pytest.raises(StorageCorruptError, match="of a later version"):
            ConsensusLog(path)
        assert path.read_bytes()[HEADER_BYTES:] == whole[HEADER_BYTES:]
