"""One seed on both engines: blocks executed whole, blocks built transaction by transaction, and calls."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.evm.budget import ExecutionInterruptedError
from lacnode.evm.call_differences import differing_call_fields
from lacnode.evm.engine import (
    NATIVE,
    CallLimitExceededError,
    CallRequest,
    CallResult,
    ExecutedBlock,
    ExecutionEngine,
    ExecutionError,
)
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.native_library import native_library
from lacnode.evm.overrides import AccountOverride, Overrides
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction
from tests.differential.programs import SLOTS, Programs
from tests.differential.scenarios import CONTRACTS, KEYS, NOBODY, Network, Senders, random_network
from tests.differential.traces import unlike_traces

BLOCKS = 3
"""Blocks of one seed, each on the one before."""


@dataclass(slots=True)
class Count:
    """What was compared."""

    transactions: int = 0
    """Transactions that both engines executed, and not py-evm for both of them."""
    refused: int = 0
    """Transactions that both engines refused in a block in the making."""
    blocks: int = 0
    calls: int = 0
    traces: int = 0
    recorded: int = 0
    """Traces that the native library recorded itself."""
    left: Counter[str] = field(default_factory=Counter)
    """What the library left to py-evm, by its reason: such a block or call is not compared."""

    def __add__(self, other: "Count") -> "Count":
        """Both together."""
        return Count(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


class LibraryErrors(EngineDifferences):
    """What a native engine notes. When its library fails, py-evm takes over, and would be compared with itself."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count
        self.last: Exception | None = None
        self.panics: list[str] = []

    def record_if_panic(self, error: Exception, task: str) -> None:
        """Count `error` by its text, and keep it as the last one."""
        super().record_if_panic(error, task)
        self.last = error
        self._count.left[f"{task}: {type(error).__name__} {error}"] += 1
        if isinstance(error, native_library().PanicError):
            self.panics.append(f"the library panics: {error}")


def hash_of(number: int) -> bytes:
    """The hash of the block `number`."""
    return keccak256(b"ancestor %d" % number)


class Scenario:
    """A random network in `fork` with a state for both engines. What is compared is counted in `count`."""

    def __init__(self, seed: int, fork: Fork, count: Count) -> None:
        self.rng = random.Random(seed)
        self.network = random_network(self.rng, fork)
        self.count = count
        self.store: dict[bytes, bytes] = {}
        self.errors = LibraryErrors(count)
        self.python = PyEvmEngine(self.network.spec, self.store)
        self.native = NativeEngine(self.network.spec, self.store, differences=self.errors)
        self.root, nodes = self.python.initial_state(self.network.accounts)
        self.store.update(nodes)


def differences(seed: int, fork: Fork, count: Count, *, traces_too: bool = True) -> list[str]:
    """What the engines say differently in the scenario of `seed` in `fork`; empty if nothing. Traces take most of the
    time."""
    scenario = Scenario(seed, fork, count)
    senders = Senders(scenario.rng, scenario.network)
    found: list[str] = []
    for number in range(300, 300 + BLOCKS):
        header = _header(scenario.network, scenario.root, number)
        found += _calls(scenario, header)
        transactions = [senders.transaction() for _ in range(scenario.rng.randrange(1, 7))]
        accepted, unlike = _built(scenario, header, transactions)
        found += [f"open block {number}: {what}" for what in unlike]
        if len(accepted) < len(transactions):
            found += [f"refused block {number}: {what}" for what in _block(scenario, header, transactions)[1]]
        executed, unlike = _block(scenario, header, accepted)
        found += [f"block {number}: {what}" for what in unlike]
        if traces_too:
            found += _traces(scenario, header, accepted, number)
        found += scenario.errors.panics
        if found or executed is None:
            break
        scenario.store.update(executed.nodes)
        scenario.root = executed.state_root
        senders.follow(scenario.python.accounts(scenario.root))
    return [f"seed {seed}, {fork.name}: {what}" for what in found]


