"""Log lines: one an event, whatever strangers put into a text; and what happens to those that cannot be written."""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest
import structlog

from lacnode.node.line_writer import MAX_WAITING_BYTES, LineWriter
from lacnode.node.logs import MAX_OWN_LEVELS, change_log_level, configure_logs, escape_control_characters


@pytest.fixture(autouse=True)
def as_a_node_logs() -> None:
    configure_logs("DEBUG", colour=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


FORGED = "http://a\n2026-01-01 00:00:00.000000+0000 | ERROR | lacnode | the chain is lost"


def test_a_line_break_in_a_text_makes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("privacy").warning(f"{FORGED} says what is none")
    (line,) = lines(capsys)
    assert "http://a\\x0a2026-01-01" in line


def test_nor_does_one_in_a_detail(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("privacy").info("a peer", url=FORGED, other="x\x1b[2J\r\x85\u2028\u202e\ud800")
    (line,) = lines(capsys)
    assert line.endswith("other=x\\x1b[2J\\x0d\\x85\\u2028\\u202e\\ud800")


def test_nor_does_one_in_an_exception(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger("privacy").exception("it failed")
    first, *trace = lines(capsys)
    assert first.endswith("| it failed")
    assert trace
    assert all(line.startswith("    ") for line in trace)


def test_ordinary_text_stays(capsys: pytest.CaptureFixture[str]) -> None:
    text = "el nodo é válido: 100 % ✓ 漢字"
    assert escape_control_characters(text) == text
    structlog.get_logger("privacy").info(text)
    assert text in capsys.readouterr().out
    assert sys.stdout.encoding


class Disk(io.StringIO):
    """A file on a disk that may be full."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def disk_of_the_log(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(sys, "stdout", made)
    return made


def test_lines_are_lost_on_a_full_disk_and_counted_when_it_has_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = disk_of_the_log(monkeypatch)
    log = structlog.get_logger("chain")
    log.info("first")
    disk.is_full = True
    for text in ("second", "third"):
        log.warning(text)
    disk.is_full = False
    log.error("fourth")
    log.info("fifth")
    assert [line.rpartition("| ")[2] for line in disk.getvalue().splitlines()] == [
        "first",
        "2 lines of this log could not be written",
        "fourth",
        "fifth",
    ]


def test_a_reader_that_is_gone_does_not_end_the_one_that_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_of_the_log(monkeypatch).close()
    try:
        raise KeyError("a mistake")
    except KeyError:
        structlog.get_logger("chain").exception("a method failed")


class TestAPipe:
    """`LineWriter` on a pipe that takes nothing until it is read."""

    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, TextIO]]:
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write_end, b"\0" * 4_096)
        os.set_blocking(write_end, True)
        with os.fdopen(write_end, "w", encoding="utf-8") as stream:
            yield read_end, stream
        os.close(read_end)

    def text(self, read_end: int, end: str) -> str:
        """What comes until `end`."""
        read = b""
        while end.encode() not in read:
            read += os.read(read_end, 65_536)
        return read.replace(b"\0", b"").decode()

    def test_lines_keep_their_order_and_none_is_lost(self, pipe: tuple[int, TextIO]) -> None:
        read_end, stream = pipe
        writer = LineWriter(lambda: stream)
        written = [f"line {number}" + "." * (number * 100) for number in range(100)]
        for line in written:
            writer.write(line)
        assert self.text(read_end, f"{written[-1]}\n").splitlines() == written
        writer.flush()
        writer.write("at once")
        assert self.text(read_end, "\n") == "at once\n"

    def test_what_is_too_much_is_lost_and_counted(self, pipe: tuple[int, TextIO]) -> None:
        read_end, stream = pipe
        writer = LineWriter(lambda: stream)
        sent = 30
        for number in range(sent):
            writer.write(f"{number:02} " + "." * (MAX_WAITING_BYTES // 20))
        lines = self.text(read_end, "could not be written\n").splitlines()
        kept = [int(line.split()[0]) for line in lines[:-1]]
        assert kept == list(range(len(kept)))
        assert 0 < len(kept) < sent
        assert lines[-1] == f"{sent - len(kept)} lines of this log could not be written"

    def test_the_end_does_not_wait_for_it_for_ever(
        self, pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.node.line_writer.STUCK_SECONDS", 0.05)
        read_end, stream = pipe
        writer = LineWriter(lambda: stream)
        writer.write("a line")
        writer.flush()
        assert self.text(read_end, "\n") == "a line\n"


class TestLevel:
    """Levels are changed while loggers are in use, as modules keep theirs."""

    KEPT = structlog.get_logger("p2p")

    def said(self, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
        """Logger and text of what the loggers `p2p` and `rpc` say when both say something on three levels."""
        for logger in (self.KEPT, structlog.get_logger("rpc")):
            logger.debug("debug")
            logger.info("info")
            logger.error("error")
        parts = (line.split(" | ") for line in lines(capsys) if " | " in line)  # earlier tests have lost lines
        return [(part[2], part[3]) for part in parts]

    def test_is_changed_for_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        change_log_level("ERROR")
        assert self.said(capsys) == [("p2p", "error"), ("rpc", "error")]
        change_log_level("OFF")
        assert self.said(capsys) == []
        change_log_level("DEBUG")
        assert len(self.said(capsys)) == 6

    def test_is_changed_for_some(self, capsys: pytest.CaptureFixture[str]) -> None:
        change_log_level("INFO")
        change_log_level("DEBUG", ["p2p"])
        assert self.said(capsys) == [
            ("p2p", "debug"), ("p2p", "info"), ("p2p", "error"), ("rpc", "info"), ("rpc", "error"),
        ]  # fmt: skip
        change_log_level("ERROR")
        assert [logger for logger, _ in self.said(capsys)] == ["p2p", "p2p", "p2p", "rpc"]
        change_log_level("OFF", ["p2p", "rpc"])
        assert self.said(capsys) == []

    def test_names_do_not_grow_without_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        change_log_level("OFF")
        change_log_level("ERROR", ["p2p"])
        change_log_level("ERROR", [str(number) for number in range(MAX_OWN_LEVELS)])
        assert self.said(capsys) == [], "the name that was given first is forgotten"


def test_an_event_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("DEBUG", log_format="JSON")
    structlog.get_logger("p2p").warning(FORGED, peer=b"x", number=3, message="a", text="\x1b[2J\u2028\x7f\ud800")
    (line,) = lines(capsys)
    assert line.isascii()
    assert line.isprintable()
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("timestamp"))
    details = {"peer": "b'x'", "number": 3, "message_": "a", "text": "\x1b[2J\u2028\x7f\ud800"}
    assert event == {"level": "WARN", "logger": "p2p", "message": FORGED, **details}


def test_an_exception_is_a_member_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("DEBUG", log_format="JSON")
    try:
        raise ValueError(FORGED)
    except ValueError:
        structlog.get_logger("rpc").exception("it failed")
    (line,) = lines(capsys)
    event = json.loads(line)
    assert (event["level"], event["message"]) == ("ERROR", "it failed")
    assert event["exception"].endswith(f"ValueError: {FORGED}")
