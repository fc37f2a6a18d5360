"""A validator that passes on the messages of others with another body, and is faster than their authors.

Only the digest of a block is signed, so every check of a signature holds. Without the comparison of body and header the
block of every round is lost: the proposer's own copy comes second and is ignored.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.consensus.bft.messages import Proposal, RoundChange
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction
from tests.simulation.campaign import recovery_bound_ms
from tests.simulation.network import SimulatedNetwork
from tests.simulation.play import simulated
from tests.simulation.stage import all_prepared, every, keeping_back, must_reach, started
from tests.support.ibft2_blocks import with_seals

LIAR = 3
SLOW_MS = 100
"""How much later than the liar's copies those of the authors arrive."""

FIELDS = [b"", b"", rlp.encode_scalar(21_000), bytes(20), rlp.encode_scalar(1), b""]
TRANSACTION = Transaction.decode(encode_signed_transaction(LEGACY, FIELDS, 27, 1, 1))


def one_transaction_more(block: Block) -> Block:
    return Block(block.header, BlockBody((*block.body.transactions, TRANSACTION)))


def an_ommer_more(block: Block) -> Block:
    return Block(block.header, BlockBody(block.body.transactions, (block.header,)))


def seals_of_nobody(block: Block) -> Block:
    return with_seals(block, (bytes(31) + b"\1" + bytes(31) + b"\1\0",))


FALSE = [one_transaction_more, an_ommer_more, seals_of_nobody]


def swap_blocks(network: SimulatedNetwork, change: Callable[[Block], Block]) -> None:
    """From now on the liar passes on every block `change`d, and blocks of the others reach the rest later than that."""
    liar = network.addresses[LIAR]

    def slow(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        if network.wire.kind(code) not in (MessageKind.PROPOSAL, MessageKind.ROUND_CHANGE):
            return False
        network.transmit(source, code, data, recipients & {liar})
        network.clock.after(SLOW_MS, lambda: network.transmit(source, code, data, recipients - {liar}))
        return True

    def lie(source: int, code: int, data: bytes, recipients: frozenset[bytes]) -> bool:
        message = network.wire.read(code, data)
        if not isinstance(message, Proposal | RoundChange) or message.signed.author == liar or message.block is None:
            return False
        network.transmit(source, *network.wire.write(replace(message, block=change(message.block))), recipients)
        return True

    every(network, slow)
    network.interceptors[LIAR] = lie
    network.byzantine = network.byzantine | {LIAR}


def rounds(network: SimulatedNetwork) -> list[int]:
    """In which round each block was agreed on."""
    blocks = network.nodes[0].disk.ledger.blocks[1:]
    return [network.rules.protocols.extra_data(block.header).round for block in blocks]


@pytest.mark.parametrize("change", FALSE)
@simulated
async def test_no_round_is_lost_to_a_swapped_block(change: Callable[[Block], Block]) -> None:
    network = started(4)
    swap_blocks(network, change)
    await must_reach(network, 8, 30_000)
    assert rounds(network)[:8] == [0] * 8


@pytest.mark.parametrize("change", FALSE)
@simulated
async def test_no_second_round_is_lost_to_a_swapped_block_in_a_round_change(change: Callable[[Block], Block]) -> None:
    """All have prepared block 2 and must show it in their round changes, which the liar swaps. The next proposer, node 2,
    needs the round change of one of them."""
    network = started(4)
    await must_reach(network, 1, 20_000)
    every(network, keeping_back(network, MessageKind.COMMIT, 2, 0))
    assert await network.run_until(all_prepared(network, 2), 10_000)
    swap_blocks(network, change)
    await must_reach(network, 2, recovery_bound_ms(network))
    assert rounds(network)[1] == 1
