"""Files with the steps of a transaction, one JSON object a line (EIP-3155), as Besu writes them.

A caller can fill a disk with them, so their number and size are bounded.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from lacnode.evm.trace_record import TracedStep, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from lacnode.rpc.traces.struct_logs import cost_with_call

MAX_TRACE_FILES = 1_000
"""Files in the directory of traces. Besu has no such bound."""

MAX_TRACE_FILE_BYTES = 64 * 2**20
"""Bytes of all files that one call writes. Besu has no such bound."""

MAX_TRACE_DIRECTORY_BYTES = 2**30
"""Bytes of all files in the directory of traces. Calls at the same time may exceed it by the files that they write."""

MIN_FREE_DISK_BYTES = 2**30
"""Bytes that stay free on the disk: the database of the node is usually on the same one."""

CHECKED_BYTES = 2**20
"""Bytes that are written between two looks at the disk."""

HASH_CHARACTERS = 10
"""Characters of a hash in a file's name, `0x` included."""


class TraceFiles:
    """Writes files of the block with `block_hash` (32 bytes) into `directory`, which is made if it is missing. One
    object is for one call. `check` raises an RpcError when the call has no more time."""

    def __init__(self, directory: Path, block_hash: bytes, check: Callable[[], None]) -> None:
        self._directory = directory
        self._block = to_hex(block_hash)[:HASH_CHARACTERS]
        self._check = check
        self._bytes_left = MAX_TRACE_FILE_BYTES
        self._unchecked_bytes = 0

    def write(self, index: int, traced: TracedTransaction, seconds: float) -> str:
        """Write the steps of the transaction at `index` to a new file, with `seconds`, the time that it took, in the
        last line. Return its path.

        RpcError if the directory has too many files or bytes, the files of this call become too large, the disk is
        nearly full or refuses them, or another call has a file of this name. The error of the constructor's `check`, an
        RpcError too, if the time is over. After each of these errors the new file is removed. Files of other calls, and
        of earlier calls of `write`, stay.
        """
        hash_ = to_hex(traced.hash or b"")[:HASH_CHARACTERS]
        path = self._directory / f"block_{self._block}-{index}-{hash_}-{time.time_ns() // 1_000_000}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._check_directory()
            self._check_disk()
            self._write(path, traced, seconds)
        except OSError as error:
            raise RpcError(SERVER_ERROR, "Trace file cannot be written", str(error)) from None
        return str(path)

    def _check_directory(self) -> None:
        sizes = [file.stat().st_size for file in self._directory.iterdir()]
        if len(sizes) >= MAX_TRACE_FILES:
            raise RpcError(LIMIT_EXCEEDED, f"Number of trace files exceeds maximum of {MAX_TRACE_FILES}")
        # The files of this call may take what the call has left.
        if sum(sizes) + self._bytes_left > MAX_TRACE_DIRECTORY_BYTES:
            raise RpcError(
                LIMIT_EXCEEDED,
                f"Trace files in the directory exceed maximum of {MAX_TRACE_DIRECTORY_BYTES} bytes",
                f"delete files in {self._directory}",
            )

    def _check_disk(self) -> None:
        self._unchecked_bytes = 0
        if shutil.disk_usage(self._directory).free < MIN_FREE_DISK_BYTES:
            raise RpcError(SERVER_ERROR, "Trace file cannot be written", "the disk is nearly full")

    def _write(self, path: Path, traced: TracedTransaction, seconds: float) -> None:
        # If the file exists, another call made it in the same millisecond. It is not removed: it may be whole.
        file = path.open("xb")
        try:
            with file:
                for step in traced.steps:
                    if not step.is_virtual:
                        file.write(self._counted(step_line(step)))
                summary = {"output": traced.output.hex(), "gasUsed": hex(traced.gas_used), "time": int(seconds * 1e9)}
                file.write(self._counted(summary))
        except (OSError, RpcError):
            # Half a file would look like the trace of a shorter transaction.
            path.unlink(missing_ok=True)
            raise

    def _counted(self, line: dict[str, object]) -> bytes:
        self._check()
        encoded = orjson.dumps(line) + b"\n"
        self._bytes_left -= len(encoded)
        self._unchecked_bytes += len(encoded)
        if self._unchecked_bytes > CHECKED_BYTES:
            self._check_disk()
        if self._bytes_left < 0:
            raise RpcError(LIMIT_EXCEEDED, f"Trace files exceed maximum of {MAX_TRACE_FILE_BYTES} bytes")
        return encoded


def step_line(step: TracedStep) -> dict[str, object]:
    """Return the JSON object of a step, a line of the file (EIP-3155)."""
    line: dict[str, object] = {
        "pc": step.pc,
        "op": step.opcode,
        "gas": hex(step.gas),
        "gasCost": hex(cost_with_call(step)),
    }
    if step.memory:
        line["memory"] = to_hex(step.memory)
    line["memSize"] = step.memory_size
    line["stack"] = [hex(item if isinstance(item, int) else int.from_bytes(item)) for item in step.stack]
    if step.return_data:
        line["returnData"] = to_hex(step.return_data)
    line |= {"depth": step.depth + 1, "refund": step.refund, "opName": step.name}
    if step.halt is not None:
        line["error"] = step.halt.value
    elif step.revert_reason is not None:
        line["error"] = to_hex(step.revert_reason)
    return line
