"""Private execution on a chain that began with IBFT 1: a block is executed again as it was executed at its import."""

import math

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode, create_marker
from lacnode.privacy.state.private_states import PrivateStates
from lacnode.privacy.state.private_store import PrivateNodeStore
from lacnode.privacy.state.private_transaction import encode_payload_text, legacy_group_id, private_contract_address
from lacnode.privacy.state.processor import PrivateProcessor
from tests.support.ibft1_chain import RETURNS_COINBASE, chain_with_contracts, creator_of, ibft1_keys, next_block
from tests.support.private_nodes import ALICE, BOB, KEY_A, KEY_B, Clock, MemoryManager, private, word
from tests.support.rpc_chain import RICH, signed

KEYS = ibft1_keys(4)
CREATOR = creator_of(1, KEYS).address
GROUP = legacy_group_id(KEY_A, (KEY_B,))
PAYER_ADDRESS = b"\x77" * 20
PAYER = bytes.fromhex("4160003514600957005b" + "6000600060006000" + "476020355af100")
"""Pays what it has to the address in the second word of its input, if the first word is COINBASE."""

STORING_COINBASE = bytes.fromhex("4160005500")
"""Init code that stores COINBASE in slot 0."""


class PrivateNode:
    """Member A on a chain of IBFT 1. `manager` is its manager."""

    def __init__(self, codes: dict[bytes, bytes]) -> None:
        managers: dict[bytes, MemoryManager] = {}
        managers |= {key: MemoryManager(key, managers) for key in (KEY_A, KEY_B)}
        self.manager = managers[KEY_A]
        self.chain: Blockchain = chain_with_contracts(KEYS, codes)
        spec, database = self.chain.spec, self.chain.database
        context = PrivacyContext(
            self.chain,
            lambda: self.chain.head.header.number,
            PyEvmEngine(spec, DatabaseNodeStore(database)),
            database,
            self.manager,
            spec.chain_id,
            Clock(),
        )
        self.accounts = PyEvmEngine(spec, PrivateNodeStore(database)).accounts
        self.processor = PrivateProcessor(context)
        self.states = PrivateStates(context, self.processor, self.accounts)


def test_a_transaction_that_needs_the_creator_stops_no_group() -> None:
    node = PrivateNode({PAYER_ADDRESS: PAYER})
    chain_id = node.chain.spec.chain_id
    sent = private(ALICE, 0, data=STORING_COINBASE, chain_id=chain_id)
    key = node.manager.send(encode_payload_text(sent), KEY_A, [KEY_B])
    block = next_block(
        node.chain,
        KEYS,
        signed(RICH, 0, to=PAYER_ADDRESS, data=word(CREATOR) + word(BOB.address), chain_id=chain_id),
        # Only with the payment of the first one can this one be in a block.
        signed(BOB, 0, value=1, chain_id=chain_id),
        create_marker(NodeKey.generate(), 0, sent, GroupMode.OFFCHAIN, key),
    )
    assert node.chain.import_block(block)
    assert node.processor.step()
    contract = private_contract_address(ALICE.address, 0, GROUP)
    assert node.accounts(node.processor.root_at(GROUP, 1)).storage(contract, 0) == int.from_bytes(CREATOR)


def test_the_contract_of_a_group_sees_the_creator() -> None:
    """Without a contract in the private state, the public one at the same address is asked."""
    node = PrivateNode({PROXY_ADDRESS: RETURNS_COINBASE})
    assert node.chain.import_block(next_block(node.chain, KEYS))
    assert node.states.contract_asker(GROUP, 1, math.inf)(b"") == word(CREATOR)
