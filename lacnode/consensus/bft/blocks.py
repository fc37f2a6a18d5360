"""A block as it changes in consensus: its round and its seals. Both are in the extra data."""

from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.primitives.block import Block


def with_round(protocol: BftProtocol, block: Block, round_: int) -> Block:
    """The same block, proposed in `round_`, without seals. Raises RlpError if the extra data is malformed."""
    # Seals sign the digest of one round. They are worth nothing in another round.
    extra = protocol.decode_extra_data(block.header.extra_data).with_round(round_).with_seals(())
    return block.with_header(block.header.with_changes(extra_data=protocol.encode_extra_data(extra)))


def with_seals(protocol: BftProtocol, block: Block, seals: tuple[bytes, ...]) -> Block:
    """The same block with these seals (65 bytes each). Raises RlpError if the extra data is malformed."""
    # The on-chain hash stays the same, so the sealed block is the block that was proposed.
    extra = protocol.decode_extra_data(block.header.extra_data).with_seals(seals)
    return block.with_header(block.header.with_changes(extra_data=protocol.encode_extra_data(extra)))


def seal_digest(protocol: BftProtocol, block: Block, round_: int) -> bytes:
    """What a commit seal of `round_` signs (32 bytes): the digest of the block with that round.

    It is the digest of the proposal, unless the block was proposed with another round in its extra data. Raises
    RlpError if the extra data is malformed.
    """
    return protocol.committed_seal_hash(with_round(protocol, block, round_).header)
