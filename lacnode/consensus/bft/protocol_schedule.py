"""Which protocol makes the blocks of which height."""

from bisect import bisect_right

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.primitives.header import BlockHeader


class ProtocolSchedule:
    """The protocol from each height on. `steps` is ascending, and its first height is 0."""

    def __init__(self, steps: tuple[tuple[int, BftProtocol], ...]) -> None:
        self.steps = steps
        self._by_code = {protocol.codec.code(kind): protocol for _, protocol in steps for kind in MessageKind}

    def at(self, height: int) -> BftProtocol:
        """The protocol that agrees on block `height`."""
        return self.steps[max(0, bisect_right(self.steps, height, key=lambda step: step[0]) - 1)][1]

    def of_code(self, code: int, height: int) -> BftProtocol:
        """The protocol that has a message with this code, or else the one of `height`.

        A message for a later height may come before the protocol of that height has begun.
        """
        return self._by_code.get(code) or self.at(height)

    def block_hash(self, header: BlockHeader) -> bytes:
        """The hash (32 bytes) of a block by the protocol of its height. Raises RlpError if the extra data is malformed."""
        return self.at(header.number).block_hash(header)

    def extra_data(self, header: BlockHeader) -> ExtraData:
        """The decoded extra data of a header. Raises RlpError if it is malformed."""
        return self.at(header.number).decode_extra_data(header.extra_data)
