"""A reader process: `python -m lacnode.rpc.readers.reader_main`, started by a node and spoken to through its standard input
and output (`messages`).

It ends when the node closes the pipe, however the node ends, and it never outlives it while a call runs: a thread watches
the pipe. Must not write to the database.
"""

import os
import resource
import select
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import orjson
import structlog

from lacnode.chain.read_only_chain import ReadOnlyChain
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.rpc.errors import RpcError, internal_error, range_too_large
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.readers.reader_messages import (
    MAX_DAMAGED_VALUES,
    ReaderAnswer,
    ReaderOutcome,
    ReaderSetup,
    ReaderTask,
    framed,
    read_message,
)
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.storage.read_only import ReadOnlyDatabase
from lacnode.storage.storage_errors import DamagedValueError

log = structlog.get_logger("reader")

NICENESS = 19
"""The lowest priority: a reader gets the processor time that consensus and everything else leave."""

MAX_RESULT_BYTES = 24 * 2**20
"""JSON text of one result."""

MEMORY_BYTES = 768 * 2**20
"""What a reader may allocate. The database's file, which it maps, does not count."""

RECYCLE_BYTES = 256 * 2**20
"""A reader that has held so much memory ends after its call, and a new one is started for the next call."""


WATCH_MILLISECONDS = 500
"""How often the node's process id is looked at: another child of the node could hold the pipe open."""


class ReaderWorker:
    """Answers tasks with the chain of `setup`."""

    def __init__(self, setup: ReaderSetup) -> None:
        self._settings = setup.settings
        self._database = ReadOnlyDatabase(setup.directory)
        self._damaged: list[tuple[str, bytes]] = []
        self._database.on_damage(self._note_damage)
        self._chain = ReadOnlyChain(setup.spec, self._database, setup.evm)
        self._recent = RecentBlocks(self._chain)

    def answer(self, task: ReaderTask) -> ReaderAnswer:
        """The result or the error of a task, with the damaged values that were met; never raises."""
        answer = self._answered(task)
        damaged, self._damaged = tuple(self._damaged), []
        return replace(answer, damaged=damaged)

    def _note_damage(self, error: DamagedValueError) -> None:
        if len(self._damaged) < MAX_DAMAGED_VALUES:
            self._damaged.append((error.table, error.key))

    def _answered(self, task: ReaderTask) -> ReaderAnswer:
        deadline = time.monotonic() + task.seconds
        try:
            self._database.refresh()
            if not self._chain.move_to(task.head_hash):
                return ReaderAnswer(ReaderOutcome.BEHIND)
            result = orjson.dumps(task.call.answer(ReadContext(self._chain, self._settings, deadline, self._recent)))
        except MissingNodeError:  # a private state of blocks that the node still keeps in memory
            return ReaderAnswer(ReaderOutcome.BEHIND)
        except Exception as error:
            return _failed(error)
        finally:
            self._database.release()
        if len(result) > MAX_RESULT_BYTES:
            return _failed(range_too_large(f"the result is larger than {MAX_RESULT_BYTES} bytes"))
        return ReaderAnswer(ReaderOutcome.RESULT, result)


_STATUS = Path("/proc/self/status")


def _failed(error: Exception) -> ReaderAnswer:
    if not isinstance(error, RpcError):
        log.error("a call failed in a reader process", exc_info=error)
        error = internal_error()
    return ReaderAnswer(ReaderOutcome.ERROR, error=(error.code, error.message, error.data))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer tasks until the node closes the pipe, or until this process holds too much memory."""
    setup = read_message(requests.read)
    if not isinstance(setup, ReaderSetup):
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    reader = ReaderWorker(setup)
    while isinstance(task := read_message(requests.read), ReaderTask):
        answer = reader.answer(task)
        is_last = answer.outcome is not ReaderOutcome.BEHIND and _peak_bytes() > RECYCLE_BYTES
        answers.write(framed(replace(answer, is_last=is_last)))
        answers.flush()
        if is_last:
            return


def _peak_bytes() -> int:
    """The most memory that this process has held.

    Where the system tells it for the present program, this counts: `ru_maxrss` includes what the node held when it started
    this process, and a large node would have a new reader for every call.
    """
    try:
        for line in _STATUS.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _end_with_node(descriptor: int) -> None:
    """End this process as soon as the node has closed its end of the pipe or has ended, whatever runs here."""
    node = os.getppid()
    pipe = select.poll()
    pipe.register(descriptor, 0)  # no event is asked for: a hang-up is always told
    while os.getppid() == node:
        if any(events & (select.POLLHUP | select.POLLERR) for _, events in pipe.poll(WATCH_MILLISECONDS)):
            break
    os._exit(0)


def main() -> None:
    """Be a reader process."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the node ends its readers
    threading.Thread(target=_end_with_node, args=(sys.stdin.fileno(),), daemon=True).start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed must not get among the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
