"""The RLPx handshake: auth and ack, in the EIP-8 form and in the fixed-size form before it ("V1"), and the secrets.

Follows devp2p rlpx.md and Besu's `ECIESHandshaker`: the initiator uses EIP-8, and the responder answers in the form of the
auth. Must not know frames: it hands on the bytes behind a handshake packet as `leftover`. One error ends the handshake.
"""

from dataclasses import dataclass
from typing import Protocol

import sha3

from lacnode.crypto.node_identity import NodeIdentity
from lacnode.crypto.secp256k1 import SIGNATURE_BYTES, SignatureError, recover_public_key
from lacnode.p2p.wire.ecies import ECIES_OVERHEAD_BYTES, EciesError, RandomBytes, open_sealed, random_key, seal
from lacnode.p2p.wire.eip8 import decode_first_list
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpFields, RlpValue

HANDSHAKE_VERSION = 4
MAX_HANDSHAKE_BODY_BYTES = 2_048
"""Largest sealed body that this node accepts after the two size bytes, as in go-ethereum. Besu sends at most 583 bytes."""

_OLD_AUTH_BYTES, _OLD_ACK_BYTES = 307, 210
_OLD_FORM_MARK = 4


class HandshakeError(Exception):
    """The other side's packet is malformed, or encrypted for another key.

    The caller closes the connection: no Disconnect can be sent without the secrets.
    """


class MacState(Protocol):
    """A Keccak-256 state that returns its digest and still absorbs further bytes."""

    def update(self, data: bytes, /) -> None:
        """Add `data` to what the MAC covers."""

    def digest(self) -> bytes:
        """Return the hash of all data so far."""

    def copy(self) -> "MacState":
        """Return an independent state that has absorbed the same data. Later data of one does not change the other."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The results of the handshake: 32-byte secrets, and the MAC states before the first frame. Frames do not use
    `token`."""

    aes_secret: bytes
    mac_secret: bytes
    token: bytes
    egress_mac: MacState
    ingress_mac: MacState


@dataclass(frozen=True, slots=True)
class Auth:
    """The decrypted first packet of the RLPx handshake, from the initiator: signature (65 bytes), static public key (64) and
    nonce (32)."""

    signature: bytes
    public_key: bytes
    nonce: bytes

    @classmethod
    def from_plaintext(cls, plaintext: bytes, *, is_pre_eip8: bool) -> "Auth":
        """Read the auth in the decrypted `plaintext`. It has the fixed-size form if `is_pre_eip8`, which is not
        checked. Padding and extra items of the EIP-8 form are ignored. RlpError if it is malformed.
        """
        # The old form: signature 65, hash of the ephemeral key 32, public key 64, nonce 32, and a zero byte.
        if is_pre_eip8:
            return cls(plaintext[:65], plaintext[97:161], plaintext[161:193])
        fields = RlpFields(decode_first_list(plaintext, "auth"), "auth")
        auth = cls(fields.bytes("signature", SIGNATURE_BYTES), fields.bytes("publicKey", 64), fields.bytes("nonce", 32))
        # The version must be there, and any value is accepted (EIP-8).
        fields.bytes("version")
        return auth

    def ephemeral_public_key(self, static_shared: bytes) -> bytes:
        """Return the 64-byte ephemeral key that signed `static_shared XOR nonce`. `static_shared` is the shared secret
        (32 bytes) of the static keys. SignatureError if the signature fits no key."""
        return recover_public_key(_xor(static_shared, self.nonce), self.signature)


@dataclass(frozen=True, slots=True)
class Ack:
    """The decrypted answer of the responder in the RLPx handshake: ephemeral public key (64 bytes) and nonce (32)."""

    ephemeral_public_key: bytes
    nonce: bytes

    @classmethod
    def from_plaintext(cls, plaintext: bytes, *, is_pre_eip8: bool) -> "Ack":
        """Read the ack in the decrypted `plaintext`. It has the fixed-size form if `is_pre_eip8`, which is not checked.
        Padding and extra items of the EIP-8 form are ignored. RlpError if it is malformed.
        """
        if is_pre_eip8:
            return cls(plaintext[:64], plaintext[64:96])
        fields = RlpFields(decode_first_list(plaintext, "ack"), "ack")
        ack = cls(fields.bytes("ephemeralPublicKey", 64), fields.bytes("nonce", 32))
        fields.bytes("version")
        return ack


