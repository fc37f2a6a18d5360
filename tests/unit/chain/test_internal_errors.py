"""A fault of the engine that no rule expects: the transaction goes, the block is refused, and the node goes on."""

from typing import Any

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.evm import py_evm_block
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.evm.precompiles.blake2f import MAX_IN_PROCESS_ROUNDS
from lacnode.evm.rejection import RejectionReason
from lacnode.permissioning.account_permissions import AccountPermissions
from lacnode.permissioning.contract_reader import StateUnavailableError
from lacnode.storage.storage_errors import StorageCorruptError, StorageError
from tests.support.chain_network import network, sealed
from tests.support.chain_transactions import Offer, transaction

FAULTY = b"\xfa" * 20
"""Transactions to this address meet the error."""


def fail_at_faulty(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = py_evm_block.run_valid_transaction

    def run(state: Any, evm_transaction: Any) -> Any:
        computation = real(state, evm_transaction)
        if evm_transaction.to == FAULTY:
            raise error
        return computation

    monkeypatch.setattr(py_evm_block, "run_valid_transaction", run)


def test_a_builder_drops_the_transaction_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [Offer(transaction(0)), Offer(transaction(1, FAULTY)), Offer(transaction(1))]
    with monkeypatch.context() as patch:
        fail_at_faulty(patch, ValueError("a value that the engine did not expect"))
        block = network().build(offers)
    assert [offer.verdict for offer in offers] == ["included", RejectionReason.INTERNAL_ERROR, "included"]
    # Nothing of the transaction is left in the state: a node without the fault finds the same roots.
    network().chain.check_proposal(block)


def test_a_block_is_refused_until_the_fault_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    block, net = network().build([Offer(transaction(0, FAULTY))]), network()
    with monkeypatch.context() as patch:
        fail_at_faulty(patch, RecursionError("deeper than expected"))
        with pytest.raises(BlockRefusedError, match="deeper than expected") as refused:
            net.chain.check_proposal(block)
        assert refused.value.rule == "internal-error"
        with pytest.raises(BlockRefusedError, match="deeper than expected"):
            net.chain.import_block(sealed(block, net.chain))
    assert net.chain.head.header.number == 0
    assert net.chain.import_block(sealed(block, net.chain))


@pytest.mark.parametrize("error", [MissingNodeError("trie node 0x11 is missing"), StorageError("the disk failed")])
def test_a_fault_of_the_storage_judges_no_block(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    offer = Offer(transaction(0, FAULTY))
    block = network().build([offer])
    net = network()
    fail_at_faulty(monkeypatch, error)
    with pytest.raises(type(error)):
        net.chain.check_proposal(block)
    again = Offer(transaction(0, FAULTY))
    with pytest.raises(type(error)):
        net.build([again])
    assert again.verdict is None


def test_a_state_that_the_rules_cannot_read_judges_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract may permit the sender on nodes that have the whole state."""
    block, net = network().build([Offer(transaction(0))]), network()

    def fail(*arguments: object) -> None:
        raise StateUnavailableError("cannot be read: trie node 0x11 is missing")

    with monkeypatch.context() as patch:
        patch.setattr(AccountPermissions, "may_be_in_block", fail)
        with pytest.raises(StorageCorruptError, match="senders of block 1: the state before it cannot be read"):
            net.chain.check_proposal(block)
    net.chain.check_proposal(block)


def test_a_node_that_can_start_no_process_judges_blocks_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A precompile that runs long has a process of its own. Whether there is room for one says nothing of the block."""
    blake2f = (MAX_IN_PROCESS_ROUNDS + 1).to_bytes(4) + bytes(208) + b"\1"
    long = transaction(0, (9).to_bytes(20), 1_000_000, blake2f)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    block = network().build([Offer(long)])
    with monkeypatch.context() as patch:
        patch.setattr("lacnode.evm.precompiles.apart.subprocess.Popen", refuse)
        network().chain.check_proposal(block)
        offer = Offer(long)
        assert network().build([offer]) == block
    assert offer.verdict == "included"
