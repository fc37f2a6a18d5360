"""The batch trie against the `trie` package, which is py-evm's own."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from lacnode.evm.budget import ExecutionBudget, ExecutionCancelledError
from lacnode.evm.merkle_trie import MissingNodeError, lookup, prove, update
from lacnode.primitives import rlp
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT, keccak256
from lacnode.primitives.ordered_root import ordered_root

KEYS = st.one_of(
    st.binary(min_size=2, max_size=2),
    st.sampled_from([bytes([high, low]) for high in (0, 1, 0x10) for low in (0, 1, 0x10, 0x11)]),
    st.binary(min_size=1, max_size=4),
)
VALUES = st.one_of(st.just(b""), st.binary(min_size=1, max_size=3), st.binary(min_size=30, max_size=70))
BATCHES = st.lists(st.dictionaries(KEYS, VALUES, max_size=12), max_size=6)


@given(BATCHES)
@settings(max_examples=400, deadline=None)
def test_batches_give_the_roots_values_and_proofs_of_the_trie_package(batches: list[dict[bytes, bytes]]) -> None:
    """Keys of several lengths, so that values stand in branches too; empty values delete, present or not."""
    oracle: Any = HexaryTrie({})
    values, store, root = dict[bytes, bytes](), dict[bytes, bytes](), EMPTY_TRIE_ROOT
    for batch in batches:
        values.update(batch)
        for key, value in batch.items():
            oracle.set(key, value) if value else oracle.delete(key)
        root, nodes = update(root, batch, store.get)
        assert all(keccak256(node) == hash_ for hash_, node in nodes.items())
        store.update(nodes)
        assert root == oracle.root_hash
    for key in {*values, b"", b"absent"}:
        assert lookup(root, key, store.get) == values.get(key, b"")
        proof = {keccak256(node): node for node in prove(root, key, store.get)}
        assert lookup(root, key, proof.get) == values.get(key, b""), "a proof is all that is needed"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=300))
@settings(max_examples=50, deadline=None)
def test_ordered_roots_are_those_of_transactions_and_receipts(values: list[bytes]) -> None:
    oracle: Any = HexaryTrie({})
    for index, value in enumerate(values):
        oracle.set(rlp.encode(rlp.encode_scalar(index)), value)
    assert ordered_root(values) == oracle.root_hash


class Counted(ExecutionBudget):
    """A budget that ends at a certain look."""

    def __init__(self, last: float) -> None:
        super().__init__()
        self.looks, self.last = 0, last

    def check(self) -> None:
        self.looks += 1
        if self.looks > self.last:
            raise ExecutionCancelledError


def test_work_on_a_trie_looks_at_its_budget_now_and_then_and_ends_with_it() -> None:
    changes = {keccak256(n.to_bytes(2)): b"v" for n in range(5_000)}
    values = list(changes)
    kinds: list[Callable[[Counted], object]] = [
        lambda budget: update(EMPTY_TRIE_ROOT, changes, dict[bytes, bytes]().get, budget),
        lambda budget: ordered_root(values, budget.check),
    ]
    for work in kinds:
        whole = Counted(math.inf)
        work(whole)
        assert whole.looks >= len(changes) // 1_000
        for last in (0, whole.looks // 2, whole.looks - 1):
            with pytest.raises(ExecutionCancelledError):
                work(Counted(last))


def test_old_roots_stay_readable() -> None:
    store: dict[bytes, bytes] = {}
    first, nodes = update(EMPTY_TRIE_ROOT, {bytes([n]): b"a" * 40 for n in range(50)}, store.get)
    store.update(nodes)
    second, nodes = update(first, {bytes([n]): b"" for n in range(49)}, store.get)
    store.update(nodes)
    assert lookup(first, b"\x07", store.get) == b"a" * 40
    assert lookup(second, b"\x07", store.get) == b""
    assert lookup(second, bytes([49]), store.get) == b"a" * 40


def test_a_missing_node_is_named_and_not_taken_for_nothing() -> None:
    root, _ = update(EMPTY_TRIE_ROOT, {bytes([n]): b"a" * 40 for n in range(50)}, lambda _: None)
    with pytest.raises(MissingNodeError, match=root.hex()):
        lookup(root, b"\x01", lambda _: None)
    with pytest.raises(MissingNodeError):
        update(root, {b"\x01": b""}, lambda _: None)
