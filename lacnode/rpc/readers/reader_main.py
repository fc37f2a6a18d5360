"""The program of a reader process: `python -m lacnode.rpc.readers.reader_main`.

A node starts it and talks to it by its standard input and output (`reader_messages`). It ends when the pipe closes, so
it ends with the node even if the node is killed. A thread watches the pipe, so that this holds while a call runs too.
Must not write to the database.
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

from lacnode.chain.read_only_chain import ReadOnlyChain
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.malloc_settings import configure_malloc
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.rpc.errors import RpcError, internal_error, range_too_large
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.readers.reader_messages import (
    MAX_DAMAGED_VALUES,
    ReaderAnswer,
    ReaderOutcome,
    ReaderSetup,
    ReaderTask,
    frame_message,
    read_message,
)
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.storage.read_only import ReadOnlyDatabase
from lacnode.storage.storage_errors import DamagedValueError

log = RateLimitedLog("reader", time.monotonic)

NICENESS = 19
"""The lowest priority. A reader gets the processor time that consensus and all other programs leave."""

MAX_RESULT_BYTES = 24 * 2**20
"""Bytes of the JSON text of one result."""

MEMORY_BYTES = 768 * 2**20
"""Bytes that a reader may allocate. The mapped file of the database does not count."""

RECYCLE_BYTES = 256 * 2**20
"""A reader that has held more memory ends after its answer, unless that is BEHIND. The node starts a new one for the
next call."""


WATCH_MILLISECONDS = 500
"""Interval at which the parent's process id is checked. Another child of the node could hold the pipe open after the node's
end."""


class ReaderWorker:
    """Answers each task of one reader process from a new snapshot of the database of `setup`. StorageError if the
    database cannot be opened."""

    def __init__(self, setup: ReaderSetup) -> None:
        self._settings = setup.settings
        self._database = ReadOnlyDatabase(setup.directory)
        self._damaged: list[tuple[str, bytes]] = []
        self._database.on_damage(self._note_damage)
        self._differences = EngineDifferences()
        self._chain = ReadOnlyChain(setup.spec, self._database, setup.evm, self._differences)
        self._recent = RecentBlocks(self._chain)

    def answer(self, task: ReaderTask) -> ReaderAnswer:
        """Return the result or the error of a task, with the damaged values of the database that it tried to read.
        Never raises. The outcome is BEHIND if the database does not show the head yet, or lacks a state that the call
        reads: it is not written yet, or is not kept."""
        answer = self._answered(task)
        damaged, self._damaged = tuple(self._damaged), []
        # The metric is the node's. This process only logs a difference.
        differing, panics = self._differences.pop_counts()
        return replace(answer, damaged=damaged, call_differences=differing, library_panics=panics)

    def _note_damage(self, error: DamagedValueError) -> None:
        if len(self._damaged) < MAX_DAMAGED_VALUES:
            self._damaged.append((error.table, error.key))

    def _answered(self, task: ReaderTask) -> ReaderAnswer:
        deadline = time.monotonic() + task.seconds
        try:
            # A new snapshot for each task. Without it the reader would see the database as it was at the last task.
            self._database.refresh()
            if not self._chain.move_to(task.head_hash):
                return ReaderAnswer(ReaderOutcome.BEHIND)
            result = orjson.dumps(task.call.answer(ReadContext(self._chain, self._settings, deadline, self._recent)))
        except MissingNodeError:
            # The call reads a private state of blocks that the node still has in memory only. The node writes them and
            # asks again.
            return ReaderAnswer(ReaderOutcome.BEHIND)
        except Exception as error:
            return _failed(error)
        # A panic of a library in Rust may be none of `Exception`. The client gets an answer, and the process, whose state
        # is unknown then, ends.
        except BaseException as error:
            return replace(_failed(error), is_last=True)
        finally:
            # An open snapshot keeps the node from reusing pages, so that the file would grow while this process waits.
            self._database.close_snapshot()
        if len(result) > MAX_RESULT_BYTES:
            return _failed(range_too_large(f"the result is larger than {MAX_RESULT_BYTES} bytes"))
        return ReaderAnswer(ReaderOutcome.RESULT, result)


_STATUS = Path("/proc/self/status")


def _failed(error: BaseException) -> ReaderAnswer:
    # Only the three parts of the error go to the node: an exception object might not be picklable, or hold much memory.
    if not isinstance(error, RpcError):
        # A caller may make its calls fail again and again, and a traceback has thousands of bytes.
        log.error(type(error).__name__, "a call failed in a reader process", exc_info=error)
        error = internal_error()
    return ReaderAnswer(ReaderOutcome.ERROR, error=(error.code, error.message, error.data))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Read the setup, then answer tasks until the node closes the pipe, a library panics, or this process has held more
    than `RECYCLE_BYTES` of memory. It does not end for its memory after an answer BEHIND: the node asks the same
    process again. Return at once if the first message is no setup. It limits the memory of this process. StorageError
    if the database of the setup cannot be opened."""
    setup = read_message(requests.read)
    if not isinstance(setup, ReaderSetup):
        return
    # A call that needs more memory fails here, in the reader. The node and consensus keep theirs.
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    reader = ReaderWorker(setup)
    while isinstance(task := read_message(requests.read), ReaderTask):
        answer = reader.answer(task)
        # The node asks the same reader again after BEHIND, so it must not end then.
        has_held_much = answer.outcome is not ReaderOutcome.BEHIND and _peak_bytes() > RECYCLE_BYTES
        is_last = answer.is_last or has_held_much
        answers.write(frame_message(replace(answer, is_last=is_last)))
        answers.flush()
        if is_last:
            return


def _peak_bytes() -> int:
    """Return the most bytes of memory that this process has held.

    Linux gives the number for the present program alone. `ru_maxrss` includes the memory of the node when it started this
    process. With it, a large node would start a new reader for every call.
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
    """End this process as soon as the node has closed its end of the pipe or has ended."""
    node = os.getppid()
    pipe = select.poll()
    # No event is asked for. `poll` reports a hang-up in any case, and input is for the main thread.
    pipe.register(descriptor, 0)
    while os.getppid() == node:
        if any(events & (select.POLLHUP | select.POLLERR) for _, events in pipe.poll(WATCH_MILLISECONDS)):
            break
    # The process ends at once. An orderly exit would wait for the call of the main thread.
    os._exit(0)


def main() -> None:
    """Run a reader process at the lowest priority: answer the tasks of the node on standard input, until the node ends."""
    os.nice(NICENESS)
    # Before any thread: glibc gives each new thread an arena by the settings of that moment.
    configure_malloc()
    # Ctrl-C goes to all processes of the terminal. The node ends its readers itself, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_node, args=(sys.stdin.fileno(),), daemon=True).start()
    # Answers get a descriptor of their own, and standard output becomes standard error. Otherwise a library that prints
    # could write into an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
