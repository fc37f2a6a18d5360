"""Watches one validator sign: what it signs was admitted by its journal, and is on its disk before it is signed."""

from collections.abc import Callable
from dataclasses import replace

import coincurve

from lacnode.consensus.bft.journal import Journal
from lacnode.consensus.bft.payloads import CommitPayload, Payload, SignedPayload
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.crypto.node_key import NodeKey
from tests.simulation.invariants import Broken


class WatchedSigner:
    """Signs as `NodeKey` does. `touched("sign")` is called before every signature, `signed` with every payload, and
    `is_durable(record)` is asked of its record."""

    def __init__(
        self,
        key: NodeKey,
        protocols: ProtocolSchedule,
        touched: Callable[[str], None],
        signed: Callable[[SignedPayload[Payload]], None],
        is_durable: Callable[[bytes], bool],
    ) -> None:
        self.address = key.address
        self._protocols = protocols
        self._key = coincurve.PrivateKey(key.private_key)
        self._touched = touched
        self._signed = signed
        self._is_durable = is_durable
        self._admitted: dict[bytes, tuple[Payload, bytes]] = {}

    def admitted(self, payload: Payload, record: bytes) -> None:
        """The journal lets `payload` be signed."""
        if isinstance(payload, CommitPayload) and payload.seal is None:
            self._admitted[payload.seal_digest or payload.digest] = payload, record
        else:
            self._admitted[self._protocols.protocol_at(payload.round_id.sequence).codec.signature_hash(payload)] = (
                payload,
                record,
            )

    def sign(self, digest: bytes) -> bytes:
        self._touched("sign")
        payload, record = self._admitted.get(digest, (None, b""))
        if payload is None:
            raise Broken(f"0x{self.address.hex()} signs what its journal has not admitted")
        if not self._is_durable(record):
            raise Broken(f"0x{self.address.hex()} signs {payload} before it is on the disk")
        signature = self._key.sign_recoverable(digest, hasher=None)
        if isinstance(payload, CommitPayload) and payload.seal is None:
            self.admitted(replace(payload, seal=signature), record)
        else:
            self._signed(SignedPayload(payload, signature, self.address))
        return signature


def watch(journal: Journal, signer: WatchedSigner) -> None:
    """From now on `signer` knows what `journal` admits."""
    check_and_record = journal.check_and_record

    def watched(payload: Payload) -> bytes:
        record = check_and_record(payload)
        signer.admitted(payload, record)
        return record

    journal.check_and_record = watched  # type: ignore[method-assign]
