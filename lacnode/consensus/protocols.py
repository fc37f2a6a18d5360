"""The table of the protocols that this node speaks, and the protocols of a chain."""

from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.bft.extra_data import VANITY_BYTES, ExtraData
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.ibft1.protocol import IBFT1, Ibft1Protocol
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError

PROTOCOLS: dict[str, BftProtocol] = {protocol.name: protocol for protocol in (IBFT2, QBFT, IBFT1)}
"""Every protocol by its name. The genesis parser uses the same names."""

VALIDATOR_PROTOCOLS = {name: protocol for name, protocol in PROTOCOLS.items() if protocol.can_be_validator}
"""The protocols that this node can be a validator of."""

EXTRA_DATA_TYPES: dict[str, BftProtocol] = {"IBFT_EXTRA_DATA": IBFT2, "QBFT_EXTRA_DATA": QBFT}
"""The names that Besu's command `rlp` gives to the forms of extra data."""


def encode_genesis_extra_data(spec: ChainSpec, validators: tuple[bytes, ...]) -> bytes:
    """The extra data of a genesis block with `validators` (20-byte addresses), in the form of the chain's protocol at
    block 0. They stay in the order given: sort them first, as headers list them."""
    return protocols_of(spec).protocol_at(0).encode_extra_data(ExtraData(bytes(VANITY_BYTES), validators))


def protocols_of(spec: ChainSpec) -> ProtocolSchedule:
    """The protocols of the chain of `spec`, by height."""
    steps = tuple((height, _of_chain(spec, name)) for height, name in spec.protocols)
    return ProtocolSchedule(steps, tuple(PROTOCOLS.values()))


def _of_chain(spec: ChainSpec, name: str) -> BftProtocol:
    # The seals that a block of IBFT 1 needs depend on the genesis file.
    if name == IBFT1.name and spec.goquorum is not None:
        return Ibft1Protocol(spec.goquorum.two_thirds_begins)
    return PROTOCOLS[name]


def block_hash_by_extra_data(header: BlockHeader) -> bytes:
    """The hash (32 bytes) of a block whose genesis file is not known. The forms of the protocols exclude each other, so
    the extra data names its protocol. Raises RlpError if no protocol has such extra data.

    The hash of block 0 covers all its fields, and its extra data is not looked at.
    """
    if header.number == 0:
        return keccak256(header.encode())
    for protocol in PROTOCOLS.values():
        try:
            protocol.decode_extra_data(header.extra_data)
        except RlpError:
            continue
        return protocol.block_hash(header)
    raise RlpError("extraData: no protocol that this node speaks has this form")
