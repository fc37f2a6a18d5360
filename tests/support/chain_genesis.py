"""The genesis of a chain with four validators, an account that pays, and two contracts."""

from collections.abc import Sequence

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives.hexadecimal import to_hex

KEYS = sorted((NodeKey.from_private_key(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.address)
ADDRESSES = tuple(key.address for key in KEYS)
STRANGER = NodeKey.from_private_key(b"\x77" * 32)
PAYER = NodeKey.from_private_key(b"\x33" * 32)
GENESIS_TIME = 1_600_000_000
NOW = float(GENESIS_TIME + 1_000_000)

LOGGER = bytes.fromhex("6000356000527f" + "11" * 32 + "60206000a100")
"""Emits LOG1 of its first input word under the topic 0x11..11."""
LOGGER_ADDRESS = b"\x99" * 20
REVERTER = bytes.fromhex("60aa60005260206000fd")
REVERTER_ADDRESS = b"\x98" * 20
TOPIC = b"\x11" * 32


def genesis(validators: Sequence[NodeKey] = KEYS, **ibft: object) -> dict[str, object]:
    transitions = ibft.pop("transitions", [])
    return {
        "config": {
            "chainId": 1337,
            "berlinBlock": 0,
            "ibft2": {"blockperiodseconds": 1, "epochlength": 30_000, "requesttimeoutseconds": 2, **ibft},
            "transitions": {"ibft2": transitions},
        },
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIME),
        "extraData": to_hex(encode_extra_data(ExtraData(bytes(32), tuple(key.address for key in validators)))),
        "gasLimit": "0x989680",
        "difficulty": "0x1",
        "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "alloc": {
            to_hex(PAYER.address): {"balance": "1000000000000000000000"},
            to_hex(LOGGER_ADDRESS): {"balance": "0", "code": to_hex(LOGGER)},
            to_hex(REVERTER_ADDRESS): {"balance": "0", "code": to_hex(REVERTER)},
        },
    }
