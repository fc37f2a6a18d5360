"""Log lines: one an event, whatever strangers put into a text; and what happens to those that cannot be written."""

import io
import sys

import pytest
import structlog

from lacnode.node.logs import configure_logs, escaped


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
    assert escaped(text) == text
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
