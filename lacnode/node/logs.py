"""Log lines as operators of Besu know them: time, level, logger, event.

One line an event, on standard output: control characters, which may be a stranger's, are escaped, and the lines of a
traceback are indented, so that no text can look like another event. Private keys and payloads never come here: no
code that logs is given one.
"""

import atexit
import json
import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

import structlog

from lacnode.node.line_writer import LineWriter

LEVELS: Mapping[str, int] = {
    "OFF": 100,
    "FATAL": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG,
    "ALL": logging.DEBUG,
}
"""Besu's names for the levels."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and paragraph separators, marks that turn the direction of text, and halves of characters."""

TRACE_INDENT = "    "

OUTPUT = LineWriter(lambda: sys.stdout)
"""Standard output. A full disk, a reader that is gone and one that does not read cost lines and nothing else."""

ERRORS = LineWriter(lambda: sys.stderr)
"""Standard error, for the last words of a process."""

for _writer in (OUTPUT, ERRORS):
    atexit.register(_writer.flush)

_COLOURS = {"ERROR": "\x1b[31m", "WARN": "\x1b[33m", "INFO": "\x1b[32m"}


JSON_FORMAT = "JSON"
"""The format in which each event is a JSON object. Any other one is text."""


def configure_logs(level: str, colour: bool | None = None, log_format: str = "PLAIN") -> None:
    """Log events that are at least as important as `level`, one of `LEVELS`. A `colour` of None colours terminals
    only. `log_format` is `JSON_FORMAT` or `PLAIN`. Any other text counts as `PLAIN`. KeyError for another `level`."""
    coloured = sys.stdout.isatty() if colour is None else colour
    is_json = log_format == JSON_FORMAT
    THRESHOLDS.reset(LEVELS[level])
    structlog.configure(
        processors=[
            # The threshold comes first: an event that is dropped costs no time stamp and no traceback.
            THRESHOLDS,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if is_json else "%Y-%m-%d %H:%M:%S.%f%z", utc=True),
            structlog.processors.format_exc_info,
            _json_line if is_json else _Line(coloured),
        ],
        wrapper_class=THRESHOLDS.wrapper,
        logger_factory=partial(_Logger, OUTPUT),
        # A cached logger would keep its class, and a changed level would not reach it.
        cache_logger_on_first_use=False,
    )


def change_log_level(level: str, names: Sequence[str] = ()) -> None:
    """Log from now on events that are at least as important as `level`, one of `LEVELS`: of the loggers with `names`,
    or of all that have no level of their own. KeyError for another `level`. Safe from any thread.
    """
    THRESHOLDS.change(LEVELS[level], names)
    structlog.configure(wrapper_class=THRESHOLDS.wrapper)


class _Thresholds:
    """The level from which each logger writes. As a processor, it drops events below."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset(logging.INFO)

    def reset(self, level: int) -> None:
        """Set one level for all loggers."""
        self._level = level
        self._own: dict[str, int] = {}

    def change(self, level: int, names: Sequence[str]) -> None:
        """Set `level` for the loggers with `names`, or for all that have none of their own."""
        with self._lock:
            if not names:
                self._level = level
                return
            own = {**self._own, **dict.fromkeys(names, level)}
            # A caller of RPC chooses the names, so their number is bounded.
            self._own = dict([*own.items()][-MAX_OWN_LEVELS:])

    @property
    def wrapper(self) -> type[Any]:
        """The class of the loggers. Events that no logger writes cost almost nothing. structlog knows no level above
        CRITICAL."""
        return structlog.make_filtering_bound_logger(min(self._level, *self._own.values(), logging.CRITICAL))

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        threshold = self._own.get(getattr(logger, "name", ""), self._level)
        if _NUMBERS.get(method, logging.ERROR) < threshold:
            raise structlog.DropEvent
        return event


_NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}

MAX_OWN_LEVELS = 100
"""Loggers with a level of their own. Beyond that, the first one is forgotten."""

THRESHOLDS = _Thresholds()


class _Logger:
    """A logger: it writes lines, and has a name."""

    def __init__(self, output: LineWriter, name: str = "lacnode") -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = output.write


class _Line:
    def __init__(self, coloured: bool) -> None:
        self._coloured = coloured

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = _level_name(event.pop("level", method))
        time, text, trace = event.pop("timestamp", ""), event.pop("event", ""), event.pop("exception", None)
        details = " ".join(f"{name}={value}" for name, value in event.items())
        shown = f"{_COLOURS.get(level, '')}{level:<5}\x1b[0m" if self._coloured else f"{level:<5}"
        # Text and details are escaped together, after they were joined: no value can end the line.
        whole = escape_control_characters(f"{text}{' | ' if details else ''}{details}")
        line = f"{time} | {shown} | {getattr(logger, 'name', 'lacnode')} | {whole}"
        return line if trace is None else "\n".join((line, *map(_trace_line, str(trace).split("\n"))))


_OWN_MEMBERS = ("timestamp", "level", "logger", "message", "exception")


def _json_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """Return an event as one JSON object in ASCII, so that no text can end the line. Details are members of it."""
    level, time = _level_name(event.pop("level", method)), event.pop("timestamp", "")
    text, trace = event.pop("event", ""), event.pop("exception", None)
    shown = {"timestamp": time, "level": level, "logger": getattr(logger, "name", "lacnode"), "message": str(text)}
    # A detail must not replace a member that readers look for.
    shown |= {f"{name}_" if name in _OWN_MEMBERS else name: value for name, value in event.items()}
    if trace is not None:
        shown["exception"] = str(trace)
    # DEL is the one control character that JSON leaves as it is.
    return json.dumps(shown, default=str, skipkeys=True).replace("\x7f", "\\u007f")


def _level_name(level: object) -> str:
    return str(level).upper().replace("WARNING", "WARN").replace("CRITICAL", "ERROR")


def escape_control_characters(text: str) -> str:
    """Return `text` on one line, with characters on which a terminal or a reader of lines would act written as
    `\\x1b` or `\\u2028`."""
    return _UNSAFE.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _trace_line(line: str) -> str:
    return TRACE_INDENT + escape_control_characters(line)
