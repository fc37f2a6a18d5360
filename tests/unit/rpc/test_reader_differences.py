"""Differences between the engines that a reader process meets, and their way to the metric of the node."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lacnode.evm import native_call
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.rpc.methods.calls import eth_call
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.readers.reader_child import ReaderChild
from lacnode.rpc.readers.reader_main import ReaderWorker
from lacnode.rpc.readers.reader_messages import ReaderAnswer, ReaderOutcome, ReaderSetup, ReaderTask
from lacnode.rpc.readers.reader_processes import NodeDatabaseFunctions, ReaderProcesses
from lacnode.rpc.settings import ApiSettings
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support import rpc_chain

CALL = ReadCall(eth_call, [{"to": "0x" + "11" * 20}, "latest"])


@pytest.mark.skipif(why_no_library() is not None, reason="the native library is not built")
def test_a_reader_reports_each_difference_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.rpc_chain.MemoryDatabase", lambda: LmdbDatabase(tmp_path, durable=False))
    made = rpc_chain.node()
    task = ReaderTask(CALL, made.chain.head.hash, 60.0)
    made.chain.database.close()
    worker = ReaderWorker(ReaderSetup(made.chain.spec, tmp_path, ApiSettings(), EngineKind.BOTH))
    original = native_call.call_natively
    monkeypatch.setattr("lacnode.evm.native_engine.call_natively", lambda *given: replace(original(*given), gas_used=1))
    assert worker.answer(task).call_differences == 1
    monkeypatch.setattr("lacnode.evm.native_engine.call_natively", original)
    assert worker.answer(task).call_differences == 0


class _PanicException(BaseException):
    """The error that a library in Rust raises, and that is no `Exception`."""


def test_a_reader_answers_a_call_in_which_a_library_panics_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.rpc_chain.MemoryDatabase", lambda: LmdbDatabase(tmp_path, durable=False))
    made = rpc_chain.node()
    task = ReaderTask(CALL, made.chain.head.hash, 60.0)
    made.chain.database.close()
    worker = ReaderWorker(ReaderSetup(made.chain.spec, tmp_path, ApiSettings(), EngineKind.PYTHON))

    def panicking(*_: Any) -> None:
        raise _PanicException

    monkeypatch.setattr(ReadCall, "answer", panicking)
    answer = worker.answer(task)
    assert (answer.outcome, answer.is_last) == (ReaderOutcome.ERROR, True)


class _Child:
    """A reader process that met two differences."""

    async def ask(self, task: ReaderTask) -> ReaderAnswer:
        return ReaderAnswer(ReaderOutcome.RESULT, b"1", call_differences=2, library_panics=3)


async def test_the_node_counts_what_readers_report(tmp_path: Path) -> None:
    differences = EngineDifferences()
    around: Any = NodeDatabaseFunctions(bytes, lambda: None, lambda: None, lambda *_: None, differences.add_counts)
    setup = ReaderSetup(rpc_chain.node().chain.spec, tmp_path, ApiSettings())
    await ReaderProcesses(setup, around, 1)._asked(cast(ReaderChild, _Child()), CALL, time.monotonic())
    assert (differences.call_count, differences.panic_count) == (2, 3)
