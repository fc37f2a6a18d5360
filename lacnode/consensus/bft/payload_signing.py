"""Signing a payload with a validator's key."""

from dataclasses import replace

from lacnode.consensus.bft.payloads import CommitPayload, Payload, SignedPayload
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.crypto.node_identity import Signer


def sign_payload(protocol: BftProtocol, payload: Payload, signer: Signer) -> SignedPayload[Payload]:
    """Sign `payload` with the key of `signer`, and block until it answers. The journal is not asked here. A commit without
    a seal gets its seal first. Raises SignerUnavailableError if the key does not answer.
    """
    # The journal admits a commit without its seal: the seal may exist only after the record is on disk.
    if isinstance(payload, CommitPayload) and payload.seal is None:
        digest = payload.digest if payload.seal_digest is None else payload.seal_digest
        payload = replace(payload, seal=signer.sign(digest))
    return SignedPayload(payload, signer.sign(protocol.codec.signature_hash(payload)), signer.address)
