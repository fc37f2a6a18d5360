"""What the API tells of the node itself, and what it lets an operator do: sending, pool, votes, peers, groups."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from lacnode.chain.blockchain import ChainSettings
from lacnode.consensus.bft.controller import ConsensusStatus
from lacnode.crypto.node_key import NodeKey
from lacnode.evm.rejection import RejectionReason
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.enode import Enode
from lacnode.primitives import rlp
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import RpcError, rejected
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS, KNOWN_METHODS
from lacnode.rpc.methods.lac import lac_consensusStatus
from lacnode.rpc.settings import ApiSettings
from lacnode.txpool.pool_settings import PoolSettings
from tests.support.rpc_chain import (
    CONTRACT_OWNER,
    ETHER,
    FREE,
    GAS_LIMIT,
    LONDON,
    POOR,
    RECIPIENT,
    RICH,
    VALIDATOR,
    RpcTestNode,
    high_s,
    node,
    signed,
    typed,
)

INVALID_CODE = -32602
NOT_ENABLED = (-32604, "Method not enabled")
NOT_FOUND = (-32601, "Method not found")
NO_P2P = (-32000, "P2P has been disabled. This functionality is not available")
LOCAL = Enode(NodeKey.from_private_key(b"\x21" * 32).public_key, "10.0.0.1", 30303, 30303)
REMOTE = Enode(NodeKey.from_private_key(b"\x22" * 32).public_key, "10.0.0.2", 60606, 60606)


@dataclass
class StaticPeers:
    """A network that only remembers whom it should keep."""

    local_enode: Enode = LOCAL
    peers: Sequence[Peer] = ()
    kept: set[Enode] = field(default_factory=set)

    def add_static(self, enode: Enode) -> bool:
        new = enode not in self.kept
        self.kept.add(enode)
        return new

    def remove_static_and_disconnect(self, enode: Enode) -> bool:
        known = enode in self.kept
        self.kept.discard(enode)
        return known


class TestSending:
    def send(self, at: RpcTestNode, transaction: Transaction) -> tuple[int, str]:
        return at.fails("eth_sendRawTransaction", to_hex(transaction.raw))

    @pytest.mark.parametrize("transaction", [signed(), signed(chain_id=None), typed()])
    def test_answers_the_hash(self, transaction: Transaction) -> None:
        at = node()
        assert at.call("eth_sendRawTransaction", to_hex(transaction.raw)) == to_hex(transaction.hash)
        assert at.pooled == [transaction]
        assert at.pool.statistics.local == 1
        assert self.send(at, transaction) == (-32000, "Known transaction")

    @pytest.mark.parametrize(
        ("settings", "transaction", "error"),
        [
            (FREE, signed(price=2 * ETHER), (-32000, "Transaction fee cap exceeded")),
            (
                replace(FREE, local_priority=False, min_gas_price=1),
                signed(),
                (-32009, "Gas price below configured minimum gas price"),
            ),
            (FREE, signed(chain_id=1), (-32000, "Wrong chainId")),
            (FREE, high_s(signed()), (-32002, "Invalid signature")),
            (FREE, typed(fees=(0, 0)), (-32602, "Invalid transaction type")),
            (FREE, signed(nonce=2**64 - 1), (-32603, "Internal error")),
            (FREE, signed(gas=20_999), (-32003, "Intrinsic gas exceeds gas limit")),
            (
                replace(FREE, strict_replay_protection=True),
                signed(chain_id=None),
                (-32000, "ChainId is required"),
            ),
            (FREE, signed(gas=GAS_LIMIT + 1), (-32005, "Transaction gas limit exceeds block gas limit")),
            (FREE, signed(POOR, value=1), (-32004, "Upfront cost exceeds account balance")),
            (FREE, signed(CONTRACT_OWNER), (-32007, "Sender account not authorized to send transactions")),
            (
                replace(FREE, sender_share=0.001),
                signed(nonce=5),
                (-32000, "Transaction nonce is too distant from current sender nonce"),
            ),
        ],
    )
    def test_says_why_not(self, settings: PoolSettings, transaction: Transaction, error: tuple[int, str]) -> None:
        at = node(settings)
        assert self.send(at, transaction) == error
        assert at.pooled == []

    def test_says_why_not_of_what_depends_on_earlier_ones(self) -> None:
        at = node(PoolSettings())
        at.send(signed(price=1000))
        assert self.send(at, signed(price=1099)) == (-32000, "Replacement transaction underpriced")
        at.grow()
        assert self.send(at, signed(price=2000)) == (-32001, "Nonce too low")

    def test_under_london_a_tip_is_at_most_the_maximum(self) -> None:
        error = (-32000, "Max priority fee per gas exceeds max fee per gas")
        assert self.send(node(forks=LONDON), typed(fees=(8, 7))) == error

    @pytest.mark.parametrize(
        "raw",
        [
            "", "0x", "0xzz", "0x1", 1, None, {}, "0xc0", "0x00", "0x05" + "c0", "0x01", "0x7f", "0x80", "0xf8",
            to_hex(signed().raw) + "00", to_hex(signed().raw[:-1]), to_hex(typed().raw)[:-2], "0x" + "f9" * 100_000,
        ],
    )  # fmt: skip
    def test_of_anything_else_is_refused(self, raw: object) -> None:
        at = node()
        assert at.fails("eth_sendRawTransaction", raw)[0] == INVALID_CODE
        assert at.pooled == []

    @pytest.mark.parametrize("v", [0, 26, 29, 34])
    def test_with_an_impossible_v_is_an_internal_error(self, v: int) -> None:
        fields = list(rlp.decode_list(signed(chain_id=None).raw, "transaction"))
        raw = rlp.encode([*fields[:6], rlp.encode_scalar(v), *fields[7:]])
        assert node().fails("eth_sendRawTransaction", to_hex(raw)) == (-32603, "Internal error")

    def test_takes_exactly_one_parameter(self) -> None:
        assert node().registry.find("eth_sendRawTransaction").arity == 1

    def test_without_a_signature_is_not_supported(self) -> None:
        code, message = node().fails("eth_sendTransaction", {})
        assert code == -32604
        assert message.startswith("The method eth_sendTransaction is not supported. Use eth_sendRawTransaction to send")

    def test_every_reason_has_a_code(self) -> None:
        for reason in RejectionReason:
            assert rejected(reason).code < 0


class TestPool:
    def test_statistics(self) -> None:
        at = node(replace(FREE, max_size=1024))
        at.send(signed())
        at.send(signed(POOR), local=False)
        shown = at.call("txpool_besuStatistics")
        assert shown == {"maxSize": 1024, "localCount": 1, "remoteCount": 1}

    def test_transactions_say_when_they_came(self) -> None:
        at = node()
        at.send(signed(), now=1_600_000_000.25, local=False)
        assert at.call("txpool_besuTransactions") == [
            {
                "hash": to_hex(signed().hash),
                "isReceivedFromLocalSource": False,
                "addedToPoolAt": "2020-09-13T12:26:40.250000Z",
            }
        ]

    @pytest.mark.parametrize(
        ("wanted", "nonces"),
        [
            (None, [0, 1, 2]),
            ({}, [0, 1, 2]),
            ({"nonce": {"gt": "0x0"}}, [1, 2]),
            ({"nonce": {"lt": "0x2"}, "gas": {"eq": hex(100_000)}}, [0]),
            ({"from": {"eq": to_hex(RICH.address)}}, [0, 1, 2]),
            ({"from": {"eq": to_hex(POOR.address)}}, []),
            ({"to": {"eq": to_hex(RECIPIENT)}}, [0, 1]),
            ({"to": {"action": "contract_creation"}}, [2]),
            ({"gasPrice": {"gt": "0x5"}}, [1]),
            ({"value": {"eq": "0x3"}}, [0]),
        ],
    )
    def test_pending_ones_are_filtered(self, wanted: object, nonces: list[int]) -> None:
        at = node()
        at.send(signed(value=3), signed(nonce=1, price=6, gas=21_000), signed(nonce=2, to=None))
        shown = at.call("txpool_besuPendingTransactions", 10, wanted)
        assert isinstance(shown, list)
        assert [int(entry["nonce"], 16) for entry in shown] == nonces

    def test_pending_ones_are_limited(self) -> None:
        at = node()
        at.send(signed(), signed(nonce=1), signed(nonce=2))
        assert len(at.call("txpool_besuPendingTransactions", "0x2")) == 2  # type: ignore[arg-type]
        assert at.call("txpool_besuPendingTransactions", 0) == []

    @pytest.mark.parametrize(
        "wanted",
        [
            [], "x", {"nonce": {"gt": "0x0", "lt": "0x2"}}, {"nonce": {}}, {"nonce": "0x1"}, {"nonce": {"ge": "0x1"}},
            {"from": {"gt": "0x1"}}, {"to": {"action": "burn"}}, {"to": {"lt": "0x1"}}, {"hash": {"eq": "0x1"}},
        ],
    )  # fmt: skip
    def test_other_filters_are_refused(self, wanted: object) -> None:
        assert node().fails("txpool_besuPendingTransactions", 1, wanted)[0] == INVALID_CODE


class TestVotes:
    def test_are_made_shown_and_taken_back(self) -> None:
        at, candidate = node(), "0x" + "ab" * 20
        assert at.call("ibft_proposeValidatorVote", candidate, True, True) is True
        assert at.call("ibft_proposeValidatorVote", to_hex(VALIDATOR.address), False, True) is True
        assert at.call("ibft_getPendingVotes") == {candidate: True, to_hex(VALIDATOR.address): False}
        assert at.call("ibft_discardValidatorVote", candidate) is True
        assert at.call("ibft_getPendingVotes") == {to_hex(VALIDATOR.address): False}

    def test_that_may_stop_the_network_are_not_proposed_without_a_word(self) -> None:
        at, candidate = node(), "0x" + "ab" * 20
        with pytest.raises(RpcError) as refused:
            at.call("ibft_proposeValidatorVote", candidate, True)
        assert isinstance(refused.value.data, dict)
        absent, halt = refused.value.data["warnings"]
        assert absent == f"{candidate} is not connected to this node"
        assert "2 of 2 validators must agree and 1 are here: no block would be made" in halt
        assert at.call("ibft_getPendingVotes") == {}
        assert at.call("ibft_proposeValidatorVote", candidate, True, True) is True

    def test_show_what_they_will_do_and_when(self) -> None:
        at, candidate = node(), "0x" + "ab" * 20
        at.call("ibft_proposeValidatorVote", candidate, True, True)
        prospects = at.call("lac_pendingVotes")
        assert isinstance(prospects, list)
        prospect = prospects[0]
        assert (prospect["address"], prospect["add"], prospect["ownWish"]) == (candidate, True, True)
        assert (prospect["votedBy"], prospect["votesNeeded"], prospect["votesMissing"]) == ([], 1, 1)
        assert prospect["validatorsAfter"] == sorted([candidate, to_hex(VALIDATOR.address)])
        assert (prospect["quorumAfter"], int(prospect["votesVanishAt"], 16)) == (2, 30_000)

    @pytest.mark.parametrize(
        "params", [(), ("0x1",), ("0x" + "11" * 21, True), ("0x1", "true"), ("0x1", 1), (None, True)]
    )
    def test_name_an_address_and_a_side(self, params: tuple[object, ...]) -> None:
        assert node().fails("ibft_proposeValidatorVote", *params)[0] == INVALID_CODE


class TestValidators:
    def test_of_a_block(self) -> None:
        at = node()
        at.grow()
        expected = [to_hex(VALIDATOR.address)]
        assert at.call("ibft_getValidatorsByBlockNumber", "latest") == expected
        assert at.call("ibft_getValidatorsByBlockNumber", "0x0") == expected
        assert at.call("ibft_getValidatorsByBlockHash", to_hex(at.chain.head.hash)) == expected
        assert at.call("ibft_getValidatorsByBlockNumber", "0x9") is None
        assert at.call("ibft_getValidatorsByBlockHash", "0x" + "ab" * 32) is None
        assert at.fails("ibft_getValidatorsByBlockNumber")[0] == INVALID_CODE

    def test_are_counted_by_the_blocks_they_proposed(self) -> None:
        at = node()
        at.grow(3)
        assert at.call("ibft_getSignerMetrics", "0x1") == [
            {"address": to_hex(VALIDATOR.address), "proposedBlockCount": "0x2", "lastProposedBlockNumber": "0x2"}
        ]
        assert at.call("ibft_getSignerMetrics", "0x1", "0x2") == [
            {"address": to_hex(VALIDATOR.address), "proposedBlockCount": "0x1", "lastProposedBlockNumber": "0x1"}
        ]
        assert at.call("ibft_getSignerMetrics", "0x1", "0x99") == at.call("ibft_getSignerMetrics", "0x1", "latest")

    def test_that_proposed_nothing_are_counted_too(self) -> None:
        at = node()
        at.grow()
        shown = at.call("ibft_getSignerMetrics")
        assert isinstance(shown, list)
        assert [entry["proposedBlockCount"] for entry in shown] == ["0x1", "0x0"], "the genesis names nobody"

    def test_an_empty_range_is_refused(self) -> None:
        at = node()
        at.grow(2)
        assert at.fails("ibft_getSignerMetrics", "0x1", "0x1")[0] == INVALID_CODE
        assert at.fails("ibft_getSignerMetrics", "0x2", "0x1")[0] == INVALID_CODE

    def test_a_long_count_ends(self) -> None:
        at = node(api=ApiSettings(call_seconds=-1))
        at.grow()
        assert at.fails("ibft_getSignerMetrics") == (-32603, "Timeout expired")


class TestPeers:
    def test_are_kept_and_let_go(self) -> None:
        at = node(network=StaticPeers())
        assert at.call("admin_addPeer", str(REMOTE)) is True
        assert at.call("admin_addPeer", str(REMOTE)) is False
        assert at.call("admin_removePeer", str(REMOTE)) is True
        assert at.call("admin_removePeer", str(REMOTE)) is False

    def test_must_be_somebody_else_and_well_formed(self) -> None:
        at = node(network=StaticPeers())
        assert at.fails("admin_addPeer", str(LOCAL)) == (-32100, "Cannot add local node as peer.")
        assert at.fails("admin_addPeer", "enode://00@1.2.3.4:1") == (
            -32000,
            "Invalid node ID: node ID must have exactly 128 hexadecimal characters and should not include any '0x' "
            "hex prefix.",
        )
        assert at.fails("admin_addPeer", "http://example.org") == (-32700, "Parse error")
        named = str(REMOTE).replace("10.0.0.2", "example.org")
        assert at.fails("admin_addPeer", named) == (-32100, "Enode DNS support is disabled")
        assert at.fails("admin_addPeer", 1)[0] == INVALID_CODE
        assert at.fails("admin_addPeer")[0] == INVALID_CODE

    @pytest.mark.parametrize("method", ["admin_addPeer", "admin_removePeer", "admin_peers", "admin_nodeInfo"])
    def test_are_none_where_there_is_no_network(self, method: str) -> None:
        assert node().fails(method, str(REMOTE)) == NO_P2P

    def test_the_node_introduces_itself(self) -> None:
        at = node(network=StaticPeers())
        shown = at.call("admin_nodeInfo")
        assert isinstance(shown, dict)
        assert shown["enode"] == str(LOCAL)
        assert (shown["ip"], shown["listenAddr"]) == ("10.0.0.1", "10.0.0.1:30303")
        assert shown["id"] == LOCAL.id.hex()
        assert shown["ports"] == {"discovery": 30303, "listener": 30303}
        eth = shown["protocols"]["eth"]
        assert (eth["difficulty"], eth["network"]) == (1, 648_529)
        assert eth["genesis"] == eth["head"] == to_hex(at.chain.genesis_hash)
        assert eth["config"]["chainId"] == 648_540


class TestNet:
    def test_without_a_network(self) -> None:
        at = node()
        assert at.call("net_version") == "648529"
        assert at.call("net_listening") is False
        assert at.fails("net_peerCount") == NO_P2P
        assert at.fails("net_enode") == NO_P2P
        assert at.call("net_services") == {}

    def test_with_one(self) -> None:
        at = node(network=StaticPeers())
        at.services.node.endpoints["jsonrpc"] = ("127.0.0.1", 8545)
        assert at.call("net_listening") is True
        assert at.call("net_peerCount") == "0x0"
        assert at.call("net_enode") == str(LOCAL)
        assert at.call("net_services") == {
            "jsonrpc": {"host": "127.0.0.1", "port": "8545"},
            "p2p": {"host": "10.0.0.1", "port": "30303"},
        }

    def test_web3(self) -> None:
        at = node()
        assert at.call("web3_clientVersion") == "lacnode/v0.0.0/linux-x86_64/python-3.11"
        empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        assert at.call("web3_sha3", "0x") == at.call("web3_sha3", "") == empty
        for bad in ("68656c", "0xzz", "0x1", 1, None):
            assert at.fails("web3_sha3", bad)[0] == INVALID_CODE


class TestEth:
    def test_tells_of_the_node(self) -> None:
        at = node()
        assert at.call("eth_chainId") == hex(648_540)
        assert at.call("eth_coinbase") == to_hex(VALIDATOR.address)
        assert at.call("eth_accounts") == []
        assert at.call("eth_mining") is True
        assert at.call("eth_hashrate") == "0x0"
        assert at.call("eth_protocolVersion") == "0x44"
        assert at.call("eth_submitHashrate", "0x1", "0x2") is False
        assert at.fails("eth_getWork") == (-32603, "Internal error")
        assert at.fails("eth_submitWork") == (-32603, "Internal error")

    def test_syncing(self) -> None:
        @dataclass
        class Sync:
            starting_block: int = 1
            current_block: int = 10
            highest_block: int = 300

        assert node().call("eth_syncing") is False
        assert node(sync_status=Sync).call("eth_syncing") == {
            "startingBlock": "0x1",
            "currentBlock": "0xa",
            "highestBlock": "0x12c",
        }


class TestConsensus:
    def test_the_speed_of_executions_and_the_gas_of_a_proposal_are_shown(self) -> None:
        at = node()
        status = ConsensusStatus(1, False, (VALIDATOR.address,))
        services = replace(at.services, status=replace(at.services.status, consensus=lambda: status))

        def shown() -> tuple[object, object]:
            status = lac_consensusStatus(services, [])
            assert isinstance(status, dict)
            return status["gasPerSecond"], status["proposalGasBudget"]

        assert shown() == (None, None)
        header = at.chain.head.header.with_changes(gas_used=10_000_000)
        at.chain.counters.speed.count_executed(Block(header, BlockBody(())), 1.0, 1.0)
        assert shown() == (hex(10_000_000), hex(3_000_000))


class TestMiner:
    def test_prices_can_be_changed(self) -> None:
        at = node(PoolSettings())
        assert at.call("miner_getMinGasPrice") == hex(1000)
        assert at.call("miner_setMinGasPrice", "0x5") is True
        assert at.call("miner_getMinGasPrice") == at.call("eth_gasPrice") == "0x5"
        assert at.call("miner_getMinPriorityFee") == "0x0"
        assert at.call("miner_setMinPriorityFee", "0x2") is True
        assert at.call("miner_getMinPriorityFee") == "0x2"
        for bad in ("x", 5, None, "-0x1"):
            assert at.fails("miner_setMinGasPrice", bad)[0] == INVALID_CODE

    def test_the_gas_limit_moves_towards_a_new_target(self) -> None:
        at = node(chain=ChainSettings(gas_limit_target=GAS_LIMIT))
        assert at.call("miner_changeTargetGasLimit", GAS_LIMIT - 100) == "Success"
        assert at.grow().header.gas_limit == GAS_LIMIT - 100
        assert at.call("miner_changeTargetGasLimit", str(GAS_LIMIT)) == "Success"
        assert at.grow().header.gas_limit == GAS_LIMIT
        for bad in ("0x989680", 4999, 2**63, True, "1e6", None):
            assert at.fails("miner_changeTargetGasLimit", bad)[0] == INVALID_CODE

    def test_it_stays_where_there_was_none(self) -> None:
        code, message = node().fails("miner_changeTargetGasLimit", GAS_LIMIT)
        assert code == -32011
        assert message == "The node is not attempting to target a gas limit so the target can't be changed"

    def test_a_validator_neither_starts_nor_stops(self) -> None:
        at = node()
        assert at.call("miner_start") is True
        assert at.call("miner_stop") is False
        assert at.fails("miner_setCoinbase", "0x1") == (-32600, "Invalid Request")


class TestGroups:
    def test_unknown_is_another_error_than_switched_off(self) -> None:
        at = node(groups=("ETH",))
        assert at.fails("eth_sign") == NOT_FOUND
        assert at.fails("personal_unlockAccount") == NOT_FOUND
        assert at.fails("debug_accountRange") == NOT_ENABLED, "known since Besu 25"
        for method in (
            "net_version",
            "debug_traceCall",
            "qbft_getPendingVotes",
            "perm_getNodesAllowlist",
            "eth_subscribe",
        ):
            assert at.fails(method) == NOT_ENABLED
        assert at.call("eth_blockNumber") == "0x0"

    def test_every_method_of_a_group_that_is_off_is_switched_off(self) -> None:
        at = node(groups=())
        names = [method.name for method in all_methods(protocols=["ibft2", "qbft"]) if method.group != "RPC"]
        assert [name for name in names if at.fails(name) != NOT_ENABLED] == []

    def test_modules_are_those_enabled(self) -> None:
        at = node(groups=("ETH", "NET", "IBFT"))
        assert at.call("rpc_modules") == {"eth": "1.0", "net": "1.0", "ibft": "1.0"}

    @pytest.mark.parametrize("group", ["EEA", "PRIV"])
    def test_privacy_is_off(self, group: str) -> None:
        at = node(groups=("EEA", "PRIV"))
        off = (-50100, "Privacy is not enabled")
        prefix = group.lower()
        for method in (name for name in KNOWN_METHODS if name.startswith(prefix)):
            assert at.fails(method, "0x1") == off
        alone = node(groups=(group,))
        assert alone.fails("priv_getEeaTransactionCount") == off

    def test_every_method_belongs_to_a_group_and_is_known_to_besu_or_ours(self) -> None:
        for method in all_methods():
            assert method.group in (*GROUPS, "RPC")
            assert method.name in KNOWN_METHODS or method.name.startswith("lac_")


class TestPoolAsGethShowsIt:
    @pytest.fixture
    def at(self) -> RpcTestNode:
        """Nonces 0 and 1 can go into a block; 3 waits for 2."""
        made = node()
        for nonce in (3, 0, 1):
            made.send(signed(nonce=nonce, price=7, to=None if nonce == 3 else RECIPIENT, data=b"", value=nonce))
        return made

    def test_counts_what_can_go_into_a_block_apart_from_what_waits(self, at: RpcTestNode) -> None:
        assert at.call("txpool_status") == {"pending": "0x2", "queued": "0x1"}
        assert node().call("txpool_status") == {"pending": "0x0", "queued": "0x0"}

    def test_shows_transactions_by_sender_and_nonce(self, at: RpcTestNode) -> None:
        shown = at.call("txpool_content")
        assert isinstance(shown, dict)
        rich = to_hex(RICH.address)
        assert {
            state: {sender: list(found) for sender, found in senders.items()} for state, senders in shown.items()
        } == {
            "pending": {rich: ["0", "1"]},
            "queued": {rich: ["3"]},
        }
        first = shown["pending"][rich]["1"]
        assert (first["nonce"], first["value"], first["blockHash"]) == ("0x1", "0x1", None)
        assert at.call("txpool_contentFrom", rich) == {state: senders[rich] for state, senders in shown.items()}
        assert at.call("txpool_contentFrom", to_hex(POOR.address)) == {"pending": {}, "queued": {}}
        assert at.fails("txpool_contentFrom")[0] == -32602

    def test_says_in_a_line_what_each_is(self, at: RpcTestNode) -> None:
        shown = at.call("txpool_inspect")
        assert isinstance(shown, dict)
        rich = to_hex(RICH.address)
        assert shown["pending"][rich]["1"] == f"{to_hex(RECIPIENT)}: 1 wei + 100000 gas \N{MULTIPLICATION SIGN} 7 wei"
        assert shown["queued"][rich]["3"] == "contract creation: 3 wei + 100000 gas \N{MULTIPLICATION SIGN} 7 wei"


class TestLogLevel:
    @pytest.mark.parametrize(
        ("params", "level", "names"),
        [(("DEBUG",), "DEBUG", ()), (("OFF", ["p2p", "rpc"]), "OFF", ("p2p", "rpc")), (("INFO", None), "INFO", ())],
    )
    def test_is_changed_for_all_or_for_some(
        self, params: tuple[object, ...], level: str, names: tuple[str, ...]
    ) -> None:
        told: list[tuple[str, tuple[str, ...]]] = []
        at = node()
        at.services = replace(at.services, change_log_level=lambda level, names: told.append((level, tuple(names))))
        assert at.call("admin_changeLogLevel", *params) is None
        assert told == [(level, names)]

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ((), "Invalid log level params"),
            (("debug",), "Invalid log level params"),
            (("LOUD",), "Invalid log level params"),
            ((5,), "Invalid log level params"),
            (("DEBUG", "p2p"), "Invalid log filter params"),
            (("DEBUG", [5]), "Invalid log filter params"),
            (("DEBUG", ["x"] * 101), "Invalid log filter params"),
        ],
    )
    def test_is_one_of_besus(self, params: tuple[object, ...], message: str) -> None:
        assert node().fails("admin_changeLogLevel", *params) == (INVALID_CODE, message)
