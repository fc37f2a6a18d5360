"""The parts of a message that its author does not sign. A peer that relays the message can change them.

A proposal and a round change sign the digest of a block: its header without the seals. The header has the roots of the
body. So the header is compared with the digest, and the body with the header, before the message is used. If they differ,
the delivering peer is at fault and not the author, and the true copy must still be accepted. Seals mean nothing before a
block is agreed on, and are removed. The protocol checks the justification of a proposal.
"""

from lacnode.consensus.bft.blocks import with_seals
from lacnode.consensus.bft.messages import Message, Proposal, RoundChange, with_block
from lacnode.consensus.bft.payloads import Payload, SignedPayload
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.crypto.secp256k1 import is_low_s
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.ordered_root import ordered_root, transactions_root


class FalseCopyError(Exception):
    """A part of a message that its author did not sign differs from what the signed part names. The text names the
    part."""


class BodyMismatchError(FalseCopyError):
    """The body is not the one that the header names. The text names the part."""


def check_header_and_strip_seals(protocol: BftProtocol, message: Message) -> Message:
    """Return `message` without the seals in the header of its block, whose body is not decoded yet.

    Raises FalseCopyError if the header is not the one whose digest the author signed, and RlpError if its extra data is
    malformed.
    """
    if not isinstance(message, Proposal | RoundChange) or message.block is None:
        return message
    block = message.block
    # The digest does not cover seals. With foreign seals one block would have many encodings.
    if protocol.decode_extra_data(block.header.extra_data).seals:
        block = with_seals(protocol, block, ())
    if protocol.committed_seal_hash(block.header) != _signed_digest(message):
        raise FalseCopyError("the digest is not that of the block")
    return message if block is message.block else with_block(message, block)


def justification_has_high_s(message: Message) -> bool:
    """Whether a signature in the justification of the proposal `message` has a high s. Any peer can make the high s of
    a low one. False for messages other than proposals."""
    if not isinstance(message, Proposal):
        return False
    shown: list[SignedPayload[Payload]] = [*message.justification.prepares]
    for round_change in message.justification.round_changes or ():
        shown.append(round_change)
        certificate = round_change.payload.certificate
        if certificate is not None:
            shown += [*certificate.prepares, *filter(None, [certificate.proposal])]
    return not all(is_low_s(signed.signature) for signed in shown)


def check_body(message: Message) -> None:
    """Raises BodyMismatchError if the block of `message` has the body of another header. A message without a block is
    accepted.
    """
    if isinstance(message, Proposal | RoundChange) and message.block is not None:
        check_body_matches(message.block)


def _signed_digest(message: Proposal | RoundChange) -> bytes | None:
    """The digest (32 bytes) that the author signed. None if a round change shows a block without a certificate."""
    if isinstance(message, Proposal):
        return message.signed.payload.digest
    certificate = message.signed.payload.certificate
    return None if certificate is None else certificate.digest


def check_body_matches(block: Block) -> None:
    """Raises BodyMismatchError unless the header names exactly this body. The validity of the block is not checked."""
    header, body = block.header, block.body
    # All parts are compared. A part that is not could be filled with megabytes by a relaying peer.
    if keccak256(rlp.encode([ommer.fields() for ommer in body.ommers])) != header.ommers_hash:
        raise BodyMismatchError("the ommers are not those of the header")
    if transactions_root(body.transactions) != header.transactions_root:
        raise BodyMismatchError("the transactions are not those of the header")
    # Before Shanghai both are None. A body with withdrawals under such a header is a false body.
    withdrawals_root = None if body.withdrawals is None else ordered_root(body.withdrawals)
    if withdrawals_root != header.withdrawals_root:
        raise BodyMismatchError("the withdrawals are not those of the header")