@dataclass(frozen=True, slots=True)
class Transcript:
    """The inputs of the secrets (devp2p rlpx.md, "Initial Handshake"). `auth` and `ack` are the packets on the wire, with
    their size bytes."""

    ephemeral_shared: bytes
    initiator_nonce: bytes
    responder_nonce: bytes
    auth: bytes
    ack: bytes

    def secrets(self, *, initiator: bool) -> Secrets:
        """Derive the secrets of the initiator or of the responder. The egress state of one side is the ingress state of the
        other."""
        shared = keccak256(self.ephemeral_shared + keccak256(self.responder_nonce + self.initiator_nonce))
        aes_secret = keccak256(self.ephemeral_shared + shared)
        mac_secret = keccak256(self.ephemeral_shared + aes_secret)
        # The packets themselves go into the states: a packet that was altered on the way breaks the first frame.
        from_initiator: MacState = sha3.keccak_256(_xor(mac_secret, self.responder_nonce) + self.auth)
        from_responder: MacState = sha3.keccak_256(_xor(mac_secret, self.initiator_nonce) + self.ack)
        egress, ingress = (from_initiator, from_responder) if initiator else (from_responder, from_initiator)
        return Secrets(aes_secret, mac_secret, keccak256(shared), egress, ingress)


class Initiator:
    """The side that dialled. The caller sends `auth` first, in one write: Besu does not put it together from several reads.
    Then it gives all received bytes to `receive`."""

    def __init__(self, key: NodeIdentity, remote_id: bytes, *, random_bytes: RandomBytes) -> None:
        """`remote_id` is the 64-byte id of the dialled node. HandshakeError if it is no point of the curve."""
        self.remote_id = remote_id
        self.secrets: Secrets | None = None
        self._ephemeral = random_key(random_bytes)
        self._nonce = random_bytes(32)
        try:
            static_shared = key.agree(remote_id)
        except ValueError:
            raise HandshakeError("the node id dialled is no point of the curve") from None
        # The responder recovers the ephemeral key from this signature. The key itself is not in the packet.
        signature = self._ephemeral.sign(_xor(static_shared, self._nonce))
        self.auth = _packet([signature, key.public_key, self._nonce], remote_id, random_bytes)
        self._reader = _PacketReader(key, _OLD_ACK_BYTES)

    @property
    def leftover(self) -> bytes:
        """The bytes received after the ack: the first frames. Besu sends ack and Hello in one segment."""
        return self._reader.leftover

    def receive(self, data: bytes) -> None:
        """Take bytes from the connection. `secrets` is set once the ack is complete. HandshakeError if it is malformed,
        and for further bytes after it.
        """
        opened = self._reader.feed(data)
        if opened is None:
            return
        try:
            ack = Ack.from_plaintext(opened.plaintext, is_pre_eip8=opened.is_pre_eip8)
            ephemeral_shared = self._ephemeral.agree(ack.ephemeral_public_key)
        except ValueError as error:
            raise HandshakeError(f"ack: {error}") from None
        transcript = Transcript(ephemeral_shared, self._nonce, ack.nonce, self.auth, opened.packet)
        self.secrets = transcript.secrets(initiator=True)


