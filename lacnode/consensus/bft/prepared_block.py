"""A prepared block: a validator that has it must show it in every round change for the rest of the height."""

from dataclasses import dataclass

from lacnode.consensus.bft.payloads import PreparedCertificate
from lacnode.primitives.block import Block


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with the proof that a quorum prepared it in round `round`."""

    certificate: PreparedCertificate
    block: Block

    @property
    def round(self) -> int:
        return self.certificate.round

    @property
    def digest(self) -> bytes:
        """The digest (32 bytes) that the prepares name."""
        return self.certificate.digest

    @property
    def height(self) -> int:
        return self.block.number
