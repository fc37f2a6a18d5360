"""Files with the steps of a transaction, one JSON object a line (EIP-3155), as Besu writes them.

A caller can fill a disk with them, so their number and size are bounded.
"""

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

HASH_CHARACTERS = 10
"""Characters of a hash in a file's name, `0x` included."""


class TraceFiles:
    """Writes files of one block into `directory`. `check` raises when the call has no more time."""

    def __init__(self, directory: Path, block_hash: bytes, check: Callable[[], None]) -> None:
        self._directory = directory
        self._block = to_hex(block_hash)[:HASH_CHARACTERS]
        self._check = check
        self._bytes_left = MAX_TRACE_FILE_BYTES

    def write(self, index: int, traced: TracedTransaction, seconds: float) -> str:
        """Write the steps of a transaction, which took `seconds`. Return the path of the file.

        RpcError if there are too many files, the files become too large, or the disk refuses them.
        """
        hash_ = to_hex(traced.hash or b"")[:HASH_CHARACTERS]
        path = self._directory / f"block_{self._block}-{index}-{hash_}-{time.time_ns() // 1_000_000}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if len(list(self._directory.iterdir())) >= MAX_TRACE_FILES:
                raise RpcError(LIMIT_EXCEEDED, f"Number of trace files exceeds maximum of {MAX_TRACE_FILES}")
            self._write(path, traced, seconds)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise RpcError(SERVER_ERROR, "Trace file cannot be written", str(error)) from None
        except RpcError:
            # Half a file would look like the trace of a shorter transaction.
            path.unlink(missing_ok=True)
            raise
        return str(path)

    def _write(self, path: Path, traced: TracedTransaction, seconds: float) -> None:
        with path.open("xb") as file:
            for step in traced.steps:
                if not step.is_virtual:
                    file.write(self._counted(_line(step)))
            summary = {"output": traced.output.hex(), "gasUsed": hex(traced.gas_used), "time": int(seconds * 1e9)}
            file.write(self._counted(summary))

    def _counted(self, line: dict[str, object]) -> bytes:
        self._check()
        encoded = orjson.dumps(line) + b"\n"
        self._bytes_left -= len(encoded)
        if self._bytes_left < 0:
            raise RpcError(LIMIT_EXCEEDED, f"Trace files exceed maximum of {MAX_TRACE_FILE_BYTES} bytes")
        return encoded


def _line(step: TracedStep) -> dict[str, object]:
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