class Responder:
    """The side that was dialled. `remote_id` (64 bytes) is set together with `secrets`. It is only a claim until a
    first frame with a valid MAC arrives: that frame proves that the other side has the key of this id."""

    def __init__(self, key: NodeIdentity, *, random_bytes: RandomBytes) -> None:
        self.remote_id: bytes | None = None
        self.secrets: Secrets | None = None
        self._key = key
        self._random_bytes = random_bytes
        self._ephemeral = random_key(random_bytes)
        self._nonce = random_bytes(32)
        self._reader = _PacketReader(key, _OLD_AUTH_BYTES)

    @property
    def leftover(self) -> bytes:
        """The bytes received after the auth. An honest initiator sends none before it has the ack."""
        return self._reader.leftover

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes from the connection. Return the ack to send once the auth is complete, None before. HandshakeError
        if the auth is malformed, and for further bytes after it.
        """
        opened = self._reader.feed(data)
        if opened is None:
            return None
        try:
            auth = Auth.from_plaintext(opened.plaintext, is_pre_eip8=opened.is_pre_eip8)
            # The signature covers the shared secret of the static keys: only the holder of the static key can make it.
            ephemeral_id = auth.ephemeral_public_key(self._key.agree(auth.public_key))
            # The old form also has the hash of the ephemeral key. It must belong to the key that signed.
            if opened.is_pre_eip8 and keccak256(ephemeral_id) != opened.plaintext[65:97]:
                raise HandshakeError("auth: the ephemeral key's hash does not match its signature")
            ephemeral_shared = self._ephemeral.agree(ephemeral_id)
        except (RlpError, SignatureError, ValueError) as error:
            raise HandshakeError(f"auth: {error}") from None
        ack = self._ack(auth.public_key, is_pre_eip8=opened.is_pre_eip8)
        transcript = Transcript(ephemeral_shared, auth.nonce, self._nonce, opened.packet, ack)
        self.remote_id = auth.public_key
        self.secrets = transcript.secrets(initiator=False)
        return ack

    def _ack(self, remote_id: bytes, *, is_pre_eip8: bool) -> bytes:
        if is_pre_eip8:
            return seal(self._ephemeral.public_key + self._nonce + b"\0", remote_id, b"", self._random_bytes)
        return _packet([self._ephemeral.public_key, self._nonce], remote_id, self._random_bytes)


@dataclass(frozen=True, slots=True)
class _Opened:
    packet: bytes
    plaintext: bytes
    is_pre_eip8: bool


class _PacketReader:
    """Collects one handshake packet and opens it. Holds at most `MAX_HANDSHAKE_BODY_BYTES` bytes and the last read."""

    def __init__(self, key: NodeIdentity, old_size: int) -> None:
        self.leftover = b""
        self._key = key
        self._old_size = old_size
        self._may_be_old = True
        self._finished = False
        self._buffer = b""

    def feed(self, data: bytes) -> _Opened | None:
        # The caller must give later bytes to the frames. A second packet here would be read with the wrong rules.
        if self._finished:
            raise HandshakeError("bytes after the end of the handshake")
        self._buffer += data
        opened = self._open()
        if opened is not None:
            self.leftover = self._buffer[len(opened.packet) :]
            self._buffer = b""
            self._finished = True
        return opened

    def _open(self) -> _Opened | None:
        """Open the packet if it is complete. The old form is tried first, and only once.

        A packet of the old form begins with 04 and a key's first byte, which also look like a size of more than 1024 bytes.
        Its sender would wait for ever if this side waited for so many bytes. The tag shows whether the form was right.
        """
        if len(self._buffer) < 2:
            return None
        if self._buffer[0] == _OLD_FORM_MARK and self._may_be_old:
            if len(self._buffer) < self._old_size:
                return None
            # Opening costs a key agreement. It must not be repeated for every byte that arrives.
            self._may_be_old = False
            packet = self._buffer[: self._old_size]
            try:
                return _Opened(packet, open_sealed(packet, self._key, b""), is_pre_eip8=True)
            # The packet has the new form, and its size happens to begin with 04.
            except EciesError:
                pass
        return self._open_sized()

    def _open_sized(self) -> _Opened | None:
        # The size is authenticated together with the body, and limited before any body is awaited.
        prefix = self._buffer[:2]
        size = int.from_bytes(prefix)
        if not ECIES_OVERHEAD_BYTES < size <= MAX_HANDSHAKE_BODY_BYTES:
            raise HandshakeError(
                f"a handshake body of {ECIES_OVERHEAD_BYTES + 1} to {MAX_HANDSHAKE_BODY_BYTES} bytes was expected, "
                f"found {size}"
            )
        if len(self._buffer) < 2 + size:
            return None
        packet = self._buffer[: 2 + size]
        try:
            return _Opened(packet, open_sealed(packet[2:], self._key, prefix), is_pre_eip8=False)
        except EciesError as error:
            raise HandshakeError(str(error)) from None


def _packet(fields: list[RlpValue], remote_id: bytes, random_bytes: RandomBytes) -> bytes:
    """Return an EIP-8 packet: the fields and the version, with 100 to 299 bytes of padding, as in Besu."""
    # At least 100 bytes, so that the packet is longer than one of the old form (EIP-8).
    padding = random_bytes(100 + int.from_bytes(random_bytes(2)) % 200)
    plaintext = rlp.encode([*fields, rlp.encode_scalar(HANDSHAKE_VERSION)]) + padding
    prefix = (len(plaintext) + ECIES_OVERHEAD_BYTES).to_bytes(2)
    return prefix + seal(plaintext, remote_id, prefix, random_bytes)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))
