"""The import of blocks of 1,000 transactions on both engines, in one run: every check, execution, roots, commit with fsync.

The senders are known, as they are in a node that has the transactions in its pool. Other work on the machine makes the
import slower, and hardly changes its processor time.
"""

from collections.abc import Sequence

from benchmarks.engines import ROUNDS, plain_transfers
from benchmarks.execution import SENDER, import_times, token_transfers
from benchmarks.measure import Measure
from lacnode.chainspec.genesis import parse_genesis
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction


def measure() -> list[Measure]:
    """Transactions a second, the best of a few rounds. Nothing where the native library is not built."""
    reason = why_no_library()
    if reason is not None:
        print(f"  the engines are not compared: {reason}")
        return []
    setup, tokens = token_transfers()
    plain = [transaction.raw for transaction in plain_transfers()]
    return [
        _import_measure("ERC-20 transfers", [setup, tokens], 15_000),
        _import_measure("transfers", [plain], 20_000),
    ]


def _import_measure(name: str, contents: Sequence[Sequence[bytes]], at_least: float) -> Measure:
    genesis = devnet_genesis([SENDER.address], [DevnetAccount(to_hex(SENDER.address), "")], 1.0, 1)
    spec = parse_genesis(genesis)
    for raw in contents[-1]:
        recover_sender(Transaction.decode(raw))
    taken = {
        kind: [import_times(spec, contents, kind=kind) for _ in range(ROUNDS)]
        for kind in (EngineKind.PYTHON, EngineKind.NATIVE)
    }
    python, native = (min(seconds for seconds, _ in rounds) for rounds in taken.values())
    processor = min(processor_seconds for _, processor_seconds in taken[EngineKind.NATIVE])
    note = (
        f"senders known; {1000 / processor:.0f} tx/s of processor time; py-evm {1000 / python:.0f} tx/s in the same run, "
        f"native {python / native:.1f} times as fast"
    )
    return Measure(f"import of 1,000 {name}, with fsync, native", 1000 / native, "tx/s", at_least, note=note)


if __name__ == "__main__":
    for result in measure():
        print(f"{result.name}: {result.value:.0f} {result.unit} ({result.verdict}; {result.note})")
