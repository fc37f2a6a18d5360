"""IBFT 1 as the core of consensus sees it. It has headers and no messages: this node takes no part in IBFT 1.

The core does not start a height of a protocol that has `can_be_validator` off, so nothing asks for messages to send. A
message that a peer sends is refused.
"""

from typing import NoReturn, cast

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.protocol import JustificationRules, MessageCodec
from lacnode.consensus.ibft1 import block_hash, extra_data
from lacnode.consensus.ibft1.headers import Ibft1HeaderForm
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError

MESSAGE_CODE = 0x11
"""The code of all messages of IBFT 1."""

NO_PART = "this node takes no part in IBFT 1. Let the network come to QBFT by a transition of the genesis"


class _NoMessages:
    """Both interfaces of messages, `bft.protocol.MessageCodec` and `JustificationRules`, of a protocol without them."""

    def code(self, kind: MessageKind) -> int:
        return MESSAGE_CODE

    def open_message(self, code: int, data: bytes) -> NoReturn:
        raise RlpError(NO_PART)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}: {NO_PART}")


class Ibft1Protocol:
    """IBFT 1 (a `bft.protocol.BftProtocol`). Blocks below height `two_thirds_begins` need 2f+1 seals, later ones
    ceil(2n/3). With None all blocks need 2f+1."""

    name = "ibft1"
    # GoQuorum's nodes speak eth/66 beside this sub-protocol. Its messages go to validators only.
    capability = ("istanbul", 100)
    message_space = 0x16
    can_be_validator = False
    proposer_prepares = True
    first_round_waits_for_block = True
    checks_ommers_and_nonce = True
    codec = cast(MessageCodec, _NoMessages())
    justifications = cast(JustificationRules, _NoMessages())

    def __init__(self, two_thirds_begins: int | None = 0) -> None:
        self.headers = Ibft1HeaderForm(two_thirds_begins)

    def encode_extra_data(self, extra: ExtraData) -> bytes:
        """Encode the vanity and the RLP list of validators, proposer seal and seals, as in a header. Vote and round are
        left out.
        """
        return extra_data.encode_extra_data(extra)

    def decode_extra_data(self, data: bytes) -> ExtraData:
        """Decode the extra data of a header. Raises RlpError if it is not that of IBFT 1."""
        return extra_data.decode_extra_data(data)

    def block_hash(self, header: BlockHeader) -> bytes:
        """The hash (32 bytes) of a block: of its header without the commit seals. That of a genesis block in another
        form than IBFT 1's covers all its fields. Raises RlpError if the extra data of a later block is not that of IBFT
        1.
        """
        return block_hash.on_chain_hash(header)

    def round_in_proposal(self, round_: int, *, prefers_round_zero: bool) -> int:
        """Return `round_`. The extra data of IBFT 1 has no round, and this node proposes no such block."""
        return round_

    def committed_seal_hash(self, header: BlockHeader) -> bytes:
        """The digest (32 bytes) that a commit seal signs. Raises RlpError if the extra data of a later block than the
        genesis is not that of IBFT 1."""
        return block_hash.commit_seal_digest(header)


IBFT1 = Ibft1Protocol()
