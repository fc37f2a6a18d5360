"""Prepared blocks and drafts of proposals as the journal stores them. They are never sent in this form."""

from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.proposal_draft import ProposalDraft
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError, RlpFields
from lacnode.primitives.rlp_spans import split_list


def encode_stored_prepared(protocols: ProtocolSchedule, prepared: PreparedBlock) -> bytes:
    """Encode a block and its certificate as RLP, in the form of the protocol of its height."""
    certificate = protocols.protocol_at(prepared.height).codec.stored_certificate_fields(prepared.certificate)
    return rlp.list_of_encoded(rlp.encode(certificate), prepared.block.encode())


def height_of_stored_prepared(data: bytes) -> int:
    """The number of the block in the bytes that `encode_stored_prepared` made. Only its header is decoded: the whole of a
    full block takes some 0.4 s. Raises RlpError if there is no header."""
    items = split_list(data, 2)
    if items is None or len(items) != 2:
        raise RlpError("preparedBlock: a list of a certificate and a block was expected")
    return BlockHeader.from_item(rlp.decode_first_item(rlp.content_of_first_list(items[1]))).number


def decode_stored_prepared(protocols: ProtocolSchedule, data: bytes) -> PreparedBlock:
    """Decode the bytes that `encode_stored_prepared` made. Signatures are recovered, but the quorum is not counted again.
    Raises RlpError if the bytes are not a prepared block. The error is an OtherProtocolError if the extra data of the
    block is that of another known protocol.
    """
    fields = RlpFields(rlp.decode_list(data, "preparedBlock"), "preparedBlock")
    certificate, block = fields.item("certificate"), Block.from_item(fields.item("block"))
    fields.check_no_fields_left()
    # Before the certificate: if another protocol makes this block now, the error says so.
    protocols.extra_data(block.header)
    # The signatures are recovered, but the quorum is not counted again: the journal holds only checked certificates.
    return PreparedBlock(protocols.protocol_at(block.number).codec.decode_stored_certificate(certificate), block)


def encode_stored_draft(protocols: ProtocolSchedule, draft: ProposalDraft) -> bytes:
    """Encode a draft, which must have its block, as RLP. The digest is left out."""
    assert draft.block is not None
    justification = protocols.protocol_at(draft.block.number).codec.stored_justification_fields(draft.justification)
    return rlp.list_of_encoded(draft.block.encode(), rlp.encode(justification))


def decode_stored_draft(protocols: ProtocolSchedule, data: bytes) -> ProposalDraft:
    """Decode the bytes that `encode_stored_draft` made. Raises RlpError if the bytes are not a draft. The error is an
    OtherProtocolError if the extra data of the block is that of another known protocol.
    """
    fields = RlpFields(rlp.decode_list(data, "draft"), "draft")
    block, justification = Block.from_item(fields.item("block")), fields.item("certificate")
    fields.check_no_fields_left()
    protocol = protocols.protocol_at(block.number)
    # Before the justification: if another protocol makes this block now, the error says so.
    protocols.extra_data(block.header)
    # The digest is not stored: it follows from the header, and a wrong one would be signed after a restart.
    digest = protocol.committed_seal_hash(block.header)
    return ProposalDraft(protocol.codec.decode_stored_justification(justification), block, digest)