def _header(network: Network, root: bytes, number: int) -> BlockHeader:
    return network.spec.genesis.header(root).with_changes(
        number=number, timestamp=1_000 + number, coinbase=network.coinbase, base_fee=network.base_fee,
        mix_hash=keccak256(b"mix %d" % number),
    )  # fmt: skip


def _block(
    scenario: Scenario, header: BlockHeader, transactions: list[Transaction]
) -> tuple[ExecutedBlock | None, list[str]]:
    """The block if it can be executed, and what differs."""
    block, noted = (scenario.root, header, transactions, hash_of), scenario.errors.count
    expected = _outcome(lambda: scenario.python.execute(*block))
    found = _outcome(lambda: scenario.native.execute(*block))
    scenario.count.blocks += 1
    # The native engine asks py-evm about a block that its library refuses, and says the same then.
    if scenario.errors.count > noted:
        return None, [f"{_shown(expected)}, and the library says otherwise"]
    if not isinstance(expected, ExecutedBlock) or not isinstance(found, ExecutedBlock):
        return None, [] if expected == found else [f"{_shown(expected)} and {_shown(found)}"]
    if found.executed_by == NATIVE:
        scenario.count.transactions += len(transactions)
    unlike = _fields(expected, found, ignored=("nodes", "executed_by"))
    if not unlike and _reachable(expected, scenario.store) != _reachable(found, scenario.store):
        unlike = ["the new nodes of the state differ"]
    return expected, unlike


def _built(
    scenario: Scenario, header: BlockHeader, transactions: list[Transaction]
) -> tuple[list[Transaction], list[str]]:
    """The transactions that a block in the making takes, and what the engines say differently about it."""
    expected, found = (
        _said(engine, scenario.root, header, transactions) for engine in (scenario.python, scenario.native)
    )
    unlike = [f"{left} and {right}" for left, right in zip(expected[:-1], found[:-1], strict=True) if left != right]
    unlike += _fields(expected[-1], found[-1], ignored=("nodes", "executed_by"))
    # What is said of a transaction is a receipt, or an error.
    said = zip(transactions, expected[:-1:2], strict=True)
    accepted = [transaction for transaction, answer in said if isinstance(answer, Receipt)]
    scenario.count.refused += len(transactions) - len(accepted)
    return accepted, unlike


def _said(engine: ExecutionEngine, root: bytes, header: BlockHeader, transactions: list[Transaction]) -> list[Any]:
    """What an open block says to each transaction, the gas that it has left then, and what it comes to."""
    block = engine.open_block(root, header, hash_of, within_limits=True)
    said: list[Any] = []
    for transaction in transactions:
        said.append(_outcome(lambda: block.add(transaction, recover_sender(transaction))))  # noqa: B023 - called at once
        said.append(block.gas_left)
    return [*said, block.close()]


def _traces(scenario: Scenario, header: BlockHeader, transactions: list[Transaction], number: int) -> list[str]:
    block = BlockToTrace(scenario.root, header, transactions)
    unlike, traces, recorded = unlike_traces(scenario.python, scenario.native, block, hash_of)
    scenario.count.traces += traces
    scenario.count.recorded += recorded
    return [f"block {number}: {what}" for what in unlike]


def _calls(scenario: Scenario, header: BlockHeader) -> list[str]:
    found = []
    for _ in range(3):
        call = _call(scenario.rng)
        found += [f"{call}: {what}" for what in _unlike_call(scenario, header, call)]
        scenario.count.calls += 1
    return found


def _unlike_call(scenario: Scenario, header: BlockHeader, call: CallRequest) -> list[str]:
    scenario.errors.last = None
    expected, found = (
        _outcome(lambda: engine.call(scenario.root, header, call, hash_of))  # noqa: B023 - called at once
        for engine in (scenario.python, scenario.native)
    )
    if isinstance(expected, CallResult) and isinstance(scenario.errors.last, native_library().RefusedError):
        return [f"{_shown(expected)}, and the library refuses it: {scenario.errors.last}"]
    if not isinstance(expected, CallResult) or not isinstance(found, CallResult):
        return [] if expected == found else [f"{_shown(expected)} and {_shown(found)}"]
    return [
        f"{name}: {_shown(getattr(expected, name))} and {_shown(getattr(found, name))}"
        for name in differing_call_fields(expected, found)
    ]


