"""A prepared block: what a validator is bound to propose again for the rest of its height."""

from dataclasses import dataclass

from lacnode.consensus.ibft_payloads import PreparedCertificate
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpFields


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block with the proof that a quorum prepared it in `round`."""

    certificate: PreparedCertificate
    block: Block

    @property
    def round(self) -> int:
        return self.certificate.round

    @property
    def height(self) -> int:
        return self.block.number

    def encode(self) -> bytes:
        """For the journal; it never travels in this form."""
        return rlp.encode([self.certificate.fields(), self.block.fields()])

    @classmethod
    def decode(cls, data: bytes) -> "PreparedBlock":
        fields = RlpFields(rlp.decode_list(data, "preparedBlock"), "preparedBlock")
        prepared = cls(PreparedCertificate.from_item(fields.item("certificate")), Block.from_item(fields.item("block")))
        fields.end()
        return prepared
