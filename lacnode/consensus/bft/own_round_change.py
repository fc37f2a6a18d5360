"""Makes the own round change: the message by which this validator asks for a round.

The block that goes with it is not signed. It must be the one that the signed payload names: the receivers compare both.
"""

from lacnode.consensus.bft.effects import SignPayload
from lacnode.consensus.bft.messages import RoundChange
from lacnode.consensus.bft.payloads import RoundChangePayload, RoundId, SignedPayload
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.protocol import BftProtocol


class OwnRoundChange:
    """The round change that this validator is signing, if there is one."""

    def __init__(self, protocol: BftProtocol) -> None:
        self._protocol = protocol
        self._prepared: PreparedBlock | None = None

    def request_signature(self, round_id: RoundId, prepared: PreparedBlock | None) -> SignPayload:
        """Return the effect that asks for the signature of a round change to `round_id`. `prepared` is the block of the
        highest round that this validator has seen prepared, or None."""
        # The prepared block must be in it. A quorum of round changes without it would allow a new block, although a
        # quorum may have committed the prepared one. It is kept here, because a later one may be prepared before the
        # signature is there.
        self._prepared = prepared
        return SignPayload(self._protocol.justifications.round_change_payload(round_id, prepared))

    def payload_signed(self, signed: SignedPayload[RoundChangePayload]) -> RoundChange:
        """Return the message to send with the `signed` payload and the prepared block of the last `request_signature`."""
        return self._protocol.justifications.round_change(signed, self._prepared)