def _call(rng: random.Random) -> CallRequest:
    programs = Programs(rng, (*CONTRACTS, *(key.address for key in KEYS), NOBODY))
    to = rng.choice((*CONTRACTS, programs.address(), None))
    overrides: Overrides = ()
    if rng.random() < 0.3:
        storage = tuple((slot, rng.randrange(3)) for slot in range(SLOTS) if rng.random() < 0.5)
        code = programs.program() if rng.random() < 0.5 else None
        override = AccountOverride(rng.choice((None, 10**18)), None, code, storage, rng.random() < 0.3)
        overrides = ((rng.choice((*CONTRACTS, NOBODY)), override),)
    return CallRequest(
        sender=rng.choice((KEYS[0].address, KEYS[3].address, bytes(20), CONTRACTS[1])),
        to=to,
        gas=rng.choice((None, 21_000, 60_000, 60_000, 200_000, 200_000, 500_000)),
        gas_price=rng.choice((None, None, 7, 20)),
        value=rng.choice((0, 0, 0, 1, 10**30)),
        data=programs.init_code() if to is None else rng.randbytes(rng.choice((0, 4, 40))),
        nonce=rng.choice((None, None, None, 7)),
        overrides=overrides,
        allow_exceeding_balance=rng.random() < 0.7,
        deadline=time.monotonic() + 3_600 if rng.random() < 0.5 else None,
    )


def _outcome(execute: Callable[[], Any]) -> Any:
    """What it gives, or the type and the text of the error with which an engine refuses it."""
    try:
        return execute()
    except (TransactionRejectedError, ExecutionError, ExecutionInterruptedError, CallLimitExceededError) as error:
        return type(error).__name__, str(error), getattr(error, "reason", None)


def _fields(expected: Any, found: Any, ignored: tuple[str, ...]) -> list[str]:
    names = [each.name for each in fields(expected) if each.name not in ignored]
    pairs = [(name, getattr(expected, name), getattr(found, name)) for name in names]
    return [f"{name}: {_shown(left)} and {_shown(right)}" for name, left, right in pairs if left != right]


def _shown(value: Any) -> str:
    return repr(value)[:600]


def _reachable(executed: ExecutedBlock, store: dict[bytes, bytes]) -> set[bytes]:
    """Hashes of the nodes and codes of the state that are not in `store`. MissingNodeError if one is nowhere."""
    found: set[bytes] = set()
    _walk(executed.state_root, executed.nodes, store, found, is_account=True)
    return found


def _walk(
    root: bytes, nodes: dict[bytes, bytes], store: dict[bytes, bytes], found: set[bytes], is_account: bool
) -> None:
    if root in (EMPTY_TRIE_ROOT, EMPTY_KECCAK) or root in store or root in found:
        return
    if root not in nodes:
        raise MissingNodeError(f"0x{root.hex()} is not among the new nodes")
    found.add(root)
    _walk_node(rlp.decode(nodes[root]), nodes, store, found, is_account)


def _walk_node(
    node: Any, nodes: dict[bytes, bytes], store: dict[bytes, bytes], found: set[bytes], is_account: bool
) -> None:
    if len(node) == 2 and node[0][0] & 0x20:
        if is_account:
            account = rlp.decode(node[1])
            _walk(account[2], nodes, store, found, is_account=False)  # type: ignore[arg-type]
            code = account[3]
            if code != EMPTY_KECCAK and code not in store:
                assert code in nodes, f"code 0x{bytes(code).hex()} is nowhere"  # type: ignore[arg-type]
                found.add(code)
        return
    for child in node[1:] if len(node) == 2 else node[:16]:
        if isinstance(child, list):
            _walk_node(child, nodes, store, found, is_account)
        elif child:
            _walk(child, nodes, store, found, is_account)
