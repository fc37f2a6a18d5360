"""A prepared block: a validator that has it must show it in every round change for the rest of the height."""

from dataclasses import dataclass

from lacnode.consensus.ibft2.payloads import PreparedCertificate
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpFields


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with the proof that a quorum prepared it in round `round`."""

    certificate: PreparedCertificate
    block: Block

    @property
    def round(self) -> int:
        return self.certificate.round

    @property
    def height(self) -> int:
        return self.block.number

    def encode(self) -> bytes:
        """Encode for the journal. A prepared block is never sent in this form."""
        return rlp.list_of_encoded(rlp.encode(self.certificate.fields()), self.block.encode())

    @classmethod
    def decode(cls, data: bytes) -> "PreparedBlock":
        """Decode the bytes that `encode` made. Raises RlpError if they are not a prepared block."""
        fields = RlpFields(rlp.decode_list(data, "preparedBlock"), "preparedBlock")
        # The signatures are recovered, but the quorum is not counted again: the journal holds only checked certificates.
        prepared = cls(PreparedCertificate.from_item(fields.item("certificate")), Block.from_item(fields.item("block")))
        fields.end()
        return prepared
