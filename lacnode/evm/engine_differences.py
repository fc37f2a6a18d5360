"""The differences between the two engines, and the panics of the native library: counted and logged. A difference on a
block is also written to a file with all that is needed to execute the block again, for `MAX_FILES` blocks and within
`MAX_FILE_BYTES`. There must be none. Each is a fault of an engine."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
import structlog

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import AncestorHash, CallRequest, ExecutedBlock, ExecutionError, NodeStore
from lacnode.evm.native_library import native_library
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.rate_limited_log import RateLimitedLog

DIFFERENCES_DIRECTORY = "evm-differences"
"""The folder in the data path into which a node writes them."""

MAX_FILES = 16
"""Differences that a node writes. Later ones are only counted."""

MAX_FILE_BYTES = 64 * 2**20
"""Bytes of the trie nodes and codes in one file. A block that needs more is written without them."""

LOGGED_CALL_BYTES = 1_024
"""Bytes of a call's data that a line of the log shows."""

IGNORED = ("nodes", "executed_by")
"""Fields of an executed block that may differ: an engine may also give nodes that nothing refers to."""

log = structlog.get_logger("evm")


class RecordingNodes:
    """A node store that keeps the values that were read, by hash, in `read`."""

    def __init__(self, store: NodeStore) -> None:
        self.read: dict[bytes, bytes] = {}
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        """Return the trie node or the code with the Keccak hash `key` (32 bytes), and remember it. If it is
        absent, None or the error of the store."""
        value = self._store.get(key)
        # A missing node is an error of the execution. Replaying without it gives the same error.
        if value is not None:
            self.read[key] = value
        return value


def differing_block_fields(expected: ExecutedBlock, found: ExecutedBlock) -> list[str]:
    """Return the names of the fields in which two executions of a block differ, empty if they agree. `IGNORED` fields
    are not compared."""
    names = [field.name for field in fields(ExecutedBlock) if field.name not in IGNORED]
    return [name for name in names if getattr(expected, name) != getattr(found, name)]


def outcomes_differ(expected: "Outcome", found: "Outcome") -> bool:
    """Return whether two engines differ on a block: one executed it and the other refused it, or the results differ. A
    block that both refuse may be wrong in several ways: its reasons are not compared."""
    if isinstance(expected, ExecutionError) or isinstance(found, ExecutionError):
        # One of them executed the block and the other refused it.
        return type(expected) is ExecutedBlock or type(found) is ExecutedBlock
    return bool(differing_block_fields(expected, found))


Outcome = ExecutedBlock | ExecutionError
"""The outcome of a block on one engine."""


