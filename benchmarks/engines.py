"""Both execution engines side by side, in one run: whole blocks and calls. Every value is a ratio to py-evm.

The relay-like call does what LACChain's relay hub has contracts do: it recovers a signature, hashes in a loop, calls another
contract, writes three new slots and two events.
`python -m benchmarks.engines NAME SECONDS` executes one block again and again on the native engine, for a profiler.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from benchmarks.execution import SENDER, token_transfers
from benchmarks.measure import Measure
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto import secp256k1
from lacnode.crypto.recent_senders import RecentSenders
from lacnode.devnet.accounts import DevnetAccount
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.evm.engine import CallRequest, ExecutedBlock, ExecutionEngine
from lacnode.evm.engine_differences import differing_block_fields
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind, why_no_library
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.transaction import Transaction

ROUNDS = 3
SHORT_SECONDS = 0.5
"""What takes less is done more often, on either engine: three blocks of 5 ms say little on a busy machine."""

CHAIN_ID = 648_555
GAS_LIMIT = 350_000_000
RELAY, LOOP, CALLED = (bytes(19) + bytes([0xF0 + number]) for number in range(3))
LOOP_GAS = 20_000_000


def _push(value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8))
    return bytes([0x5F + len(data)]) + data


def _times(count: int, body: bytes, begins: int) -> bytes:
    """`body`, `count` times, where it stands `begins` bytes after the start of the code."""
    start = _push(count)
    return start + b"\x5b" + body + b"\x60\x01\x90\x03\x80" + b"\x61" + (begins + len(start)).to_bytes(2) + b"\x57\x50"


def relay_code(called: bytes) -> bytes:
    """The code of the relay-like contract, which calls the contract at `called` (20 bytes)."""
    copy = bytes.fromhex("366000600037")
    recover = bytes.fromhex("6020610100608060006001") + b"\x5a\xfa\x50"
    hashes = _times(180, bytes.fromhex("610120600020610120") + b"\x52", len(copy + recover))
    slots = b"".join(
        b"\x60\x00\x35" + _push(number) + bytes.fromhex("01610140526001602061014020") + b"\x55" for number in range(3)
    )
    events = bytes.fromhex("600160406000a1") * 2
    nested = bytes.fromhex("6000600060406000600073") + called + b"\x5a\xf1\x50"
    return copy + recover + hashes + slots + events + nested + b"\x00"


CODES = {
    RELAY: relay_code(CALLED),
    LOOP: b"\x5b" + bytes.fromhex("6001600201506000") + b"\x56",
    CALLED: bytes.fromhex("600035602060002001") + bytes.fromhex("60005260206000f3"),
}


def relay_input(number: int) -> bytes:
    """The input of a call of the relay-like contract: a digest, and a valid signature of it as the precompile takes it."""
    digest = keccak256(b"call %d" % number)
    signature = secp256k1.sign(digest, SENDER.private_key)
    return digest + (27 + signature[64]).to_bytes(32) + signature[:64]


def _signed(nonce: int, to: bytes, data: bytes, gas: int, value: int = 0) -> Transaction:
    fields = {"nonce": nonce, "gasPrice": 0, "gas": gas, "value": value, "data": data, "chainId": CHAIN_ID, "to": to}
    return Transaction.decode(bytes(Account.sign_transaction(fields, SENDER.private_key).raw_transaction))


def plain_transfers() -> list[Transaction]:
    """1,000 transfers of one sender, each to another account."""
    return [_signed(n, keccak256(b"recipient %d" % n)[:20], b"", 21_000, 1) for n in range(1000)]


@dataclass(frozen=True)
class Workload:
    """A block, after a block that prepares for it, and the least ratio that it should show."""

    name: str
    setup: Sequence[Transaction]
    block: Sequence[Transaction]
    at_least: float


def workloads() -> list[Workload]:
    """The blocks that both engines execute."""
    deploy, transfers = token_transfers()
    setup, tokens = [Transaction.decode(raw) for raw in deploy], [Transaction.decode(raw) for raw in transfers]
    relay = [_signed(n, RELAY, relay_input(n), 200_000) for n in range(300)]
    loop = [_signed(0, LOOP, b"", LOOP_GAS)]
    return [
        Workload("1,000 transfers", [], plain_transfers(), 30),
        Workload("1,000 ERC-20 transfers", setup, tokens, 20),
        Workload("300 relay-like calls", [], relay, 25),
        Workload("20 million gas of computation", [], loop, 60),
    ]


class Bench:
    """One state for both engines."""

    def __init__(self) -> None:
        document = devnet_genesis([SENDER.address], [DevnetAccount(to_hex(SENDER.address), "")], 1.0, 1)
        alloc: Any = document["alloc"]
        alloc |= {address.hex(): {"balance": "0x0", "code": "0x" + code.hex()} for address, code in CODES.items()}
        self.spec: ChainSpec = parse_genesis(document)
        self.store: dict[bytes, bytes] = {}
        self.engines = {
            kind: make_engine(self.spec, self.store, kind=kind) for kind in (EngineKind.PYTHON, EngineKind.NATIVE)
        }
        root, nodes = self.engines[EngineKind.PYTHON].genesis_state()
        self.store.update(nodes)
        self.header = self.spec.genesis.header(root).with_changes(gas_limit=GAS_LIMIT)

    def after(self, transactions: Sequence[Transaction]) -> BlockHeader:
        """The header of a block after one with `transactions`."""
        if not transactions:
            return self.header.with_changes(number=1, timestamp=self.header.timestamp + 1)
        executed = self.execute(self.engines[EngineKind.PYTHON], self.after([]), transactions)
        self.store.update(executed.nodes)
        number = {"number": 2, "timestamp": self.header.timestamp + 2}
        return self.header.with_changes(state_root=executed.state_root, **number)

    @staticmethod
    def execute(engine: ExecutionEngine, header: BlockHeader, transactions: Sequence[Transaction]) -> ExecutedBlock:
        return engine.execute(header.state_root, header, transactions, lambda number: None)


def _forget_senders() -> None:
    secp256k1._RECENT_SENDERS = RecentSenders()


@dataclass(frozen=True)
class Taken:
    """The least seconds, and the least seconds of processor time, of some rounds."""

    seconds: float
    processor_seconds: float


def best_of_rounds(
    work: Callable[[], object], before: Callable[[], object] = lambda: None, seconds: float = SHORT_SECONDS
) -> Taken:
    """What the quickest of `ROUNDS` rounds takes, or of as many as there are in `seconds`."""
    taken: list[tuple[float, float]] = []
    while len(taken) < ROUNDS or sum(each for each, _ in taken) < seconds:
        before()
        started, processor_started = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - started, time.process_time() - processor_started))
    return Taken(min(seconds for seconds, _ in taken), min(seconds for _, seconds in taken))


def _block_measures(bench: Bench, workload: Workload) -> list[Measure]:
    header = bench.after(workload.setup)
    taken: dict[tuple[EngineKind, bool], Taken] = {}
    executed = []
    # One sender is recovered in no time beside a block that computes.
    sender_cases = (True, False) if len(workload.block) > 1 else (True,)
    for kind, engine in bench.engines.items():
        run = _run(bench, engine, header, workload.block)
        executed.append(run())
        for known in sender_cases:
            taken[kind, known] = best_of_rounds(run) if known else best_of_rounds(run, before=_forget_senders)
    assert differing_block_fields(*executed) == [], "the engines differ"
    gas = executed[0].gas_used
    measures = []
    for known in sender_cases:
        how = "senders known" if known else "recovering"
        both = taken[EngineKind.PYTHON, known], taken[EngineKind.NATIVE, known]
        python, native = (each.seconds for each in both)
        python_cpu, native_cpu = (each.processor_seconds for each in both)
        note = f"py-evm {python * 1000:.0f} ms, native {native * 1000:.1f} ms: {gas / native / 1e6:.0f} Mgas/s; "
        note += (
            f"processor time {python_cpu * 1000:.0f} and {native_cpu * 1000:.1f} ms: {python_cpu / native_cpu:.1f} x"
        )
        aim = workload.at_least if known else 4.0
        name = f"{workload.name}, {how}, native against py-evm"
        measures.append(Measure(name, python / native, "x", aim, note=note))
    return measures


def _run(
    bench: Bench, engine: ExecutionEngine, header: BlockHeader, block: Sequence[Transaction]
) -> Callable[[], ExecutedBlock]:
    return lambda: bench.execute(engine, header, block)


def _call_measure(bench: Bench) -> Measure:
    setup, _ = token_transfers()
    header = bench.after([Transaction.decode(raw) for raw in setup])
    balance_of = keccak256(b"balanceOf(address)")[:4] + bytes(12) + SENDER.address
    request = CallRequest(to=created_contract_address(SENDER.address, 0), data=balance_of)
    seconds = {}
    for kind, engine in bench.engines.items():
        call = _calls(engine, header, request)
        call()
        seconds[kind] = best_of_rounds(call).seconds / 200
    python, native = seconds[EngineKind.PYTHON], seconds[EngineKind.NATIVE]
    note = f"py-evm {python * 1e6:.0f} us, native {native * 1e6:.0f} us"
    return Measure("a call of balanceOf, native against py-evm", python / native, "x", 10.0, note=note)


def _calls(engine: ExecutionEngine, header: BlockHeader, request: CallRequest) -> Callable[[], Any]:
    return lambda: [engine.call(header.state_root, header, request, lambda number: None) for _ in range(200)]


def measure() -> list[Measure]:
    """Ratios of speeds, the best of a few rounds each. Nothing where the native library is not built."""
    reason = why_no_library()
    if reason is not None:
        print(f"  the engines are not compared: {reason}")
        return []
    bench = Bench()
    measures = [each for workload in workloads() for each in _block_measures(bench, workload)]
    return [*measures, _call_measure(bench)]


def repeat(name: str, seconds: float) -> None:
    """Execute the block of the workload `name` on the native engine for `seconds`, and print the least time of one."""
    bench, workload = Bench(), next(each for each in workloads() if each.name == name)
    run = _run(bench, bench.engines[EngineKind.NATIVE], bench.after(workload.setup), workload.block)
    print(f"{name}: profile process {os.getpid()} from now on", flush=True)
    print(f"{name}: {best_of_rounds(run, seconds=seconds).seconds * 1000:.2f} ms a block")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        repeat(sys.argv[1], float(sys.argv[2]))
    else:
        for result in measure():
            print(f"{result.name}: {result.value:.1f} {result.unit} ({result.verdict}; {result.note})")
