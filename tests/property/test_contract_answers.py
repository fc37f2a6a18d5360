"""Whatever a permissioning contract answers, the rules give a decision or the one error that they promise.

The answers have any length and any content: no ABI, invalid UTF-8, and numbers up to 2**256.
"""

import contextlib

from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from lacnode.chain.validator_contract import ValidatorContract, ValidatorContractError
from lacnode.chainspec.permissioning_schedule import PermissioningSchedule
from lacnode.crypto.node_key import NodeKey
from lacnode.node.permissioning_rules import PermissioningRules
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import GET_CONTRACT_ADDRESS, PERMITTED, REFUSED, encode_enode_words
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.contract_reader import ContractReading, ContractUnreadableError
from lacnode.permissioning.listed_nodes import GET_BY_INDEX, GET_SIZE
from lacnode.permissioning.lockout import PermissionContracts
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from tests.simulation.ledger import genesis_block
from tests.support.ibft2_blocks import IBFT2_ONLY

INGRESS, SENDER = b"\x01" * 20, b"\x04" * 20
HEADER = genesis_block((b"\x03" * 20,), 1, IBFT2_ONLY).header
NODES = [
    Enode(NodeKey.from_private_key(bytes([number]) * 32).public_key, f"10.0.0.{number}", 30303, None)
    for number in (1, 2)
]
CONTEXT = PermissioningContext(HEADER, (), is_current=True, is_isolated=False)

IDS = st.sampled_from([enode.id for enode in NODES])
WORDS = st.integers(0, 5).map(lambda number: number.to_bytes(32)) | st.binary(min_size=32, max_size=32)
LISTED_BYTES = st.builds(
    lambda id_, host: encode(["bytes", "bytes", "uint16"], [id_.hex().encode(), host, 30303]), IDS, st.binary()
)
ENTRIES = st.one_of(
    st.builds(lambda id_, rest: id_ + rest, IDS, st.binary(max_size=96) | st.binary(min_size=256, max_size=320)),
    LISTED_BYTES,
    st.sampled_from([encode_enode_words(enode) for enode in NODES]),
)
OUTPUTS = st.one_of(
    st.none(),
    st.binary(max_size=400),
    st.lists(WORDS, max_size=12).map(b"".join),
    st.sampled_from([PERMITTED, REFUSED, bytes(32), (1).to_bytes(32)]),
    st.lists(st.binary(min_size=20, max_size=20), max_size=3).map(lambda accounts: encode(["address[]"], [accounts])),
    ENTRIES,
)


class AnyAnswers:
    """A `ContractReader` of a contract that gives `outputs` in turn. None is no answer. The questions that lead to the
    list of nodes have answers of their own, so that lists are reached."""

    def __init__(self, registered: bytes | None, size: bytes | None, outputs: list[bytes | None]) -> None:
        self._own = {GET_CONTRACT_ADDRESS: registered, GET_SIZE: size}
        self._outputs = outputs
        self._asked = 0

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if data[:4] in self._own:
            output = self._own[data[:4]]
        else:
            output = self._outputs[self._asked % len(self._outputs)]
            self._asked += 1
        if output is None:
            raise ContractUnreadableError("reverted")
        return ContractReading(output, frozenset({contract}), frozenset(), False)

    def fingerprint(self, accounts: object, header: BlockHeader) -> int:
        return 0


class OneList(AnyAnswers):
    """A contract that fails at all questions but those about its list, as LACChain's and Besu's rules do."""

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> ContractReading:
        if data[:4] not in (GET_CONTRACT_ADDRESS, GET_SIZE, GET_BY_INDEX):
            return ContractReading(REFUSED, frozenset({contract}), frozenset(), False)
        return super().read(contract, data, header, seconds)


REGISTERED = st.just(b"\x02".rjust(32, b"\0")) | OUTPUTS
SIZES = st.integers(1, 4).map(lambda number: number.to_bytes(32)) | OUTPUTS
CONTRACTS = st.one_of(
    st.builds(AnyAnswers, REGISTERED, SIZES, st.lists(OUTPUTS, min_size=1, max_size=8)),
    st.builds(OneList, REGISTERED, SIZES, st.lists(ENTRIES | OUTPUTS, min_size=1, max_size=4)),
)


def rules_of(contracts: AnyAnswers, version: int) -> PermissioningRules:
    settings = PermissioningSettings(
        node_contract=INGRESS, node_contract_version=version, account_contract=INGRESS
    )  # fmt: skip
    return PermissioningRules(settings, contracts, own_id=NODES[0].id, bootnodes=(), static_nodes=())


@given(CONTRACTS, st.sampled_from([1, 2]))
def test_questions_about_nodes_raise_nothing(contracts: AnyAnswers, version: int) -> None:
    rules = rules_of(contracts, version)
    for source, destination in (NODES, NODES[::-1]):
        rules.nodes.decide(source, destination, CONTEXT, 1.0)
        rules.explain_connection(source, destination, CONTEXT)
    for enode in NODES:
        rules.moved_node_hint(enode, HEADER)
    rules.own_node_type(HEADER)
    rules.find_contract_errors(HEADER)


@given(CONTRACTS, st.sampled_from([None, INGRESS, bytes(19) + b"\x02", b"\x05" * 20]))
def test_questions_about_accounts_raise_only_that_the_contract_is_unreadable(
    contracts: AnyAnswers, target: bytes | None
) -> None:
    rules = rules_of(contracts, 1)
    transaction = UnsignedTransaction(to=target, gas_limit=10**6)
    rules.explain_transaction(transaction, SENDER, HEADER)
    for decide in (rules.accounts.may_enter_pool, rules.accounts.may_be_selected, rules.accounts.may_be_in_block):
        with contextlib.suppress(ContractUnreadableError):
            decide(transaction, SENDER, HEADER)


@given(CONTRACTS)
def test_the_lockout_check_raises_nothing(contracts: AnyAnswers) -> None:
    schedule = PermissioningSchedule(admin_exemption_block=0)
    holders = PermissionContracts(contracts, AccountContract(contracts, INGRESS, schedule), HEADER)
    holders.find_accounts_able_to_change((SENDER, *holders.admins()))


@given(CONTRACTS)
def test_a_validator_contract_raises_only_that_it_names_no_validators(contracts: AnyAnswers) -> None:
    with contextlib.suppress(ValidatorContractError):
        ValidatorContract(contracts).validators_after(HEADER, INGRESS)