class EngineDifferences:
    """The differences and panics of one node: `count` of blocks since the start, `call_count` and `panic_count` since
    the last `pop_counts`. Without a `directory` they are only counted and logged."""

    def __init__(self, directory: Path | None = None) -> None:
        self.count = 0
        self.call_count = 0
        self.panic_count = 0
        self._directory = directory
        self._log = RateLimitedLog("evm", time.monotonic)

    def record_difference(
        self,
        spec: ChainSpec,
        store: NodeStore,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        outcomes: Mapping[str, Outcome],
        execute_again: Callable[[NodeStore], None],
    ) -> None:
        """Note that the engines named in `outcomes` differ on a block: count it, log it and, within `MAX_FILES`, write
        it to a file. `execute_again` executes the block once more on the store that it is given, so that the nodes that
        are read are recorded. An error in this method is logged: it must not stop the node."""
        self.count += 1
        path = None
        try:
            path = self._path(header)
            if path is not None:
                nodes = _nodes_read(store, execute_again)
                document = difference_document(
                    spec, parent_state_root, header, transactions, ancestor_hash, outcomes, nodes
                )
                path.write_bytes(orjson.dumps(document))
        # A full disk, or a fault in this file, must not stop a validator.
        except Exception as error:
            log.warning("a difference between the engines could not be written", error=str(error))
        # Logged after the file is written, since the line names the file.
        log.error(
            "the engines differ on a block; py-evm's word counts",
            number=header.number,
            file=None if path is None else str(path),
            **{name: _in_short(outcome) for name, outcome in outcomes.items()},
        )

    def record_call_difference(self, header: BlockHeader, call: CallRequest, unlike: Sequence[str]) -> None:
        """Note that the engines differ in the fields `unlike` on a call on the state after `header`. Callers can repeat a
        call: so a difference is only counted, and logged once a minute at most. Nothing is written to a file."""
        self.call_count += 1
        self._log.warning(
            "calls",
            "the engines differ on a call; py-evm's word counts",
            number=header.number,
            unlike=list(unlike),
            sender="0x" + call.sender.hex(),
            to=None if call.to is None else "0x" + call.to.hex(),
            data="0x" + call.data[:LOGGED_CALL_BYTES].hex(),
            gas=call.gas,
            value=call.value,
        )

    def record_if_panic(self, error: Exception, task: str) -> None:
        """Count and log `error`, which the native library raised, if it is a panic. Nothing happens for its other
        errors, which are known limits. `task` names what py-evm does in place of the library. There is one line a
        minute for each `task`."""
        if isinstance(error, native_library().PanicError):
            self.panic_count += 1
            self._log.error(task, f"the native library has a fault; py-evm {task}", fault=str(error))

    def pop_counts(self) -> tuple[int, int]:
        """Return the number of calls on which the engines differed since the last call of this, and that of panics.
        Blocks are not among them."""
        counts = self.call_count, self.panic_count
        self.call_count = self.panic_count = 0
        return counts

    def add_counts(self, calls: int, panics: int) -> None:
        """Count what `pop_counts` returned in another process of this node. That process has logged it."""
        self.call_count += calls
        self.panic_count += panics

    def _path(self, header: BlockHeader) -> Path | None:
        if self._directory is None or self.count > MAX_FILES:
            return None
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # `count` begins at 0 in every process. The files of earlier runs count too, or a node that restarts in a loop
        # would fill the disk.
        if len(os.listdir(self._directory)) >= MAX_FILES:
            return None
        return self._directory / f"block-{header.number}-{self.count}.json"


def _nodes_read(store: NodeStore, again: Callable[[NodeStore], None]) -> dict[bytes, bytes]:
    recording = RecordingNodes(store)
    again(recording)
    # Without nodes the file still has the block and the outcomes. A partial set could not be replayed at all.
    return recording.read if sum(len(node) for node in recording.read.values()) <= MAX_FILE_BYTES else {}


def difference_document(
    spec: ChainSpec,
    parent_state_root: bytes,
    header: BlockHeader,
    transactions: Sequence[Transaction],
    ancestor_hash: AncestorHash,
    outcomes: Mapping[str, Outcome],
    nodes: Mapping[bytes, bytes],
) -> dict[str, Any]:
    """Return the document of a difference, ready for JSON. `lacnode evm replay` reads it. Bytes are hexadecimal without
    `0x`. `nodes` may be empty: then the block cannot be executed again from the document."""
    # BLOCKHASH reaches back 256 blocks. Which of them the block asked for is not recorded, so the file has all.
    ancestors = {number: ancestor_hash(number) for number in range(max(0, header.number - 256), header.number)}
    return {
        "genesis": {"config": spec.config_document, "difficulty": "0x1", "gasLimit": "0x1"},
        "parentStateRoot": parent_state_root.hex(),
        "header": header.encode().hex(),
        "transactions": [transaction.raw.hex() for transaction in transactions],
        "ancestors": {str(number): hash_.hex() for number, hash_ in ancestors.items() if hash_ is not None},
        "nodes": {key.hex(): node.hex() for key, node in nodes.items()},
        "outcomes": {name: outcome_document(outcome) for name, outcome in outcomes.items()},
    }


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome of one engine, ready for JSON: `error` with the text if it refused the block, otherwise roots,
    gas and receipts. Bytes are hexadecimal without `0x`."""
    if isinstance(outcome, ExecutionError):
        return {"error": str(outcome)}
    return {
        "stateRoot": outcome.state_root.hex(),
        "receiptsRoot": outcome.receipts_root.hex(),
        "logsBloom": outcome.logs_bloom.hex(),
        "gasUsed": outcome.gas_used,
        "gasUsedBy": list(outcome.gas_used_by),
        "senders": [sender.hex() for sender in outcome.senders],
        "receipts": [receipt.encode().hex() for receipt in outcome.receipts],
        "revertReasons": [None if reason is None else reason.hex() for reason in outcome.revert_reasons],
    }


def _in_short(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, ExecutionError) else f"state root 0x{outcome.state_root.hex()}"
