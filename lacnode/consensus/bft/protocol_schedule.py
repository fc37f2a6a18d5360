"""Which protocol makes the blocks of which height."""

from bisect import bisect_right
from dataclasses import replace

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError


class OtherProtocolError(RlpError):
    """A block has the extra data of a protocol that does not make this block. The text names block and protocols."""


class ProtocolSchedule:
    """The protocol from each height on. `steps` are pairs of a first height and its protocol, ascending. The first
    height is 0.

    `known` are all protocols of the node, also those that this chain does not use. They are named in errors.
    """

    def __init__(
        self, steps: tuple[tuple[int, BftProtocol], ...], known: tuple[BftProtocol, ...] | None = None
    ) -> None:
        self.steps = steps
        self._known = known or tuple(protocol for _, protocol in steps)
        self._by_code = {protocol.codec.code(kind): protocol for _, protocol in steps for kind in MessageKind}

    def protocol_at(self, height: int) -> BftProtocol:
        """The protocol that agrees on block `height`."""
        return self.steps[max(0, bisect_right(self.steps, height, key=lambda step: step[0]) - 1)][1]

    def protocol_of_code(self, code: int, height: int) -> BftProtocol:
        """The protocol that has a message with this code, or else the one of `height`.

        A message for a later height may come before the protocol of that height has begun.
        """
        return self._by_code.get(code) or self.protocol_at(height)

    def block_hash(self, header: BlockHeader) -> bytes:
        """The hash (32 bytes) of a block by the protocol of its height. Raises RlpError if that protocol cannot decode
        the extra data. The error is an OtherProtocolError if another known protocol can.
        """
        try:
            return self.protocol_at(header.number).block_hash(header)
        except RlpError as error:
            raise self._named(header, error) from None

    def extra_data(self, header: BlockHeader) -> ExtraData:
        """The decoded extra data of a header, by the protocol of its height. Its `vote` is the vote of the header, also
        if the vote stands in other fields (IBFT 1). Raises RlpError if that protocol cannot decode the extra data. The
        error is an OtherProtocolError if another known protocol can.
        """
        protocol = self.protocol_at(header.number)
        try:
            extra = protocol.decode_extra_data(header.extra_data)
        except RlpError as error:
            raise self._named(header, error) from None
        # Not every protocol has the vote in the extra data.
        vote = protocol.headers.vote(header, extra)
        return extra if vote is extra.vote else replace(extra, vote=vote)

    def creator(self, header: BlockHeader) -> bytes:
        """The address (20 bytes) of the validator that created a block: the coinbase, and in IBFT 1 the signer of the
        proposer seal. A validator that proposed a prepared block of another one again does not count. Raises RlpError
        if the header does not say it."""
        return self.protocol_at(header.number).headers.creator(header)

    def execution_header(self, header: BlockHeader) -> BlockHeader:
        """Return `header` with the creator of the block as its coinbase, so that the instruction COINBASE returns the
        creator. Raises RlpError if the header does not say who created the block."""
        creator = self.creator(header)
        return header if creator == header.coinbase else header.with_changes(coinbase=creator)

    def _named(self, header: BlockHeader, error: RlpError) -> RlpError:
        """`error`, or an OtherProtocolError if the extra data is that of another protocol."""
        # A genesis file without the switch of the network, or with another one, is the usual reason.
        own = self.protocol_at(header.number)
        for protocol in self._known:
            if protocol is not own and _has_form(protocol, header.extra_data):
                return OtherProtocolError(
                    f"block {header.number} has the extra data of {protocol.name}, "
                    f"and by the genesis file {own.name} makes this block"
                )
        return error


def _has_form(protocol: BftProtocol, extra_data: bytes) -> bool:
    try:
        protocol.decode_extra_data(extra_data)
    except RlpError:
        return False
    return True
