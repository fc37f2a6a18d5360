"""A prepared block: a validator that has it must show it in every round change for the rest of the height."""

from collections.abc import Sequence
from dataclasses import dataclass

from lacnode.consensus.bft.payloads import PreparedCertificate, RoundChangePayload, SignedPayload
from lacnode.primitives.block import Block


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with the proof that a quorum prepared it in round `round`."""

    certificate: PreparedCertificate
    block: Block

    @property
    def round(self) -> int:
        """The round in which a quorum prepared the block."""
        return self.certificate.round

    @property
    def digest(self) -> bytes:
        """The digest (32 bytes) that the prepares name."""
        return self.certificate.digest

    @property
    def height(self) -> int:
        """The number of the block."""
        return self.block.number


def best_certificate(round_changes: Sequence[SignedPayload[RoundChangePayload]]) -> PreparedCertificate | None:
    """The certificate of the highest prepared round, the first one if several have that round. None if there is none."""
    # The highest round wins: a quorum that prepared a block there has seen that lower rounds committed nothing else.
    certificates = [signed.payload.certificate for signed in round_changes if signed.payload.certificate is not None]
    return max(certificates, key=lambda certificate: certificate.round, default=None)
