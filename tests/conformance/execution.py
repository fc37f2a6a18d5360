"""One official state test through the engine that blocks go through."""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from lacnode.chainspec.forks import Fork, ForkSchedule
from lacnode.chainspec.genesis import parse_genesis
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError, recover_sender
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.receipt import Log
from lacnode.primitives.rlp import RlpError
from lacnode.primitives.transaction import Transaction
from tests.conformance.exceptions import MALFORMED, is_expected
from tests.conformance.fixtures import StateTest
from tests.support.engines import engine

WAITING_FACTOR = 10
"""A test may take so many times its seconds of the processor on the clock: precompiles may run in another process."""


class Verdict(Enum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    TOO_SLOW = "too slow"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test's verdict; `reason` says what was different, and is empty for a test that passed."""

    verdict: Verdict
    reason: str = ""


class _TooSlowError(BaseException):
    """Raised by the timer in the code that runs. A BaseException: no `except Exception` on the way may stop it."""


def run_state_test(test: StateTest, cpu_seconds: float | None = None) -> Outcome:
    """Execute `test` and compare. A test that takes more than `cpu_seconds` of this process is stopped; the bound needs
    the main thread and its timer."""
    budget = ExecutionBudget(time.monotonic() + cpu_seconds * WAITING_FACTOR) if cpu_seconds else UNLIMITED
    try:
        with _timer(cpu_seconds):
            return _run(test, budget)
    except (_TooSlowError, BudgetExceededError):
        return Outcome(Verdict.TOO_SLOW, f"not done after {cpu_seconds:g} s of one core")
    except Exception as error:
        return Outcome(Verdict.FAILED, f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _timer(cpu_seconds: float | None) -> Iterator[None]:
    if cpu_seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise _TooSlowError

    # Time of the processor, not of the clock: on a busy machine the same tests must be too slow.
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _run(test: StateTest, budget: ExecutionBudget) -> Outcome:
    nodes: dict[bytes, bytes] = {}
    executing = engine(network(test.fork, test.chain_id), nodes)
    root, first_nodes = executing.initial_state(test.accounts)
    nodes.update(first_nodes)
    block = executing.open_block(root, _header(test, root), _hash_of)
    logs: tuple[Log, ...] = ()
    refused: str | None = None
    try:
        transaction = Transaction.decode(test.transaction)
        logs = block.add(transaction, recover_sender(transaction), budget).logs
    except (RlpError, SignatureError):
        refused = MALFORMED
    except TransactionRejectedError as rejection:
        refused = rejection.reason.name
    if refused is not None and not is_expected(refused, test.exception):
        return Outcome(Verdict.FAILED, f"refused with {refused}, expected {test.exception or 'execution'}")
    if refused is None and test.exception is not None:
        return Outcome(Verdict.FAILED, f"executed, but {test.exception} must refuse it")
    # Before EIP-161 a refused test's state has the coinbase: mainnet pays even a reward of 0, these networks do not.
    expected_root = root if refused is not None else test.state_root
    return _compared(test, block.close().state_root, expected_root, logs)


def _compared(test: StateTest, state_root: bytes, expected_root: bytes, logs: tuple[Log, ...]) -> Outcome:
    if state_root != expected_root:
        return Outcome(Verdict.FAILED, f"state root 0x{state_root.hex()}, expected 0x{expected_root.hex()}")
    logs_hash = keccak256(rlp.encode([log.to_item() for log in logs]))
    if logs_hash != test.logs_hash:
        return Outcome(Verdict.FAILED, f"hash of the logs 0x{logs_hash.hex()}, expected 0x{test.logs_hash.hex()}")
    return Outcome(Verdict.PASSED)


@lru_cache(maxsize=64)
def network(fork: Fork, chain_id: int) -> ChainSpec:
    """An IBFT 2.0 network that is in `fork` from its first block."""
    spec = parse_genesis({"config": {"ibft2": {}}, "difficulty": "0x1", "gasLimit": "0x1"})
    schedule = ForkSchedule(by_block=((0, fork),), by_time=(), id_blocks=(), id_times=())
    return replace(spec, chain_id=chain_id, forks=schedule)


def _header(test: StateTest, root: bytes) -> BlockHeader:
    given = test.environment

    def number(name: str) -> int:
        value = given.get(name, 0)
        assert isinstance(value, int)
        return value

    coinbase = given["currentCoinbase"]
    assert isinstance(coinbase, bytes)
    return replace(
        network(test.fork, test.chain_id).genesis.header(root),
        coinbase=coinbase,
        number=number("currentNumber"),
        timestamp=number("currentTimestamp"),
        gas_limit=number("currentGasLimit"),
        difficulty=number("currentDifficulty"),
        mix_hash=number("currentRandom").to_bytes(32),
        base_fee=number("currentBaseFee") if test.fork >= Fork.LONDON else None,
        excess_blob_gas=number("currentExcessBlobGas") if test.fork >= Fork.CANCUN else None,
    )


def _hash_of(number: int) -> bytes:
    """The hash that the tests give the block `number` before theirs."""
    return keccak256(str(number).encode())
