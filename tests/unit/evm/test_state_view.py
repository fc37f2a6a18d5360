"""The accounts of one state, asked for many times: each is read once from the store, and few are kept in memory."""

import pytest

from lacnode.chainspec.spec import GenesisAccount
from lacnode.evm import py_evm_engine
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.py_evm_engine import PyEvmEngine
from tests.support.rpc_chain import FREE, node

ADDRESSES = [bytes([number]) * 20 for number in range(1, 9)]


class CountedNodes:
    """A store that counts what it is asked for."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self.nodes.get(key)


def opened() -> tuple[PyEvmEngine, CountedNodes, list[bytes]]:
    """An engine, its store, and the roots of two states: the second one has a wei more in each account."""
    store, roots = CountedNodes(), []
    engine = PyEvmEngine(node(FREE).chain.spec, store)
    for more in (0, 1):
        first = [GenesisAccount(address, address[0] + more, 0, b"", ()) for address in ADDRESSES]
        root, nodes = engine.initial_state(first)
        store.nodes.update(nodes)
        roots.append(root)
    return engine, store, roots


def test_an_account_is_read_once_for_a_state() -> None:
    engine, store, (root, other) = opened()
    first = ADDRESSES[0]
    assert engine.accounts(root).balance(first) == 1
    reads = store.reads
    view = engine.accounts(root)
    assert (view.balance(first), view.nonce(first), view.code(first), view.exists(first)) == (1, 0, b"", True)
    assert store.reads == reads
    assert engine.accounts(other).balance(first) == 2
    assert engine.accounts(root).balance(first) == 1


def test_the_memory_is_bounded_and_answers_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_evm_engine, "MAX_REMEMBERED_ACCOUNTS", 3)
    engine, _, (root, _) = opened()
    view = engine.accounts(root)
    for _ in range(2):
        assert [view.balance(address) for address in ADDRESSES] == [address[0] for address in ADDRESSES]
        assert not view.exists(bytes(20))
        assert len(view._remembered) <= 3


def test_a_node_that_was_missing_is_asked_for_again() -> None:
    engine, store, (root, _) = opened()
    node_of_root = store.nodes.pop(root)
    view = engine.accounts(root)
    with pytest.raises(MissingNodeError):
        view.balance(ADDRESSES[0])
    store.nodes[root] = node_of_root
    assert view.balance(ADDRESSES[0]) == 1
