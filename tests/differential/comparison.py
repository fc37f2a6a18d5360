"""One seed on both engines: blocks executed whole, blocks built transaction by transaction, and calls."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.crypto.secp256k1 import recover_sender
from lacnode.evm.call_differences import unlike_call_fields
from lacnode.evm.engine import CallRequest, ExecutedBlock, ExecutionEngine
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.native_engine import NativeEngine
from lacnode.evm.overrides import AccountOverride, Overrides
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.tracer import BlockToTrace
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_KECCAK, EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.transaction import Transaction
from tests.differential.programs import SLOTS, Programs
from tests.differential.scenarios import CONTRACTS, KEYS, NOBODY, Network, Senders, random_network
from tests.differential.traces import unlike_traces

BLOCKS = 3
"""Blocks of one seed, each on the one before."""


@dataclass(slots=True)
class Count:
    """What was compared."""

    blocks: int = 0
    transactions: int = 0
    calls: int = 0
    natively: int = 0
    """Blocks that the native library executed itself."""
    traces: int = 0
    recorded: int = 0
    """Traces that the native library recorded itself."""


def hash_of(number: int) -> bytes:
    """The hash of the block `number`."""
    return keccak256(b"ancestor %d" % number)


def differences(seed: int, count: Count, fork: Fork | None = None, *, traces_too: bool = True) -> list[str]:
    """What the engines say differently in the scenario of `seed`; empty if nothing. Traces take most of the time."""
    rng = random.Random(seed)
    network = random_network(rng, fork)
    store: dict[bytes, bytes] = {}
    python, native = PyEvmEngine(network.spec, store), NativeEngine(network.spec, store)
    root, nodes = python.initial_state(network.accounts)
    store.update(nodes)
    senders = Senders(rng, network)
    found: list[str] = []
    for number in range(300, 300 + BLOCKS):
        header = _header(network, root, number)
        found += _calls(rng, python, native, root, header, count)
        transactions = [senders.transaction() for _ in range(rng.randrange(1, 7))]
        executed, wrong = _block(python, native, root, header, transactions, store, count)
        found += [f"block {number}: {what}" for what in wrong]
        if traces_too:
            unlike, traces, recorded = unlike_traces(python, native, BlockToTrace(root, header, transactions), hash_of)
            found += [f"block {number}: {what}" for what in unlike]
            count.traces += traces
            count.recorded += recorded
        built = _built(python, root, header, transactions)
        found += [
            f"open block {number}: {what}" for what in _unequal(built, _built(native, root, header, transactions))
        ]
        state = executed if executed is not None else built[-1]
        store.update(state.nodes)
        root = state.state_root
        if found:
            break
    return [f"seed {seed}, {network.fork.name}: {what}" for what in found]


def _header(network: Network, root: bytes, number: int) -> BlockHeader:
    return network.spec.genesis.header(root).with_changes(
        number=number, timestamp=1_000 + number, coinbase=network.coinbase, base_fee=network.base_fee,
        mix_hash=keccak256(b"mix %d" % number),
    )  # fmt: skip


def _block(
    python: PyEvmEngine,
    native: NativeEngine,
    root: bytes,
    header: BlockHeader,
    transactions: list[Transaction],
    store: dict[bytes, bytes],
    count: Count,
) -> tuple[ExecutedBlock | None, list[str]]:
    """The block if it can be executed, and what differs."""
    expected = _outcome(lambda: python.execute(root, header, transactions, hash_of))
    found = _outcome(lambda: native.execute(root, header, transactions, hash_of))
    count.blocks += 1
    count.transactions += len(transactions)
    if not isinstance(expected, ExecutedBlock) or not isinstance(found, ExecutedBlock):
        return None, [] if expected == found else [f"{expected} and {found}"]
    count.natively += found.executed_by == native.name
    wrong = _fields(expected, found, ignored=("nodes", "executed_by"))
    if not wrong and _reachable(expected, store) != _reachable(found, store):
        wrong = ["the new nodes of the state differ"]
    return expected, wrong


def _built(engine: ExecutionEngine, root: bytes, header: BlockHeader, transactions: list[Transaction]) -> list[Any]:
    """What an open block says to each transaction, and what it comes to."""
    block = engine.open_block(root, header, hash_of, within_limits=True)
    said: list[Any] = []
    for transaction in transactions:
        said.append(_outcome(lambda: block.add(transaction, recover_sender(transaction))))  # noqa: B023 - called at once
        said.append(block.gas_left)
    return [*said, block.close()]


def _unequal(expected: list[Any], found: list[Any]) -> list[str]:
    wrong = [f"{left} and {right}" for left, right in zip(expected[:-1], found[:-1], strict=True) if left != right]
    return wrong + _fields(expected[-1], found[-1], ignored=("nodes", "executed_by"))


def _calls(
    rng: random.Random, python: PyEvmEngine, native: NativeEngine, root: bytes, header: BlockHeader, count: Count
) -> list[str]:
    found = []
    for _ in range(3):
        call = _call(rng)
        expected = _outcome(lambda: python.call(root, header, call, hash_of))  # noqa: B023 - called at once
        given = _outcome(lambda: native.call(root, header, call, hash_of))  # noqa: B023
        count.calls += 1
        if type(expected) is not type(given):
            found.append(f"{call}: {expected} and {given}")
        elif isinstance(expected, tuple):
            found += [] if expected == given else [f"{call}: {expected} and {given}"]
        else:
            unlike = unlike_call_fields(expected, given)
            pairs = [f"{name}: {_shown(getattr(expected, name))} and {_shown(getattr(given, name))}" for name in unlike]
            found += [f"{call}: {pair}" for pair in pairs]
    return found


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
        gas=rng.choice((None, 21_000, 60_000, 500_000, 5_000_000)),
        gas_price=rng.choice((None, None, 7, 20)),
        value=rng.choice((0, 0, 0, 1, 10**30)),
        data=programs.init_code() if to is None else rng.randbytes(rng.choice((0, 4, 40))),
        nonce=rng.choice((None, None, None, 7)),
        overrides=overrides,
        allow_exceeding_balance=rng.random() < 0.7,
        deadline=time.monotonic() + 3_600 if rng.random() < 0.5 else None,
    )


def _outcome(execute: Callable[[], Any]) -> Any:
    """What it gives, or the type and the text of its error."""
    try:
        return execute()
    except Exception as error:
        return type(error).__name__, str(error), getattr(error, "reason", None)


def _fields(expected: Any, found: Any, ignored: tuple[str, ...]) -> list[str]:
    names = [field.name for field in fields(expected) if field.name not in ignored]
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
