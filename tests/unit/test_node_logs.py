"""Log lines: one an event, whatever strangers put into a text."""

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
