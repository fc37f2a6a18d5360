"""The parts of a message that its author does not sign, so that any peer that passes it on can change them.

A proposal and a round change sign the digest of a block: its header without the seals. The header names the body by
roots. So the body is compared with the header before anything is made of the message: another body is the fault of the
peer that brought it, not of the author, and the true copy must still be taken. Seals have no meaning before the block is
agreed on, and are removed. The certificate of a proposal is judged in `validation`.
"""

from dataclasses import replace

from lacnode.consensus.block_hash import with_seals
from lacnode.consensus.extra_data import ExtraData
from lacnode.consensus.ibft_messages import Message, Proposal, RoundChange
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root


class BodyMismatchError(Exception):
    """The body is not the one that the header names; the text says which part."""


def check_message(message: Message) -> Message:
    """`message` without seals in its block. BodyMismatchError if the block has the body of another header, RlpError if
    its extra data is not IBFT 2.0's."""
    if not isinstance(message, Proposal | RoundChange) or message.block is None:
        return message
    block = message.block
    if ExtraData.decode(block.header.extra_data).seals:
        block = with_seals(block, ())
    check_body_matches(block)
    return message if block is message.block else replace(message, block=block)


def check_body_matches(block: Block) -> None:
    """BodyMismatchError unless the header names exactly this body. Whether the block is valid is another question."""
    header, body = block.header, block.body
    if keccak256(rlp.encode([ommer.fields() for ommer in body.ommers])) != header.ommers_hash:
        raise BodyMismatchError("the ommers are not those of the header")
    if ordered_root([transaction.raw for transaction in body.transactions]) != header.transactions_root:
        raise BodyMismatchError("the transactions are not those of the header")
    withdrawals_root = None if body.withdrawals is None else ordered_root(body.withdrawals)
    if withdrawals_root != header.withdrawals_root:
        raise BodyMismatchError("the withdrawals are not those of the header")
