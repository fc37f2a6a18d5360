"""One node for several tenants: each acts for the key in its token, sees its own groups, and nothing of the others'."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode

from lacnode.evm.engine import CallLimitExceededError
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS, REMOVE_PARTICIPANT
from lacnode.privacy.state.group_statuses import GroupCondition
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS, GroupMode
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.method_registry import KNOWN_METHODS
from lacnode.rpc.notice import Notice
from lacnode.rpc.subscription_methods import SubscriptionMethods
from lacnode.rpc.subscriptions import PRIVATE_LOGS, Subscriptions
from lacnode.rpc.user import User
from tests.support.logs import captured_logs
from tests.support.private_nodes import (
    ALICE,
    BOB,
    KEEPER,
    KEY_A,
    KEY_B,
    KEY_C,
    TOPIC,
    PrivateTestNetwork,
    deploying,
    manager_key,
    private,
    word,
)
from tests.support.rpc_chain import finished

KEY_D = manager_key("D")
"""A and D share the first node."""

ONE, OTHER, NOBODY, KEYLESS = "A", "D", None, "keyless"
GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
UNAUTHORIZED = (-40100, "Unauthorized")
NOT_IN_THIS_NODE = ((-32601, "Method not found"), (-32604, "Method not enabled"))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Names:
    """Takes the name in the header for the user."""

    def requires_token_for_every_method(self) -> bool:
        return False

    def find_user(self, authorization: str | None) -> User | None:
        keys = {ONE: KEY_A, OTHER: KEY_D, KEYLESS: None}
        return None if authorization is None else User(frozenset(("*:*",)), keys[authorization])

    def permits(self, user: User | None, method: str) -> bool:
        return True

    def log_in(self, body: bytes) -> str:
        return ""


class Shared(PrivateTestNetwork):
    """A stage whose first node is A's and D's."""

    def __init__(self, mode: GroupMode = GroupMode.OFFCHAIN) -> None:
        super().__init__(mode=mode, tenants=(KEY_A, KEY_D))
        services = self.a.node.services
        self.dispatcher = Dispatcher(self.a.node.registry, services, authenticator=Names())
        self.listener = Listener()
        self.subscriptions = Subscriptions(services.chain)
        self.own = SubscriptionMethods(self.subscriptions, self.listener).handlers
        self._noted: list[PrivateBlock] = []
        self.a.privacy_controller.execution.processor.on_private_logs(self._note)

    def _note(self, private_block: PrivateBlock) -> None:
        if self.subscriptions.has_any(PRIVATE_LOGS):
            self._noted.append(private_block)

    def told(self) -> list[Any]:
        """What the listener has been told of what happened until now."""
        self.subscriptions.activate(self.listener)
        for private_block in self._noted:
            for notice in self.subscriptions.notices_of_private_block(private_block):
                if notice is not None:
                    notice.deliver()
        self._noted.clear()
        return self.listener.told

    def ask(self, user: str | None, method: str, *params: object) -> Any:
        """The result, or code and message of the error."""
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        steps = self.dispatcher.answer_websocket(json.dumps(document).encode(), self.own, authorization=user)
        reply = json.loads(finished(steps, self.a.node.services).body)
        return reply["result"] if "error" not in reply else (reply["error"]["code"], reply["error"]["message"])

    def deploy(self, **options: Any) -> str:
        """A's keeper, in its group with B."""
        marker = self.ask(ONE, "eea_sendRawTransaction", raw(data=deploying(KEEPER), **options))
        assert isinstance(marker, str), marker
        self.mine()
        return marker


class Listener:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def notify(self, notice: Notice) -> None:
        self.told += map(json.loads, notice.messages())

    def cut(self) -> None:
        raise AssertionError("cut off")


def raw(nonce: int = 0, **options: Any) -> str:
    return to_hex(private(options.pop("by", ALICE), nonce, **options).raw)


CALL = {"to": to_hex(KEEPER_ADDRESS), "data": "0x"}


@pytest.fixture
def shared() -> Shared:
    return Shared()


class TestWhoMayCall:
    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eea_sendRawTransaction", (raw(),)),
            ("priv_getPrivacyPrecompileAddress", ()),
            ("priv_call", (b64(GROUP), CALL, "latest")),
            ("priv_subscribe", (b64(GROUP), "logs", {})),
        ],
    )
    def test_nobody_without_a_token_or_a_key(self, shared: Shared, method: str, params: tuple[object, ...]) -> None:
        assert shared.ask(NOBODY, method, *params) == UNAUTHORIZED
        assert shared.ask(KEYLESS, method, *params) == (-32600, "Invalid Request")

    def test_public_methods_are_everybodys(self, shared: Shared) -> None:
        assert shared.ask(NOBODY, "eth_blockNumber") == shared.ask(KEYLESS, "eth_blockNumber") == "0x0"


class TestATenantsOwn:
    """Every method, by a tenant that may."""

    def test_transactions_and_state(self, shared: Shared) -> None:
        marker = shared.deploy()
        assert shared.ask(ONE, "priv_getTransactionReceipt", marker)["contractAddress"] == to_hex(KEEPER_ADDRESS)
        assert shared.ask(ONE, "priv_getPrivateTransaction", marker)["privateFrom"] == b64(KEY_A)
        assert shared.ask(ONE, "priv_getTransactionCount", to_hex(ALICE.address), b64(GROUP)) == "0x1"
        count = shared.ask(ONE, "priv_getEeaTransactionCount", to_hex(ALICE.address), b64(KEY_A), [b64(KEY_B)])
        assert count == "0x1"
        assert shared.ask(ONE, "priv_getCode", b64(GROUP), to_hex(KEEPER_ADDRESS), "latest") == to_hex(KEEPER)
        assert shared.ask(ONE, "priv_call", b64(GROUP), CALL, "latest") == to_hex(word(0))
        assert shared.ask(ONE, "priv_debugGetStateRoot", b64(GROUP), "latest") == to_hex(shared.b.root(GROUP))
        assert isinstance(shared.ask(ONE, "priv_distributeRawTransaction", raw(1)), str)

    def test_groups(self, shared: Shared) -> None:
        group = shared.ask(ONE, "priv_createPrivacyGroup", {"addresses": [b64(KEY_A), b64(KEY_B)]})
        found = shared.ask(ONE, "priv_findPrivacyGroup", [b64(KEY_A), b64(KEY_B)])
        assert [entry["privacyGroupId"] for entry in found] == [group]
        transaction = raw(group=base64.b64decode(group))
        assert isinstance(shared.ask(ONE, "eea_sendRawTransaction", transaction), str)
        assert shared.ask(ONE, "priv_deletePrivacyGroup", group) == group

    def test_logs_filters_and_subscriptions(self, shared: Shared) -> None:
        shared.deploy()
        wanted = {"topics": [to_hex(TOPIC)]}
        filter_ = shared.ask(ONE, "priv_newFilter", b64(GROUP), wanted)
        number = shared.ask(ONE, "priv_subscribe", b64(GROUP), "logs", wanted)
        shared.ask(ONE, "eea_sendRawTransaction", raw(1, to=KEEPER_ADDRESS, data=word(5)))
        shared.mine()
        for method in ("priv_getFilterChanges", "priv_getFilterLogs"):
            (log,) = shared.ask(ONE, method, b64(GROUP), filter_)
            assert log["address"] == to_hex(KEEPER_ADDRESS)
        assert shared.ask(ONE, "priv_getLogs", b64(GROUP), wanted) == [log]
        (told,) = shared.told()
        assert (told["params"]["subscription"], told["params"]["result"]) == (number, log)
        assert shared.ask(ONE, "priv_uninstallFilter", b64(GROUP), filter_) is True
        assert shared.ask(ONE, "priv_unsubscribe", b64(GROUP), number) is True


class TestAnothers:
    """The same by the node's other tenant, who is in none of the groups."""

    def test_keys(self, shared: Shared) -> None:
        expected = (-50100, "Private from does not match enclave public key")
        assert shared.ask(OTHER, "eea_sendRawTransaction", raw()) == expected
        assert shared.ask(OTHER, "priv_distributeRawTransaction", raw()) == expected
        arguments = (to_hex(ALICE.address), b64(KEY_A), [b64(KEY_B)])
        assert shared.ask(OTHER, "priv_getEeaTransactionCount", *arguments) == expected
        assert not shared.a.manager.payloads

    def test_groups(self, shared: Shared) -> None:
        group = shared.ask(ONE, "priv_createPrivacyGroup", {"addresses": [b64(KEY_A), b64(KEY_B)]})
        for wanted in (group, UNKNOWN_GROUP):
            own = raw(group=base64.b64decode(wanted), private_from=KEY_D)
            for method in ("eea_sendRawTransaction", "priv_distributeRawTransaction"):
                assert shared.ask(OTHER, method, own) == (-50100, "Error communicating with enclave"), wanted
        assert shared.ask(OTHER, "priv_deletePrivacyGroup", group) == (-50100, "Error deleting privacy group")
        members = [b64(KEY_A), b64(KEY_B)]
        assert shared.ask(OTHER, "priv_findPrivacyGroup", members) == (-50100, "Error finding privacy group")
        created = shared.ask(OTHER, "priv_createPrivacyGroup", {"addresses": members})
        assert created == (-50100, "Error communicating with enclave")
        assert not shared.a.manager.payloads
        assert len(shared.b.manager.groups) == 1

    def test_transactions(self, shared: Shared) -> None:
        marker = shared.deploy()
        assert shared.ask(OTHER, "priv_getTransactionReceipt", marker) is None
        assert shared.ask(OTHER, "priv_getPrivateTransaction", marker) is None

    def test_state(self, shared: Shared) -> None:
        shared.deploy()
        nonce = shared.ask(OTHER, "priv_getTransactionCount", to_hex(ALICE.address), b64(GROUP))
        assert nonce == (-50100, "Unable to determine nonce for account in group.")
        assert shared.ask(OTHER, "priv_getCode", b64(GROUP), to_hex(KEEPER_ADDRESS), "latest") == UNAUTHORIZED
        assert shared.ask(OTHER, "priv_call", b64(GROUP), CALL, "latest") == UNAUTHORIZED
        root = shared.ask(OTHER, "priv_debugGetStateRoot", b64(GROUP), "latest")
        assert root == (-50100, "Error finding privacy group")

    def test_logs_filters_and_subscriptions(self, shared: Shared) -> None:
        shared.deploy()
        filter_ = shared.ask(ONE, "priv_newFilter", b64(GROUP), {})
        assert shared.ask(OTHER, "priv_getLogs", b64(GROUP), {}) == UNAUTHORIZED
        assert shared.ask(OTHER, "priv_newFilter", b64(GROUP), {}) == UNAUTHORIZED
        for method in ("priv_getFilterChanges", "priv_getFilterLogs", "priv_uninstallFilter"):
            assert shared.ask(OTHER, method, b64(GROUP), filter_) == UNAUTHORIZED
        assert shared.ask(OTHER, "priv_subscribe", b64(GROUP), "logs", {}) == UNAUTHORIZED
        assert shared.ask(ONE, "priv_getFilterLogs", b64(GROUP), filter_) == []

    def test_what_is_noted_of_a_group(self, shared: Shared) -> None:
        """Whether a root is the group's, and what its members told, is its members' affair, and the operator's."""
        marker = shared.deploy()
        root, wrong = to_hex(shared.b.root(GROUP)), to_hex(bytes(32))
        refused = (-50100, "Error finding privacy group")
        number = shared.ask(NOBODY, "eth_blockNumber")
        for given in (root, wrong):
            assert shared.ask(OTHER, "lac_comparePrivacyGroup", b64(GROUP), number, given) == refused
            assert shared.ask(NOBODY, "lac_comparePrivacyGroup", b64(GROUP), number, given) == UNAUTHORIZED
        for method in ("lac_acceptGroupHistory", "lac_dismissGroupHistory"):
            for tenant in (ONE, OTHER):
                assert shared.ask(tenant, method, b64(GROUP), b64(KEY_B)) == refused, "both see what one would decide"
            assert shared.ask(KEYLESS, method, b64(GROUP), b64(KEY_B)) is False
        assert [status.condition for status in shared.a.privacy_controller.statuses.all()] == [GroupCondition.CURRENT]
        for reader in (OTHER, KEYLESS):
            assert shared.ask(reader, "lac_whyPrivateTransactionIgnored", marker) is None
        for caller in (ONE, KEYLESS):
            assert shared.ask(caller, "lac_comparePrivacyGroup", b64(GROUP), number, root) is True

    def test_a_group_of_tenants_is_seen_by_both(self, shared: Shared) -> None:
        both = legacy_group_id(KEY_A, (KEY_D,))
        marker = shared.deploy(private_for=(KEY_D,))
        assert shared.ask(OTHER, "priv_getTransactionReceipt", marker)["status"] == "0x1"
        contract = to_hex(private_contract_address(ALICE.address, 0, both))
        for tenant in (ONE, OTHER):
            assert shared.ask(tenant, "priv_call", b64(both), {**CALL, "to": contract}, "latest") == to_hex(word(0))

    def test_a_group_that_nobody_has(self, shared: Shared) -> None:
        assert shared.ask(ONE, "priv_getCode", b64(bytes(32)), to_hex(KEEPER_ADDRESS), "latest") == UNAUTHORIZED
        unknown = raw(group=bytes(32))
        assert shared.ask(ONE, "eea_sendRawTransaction", unknown) == (-50100, "Error communicating with enclave")


UNKNOWN_GROUP, UNKNOWN_MARKER, UNKNOWN_FILTER = b64(bytes([7]) * 32), to_hex(bytes([7]) * 32), hex(2**62)

HOSTILE_CALLS: dict[str, Callable[[str, str, str, str], tuple[object, ...]]] = {
    "priv_getPrivateTransaction": lambda group, marker, filter_, number: (marker,),
    "priv_getTransactionReceipt": lambda group, marker, filter_, number: (marker,),
    "priv_getTransactionCount": lambda group, marker, filter_, number: (to_hex(ALICE.address), group),
    "priv_getCode": lambda group, marker, filter_, number: (group, to_hex(KEEPER_ADDRESS), "latest"),
    "priv_call": lambda group, marker, filter_, number: (group, CALL, "latest"),
    "priv_debugGetStateRoot": lambda group, marker, filter_, number: (group, "latest"),
    "priv_getLogs": lambda group, marker, filter_, number: (group, {}),
    "priv_newFilter": lambda group, marker, filter_, number: (group, {}),
    "priv_getFilterChanges": lambda group, marker, filter_, number: (group, filter_),
    "priv_getFilterLogs": lambda group, marker, filter_, number: (group, filter_),
    "priv_uninstallFilter": lambda group, marker, filter_, number: (group, filter_),
    "priv_deletePrivacyGroup": lambda group, marker, filter_, number: (group,),
    "priv_subscribe": lambda group, marker, filter_, number: (group, "logs", {}),
    "priv_unsubscribe": lambda group, marker, filter_, number: (group, number),
}
"""The parameters of every private method that takes a group, a marker, a filter or a subscription."""

OWN_KEY_METHODS = {
    "eea_sendRawTransaction": "the sender's key is checked, see `TestAnothers.test_keys`",
    "priv_distributeRawTransaction": "the same",
    "priv_getEeaTransactionCount": "the same",
    "priv_createPrivacyGroup": "the caller must be a member, see `TestAnothers.test_groups`",
    "priv_findPrivacyGroup": "the same",
    "priv_getPrivacyPrecompileAddress": "it says nothing of a group",
    "privx_findFlexiblePrivacyGroup": "the caller must be a member, see `TestFlexibleGroups`",
    "privx_findOnchainPrivacyGroup": "the same",
    "privx_findOnChainPrivacyGroup": "the same",
}


class TestEveryMethod:
    """What a tenant asks about another's group is answered as if there were no such group."""

    def test_is_in_one_of_the_tables(self, shared: Shared) -> None:
        """A new method is not forgotten."""
        names = {name for name in (*KNOWN_METHODS, *shared.own) if name.startswith(("priv_", "eea_", "privx_"))}
        answered = {name for name in names if shared.ask(ONE, name) not in NOT_IN_THIS_NODE}
        assert answered - HOSTILE_CALLS.keys() - OWN_KEY_METHODS.keys() == set()

    @pytest.mark.parametrize("method", HOSTILE_CALLS)
    def test_tells_a_stranger_nothing(self, shared: Shared, method: str) -> None:
        marker = shared.deploy()
        group = b64(GROUP) if method != "priv_deletePrivacyGroup" else self.named_group(shared)
        filter_ = shared.ask(ONE, "priv_newFilter", b64(GROUP), {})
        number = shared.ask(ONE, "priv_subscribe", b64(GROUP), "logs", {})
        params = HOSTILE_CALLS[method]
        answer = shared.ask(OTHER, method, *params(group, marker, filter_, number))
        assert answer == shared.ask(OTHER, method, *params(UNKNOWN_GROUP, UNKNOWN_MARKER, UNKNOWN_FILTER, hex(99)))
        # It has changed nothing for the one whose group it is.
        shared.ask(ONE, "eea_sendRawTransaction", raw(1, to=KEEPER_ADDRESS, data=word(5)))
        shared.mine()
        assert len(shared.ask(ONE, "priv_getFilterChanges", b64(GROUP), filter_)) == 1
        assert [told["params"]["subscription"] for told in shared.told()] == [number]

    def named_group(self, shared: Shared) -> str:
        return str(shared.ask(ONE, "priv_createPrivacyGroup", {"addresses": [b64(KEY_A), b64(KEY_B)]}))


CONTRACT, STORED = to_hex(KEEPER_ADDRESS), 0xC0FFEE1234567890
MARKER = "marker"

PUBLIC_CALLS: dict[str, tuple[object, ...]] = {
    "eth_getTransactionByHash": (MARKER,),
    "eth_getTransactionReceipt": (MARKER,),
    "eth_getBlockByNumber": ("0x2", True),
    "eth_getLogs": ({"fromBlock": "0x0"},),
    "eth_getCode": (CONTRACT, "latest"),
    "eth_getStorageAt": (CONTRACT, "0x0", "latest"),
    "eth_getTransactionCount": (to_hex(ALICE.address), "latest"),
    "eth_call": ({"to": CONTRACT, "data": "0x"}, "latest"),
    "eth_createAccessList": ({"to": CONTRACT, "data": "0x"},),
    "debug_getRawBlock": ("0x2",),
    "debug_storageRangeAt": ("0x2", 0, CONTRACT, "0x0", 10),
    "debug_traceTransaction": (MARKER,),
    "debug_traceBlockByNumber": ("0x2",),
    "trace_transaction": (MARKER,),
    "trace_block": ("0x2",),
    "trace_replayBlockTransactions": ("0x2", ["trace", "stateDiff", "vmTrace"]),
}
PROOF_CALLS: dict[str, tuple[object, ...]] = {
    "eth_getProof": (CONTRACT, ["0x0"], "latest"),
    "debug_accountAt": ("0x2", 0, CONTRACT),
}


def test_public_methods_tell_nothing_of_a_private_transaction(shared: Shared) -> None:
    """They need no key of a tenant, so they see the public chain alone."""
    shared.deploy()
    marker = shared.ask(ONE, "eea_sendRawTransaction", raw(1, to=KEEPER_ADDRESS, data=word(STORED)))
    shared.mine()
    assert shared.ask(ONE, "priv_call", b64(GROUP), CALL, "latest") == to_hex(word(STORED))
    secrets = (KEEPER_ADDRESS, ALICE.address, KEEPER, TOPIC, word(STORED), GROUP, KEY_A, KEY_B)
    for method, params in PUBLIC_CALLS.items():
        answer = shared.a.node.call(method, *(marker if part == MARKER else part for part in params))
        told = json.dumps(answer).lower()
        assert [secret.hex() for secret in secrets if secret.hex() in told] == [], method
    for method, params in PROOF_CALLS.items():
        assert shared.a.node.fails(method, *params)[1] == "Account not found", method


class TestFlexibleGroups:
    GROUP = keccak256(b"a group")
    KEEPER_ADDRESS = private_contract_address(BOB.address, 0, GROUP)

    def send(self, shared: Shared, nonce: int, data: bytes, **options: Any) -> None:
        options = {"to": PROXY_ADDRESS, **options}
        marker = shared.ask(ONE, "eea_sendRawTransaction", raw(nonce, data=data, group=self.GROUP, **options))
        assert isinstance(marker, str), marker
        shared.mine()

    @pytest.fixture
    def flexible(self) -> Shared:
        shared = Shared(GroupMode.FLEXIBLE)
        self.send(shared, 0, ADD_PARTICIPANTS + encode(["bytes[]"], [[KEY_A, KEY_D, KEY_C]]))
        self.send(shared, 0, deploying(KEEPER), to=None, by=BOB)
        return shared

    def test_who_is_no_member_is_told_nothing(self, flexible: Shared) -> None:
        call = {"to": to_hex(self.KEEPER_ADDRESS), "data": "0x"}
        assert flexible.ask(OTHER, "priv_call", b64(self.GROUP), call, "latest") == to_hex(word(0))
        (group,) = flexible.ask(OTHER, "privx_findFlexiblePrivacyGroup", [b64(KEY_D)])
        assert group["members"] == [b64(KEY_A), b64(KEY_D), b64(KEY_C)]
        found = flexible.ask(OTHER, "privx_findFlexiblePrivacyGroup", [b64(KEY_A)])
        assert found == (-50100, "Error finding flexible privacy group")
        number = hex(flexible.a.node.chain.head.header.number)
        self.send(flexible, 1, REMOVE_PARTICIPANT + encode(["bytes"], [KEY_D]))
        assert flexible.ask(OTHER, "priv_call", b64(self.GROUP), call, "latest") == UNAUTHORIZED
        assert flexible.ask(OTHER, "priv_call", b64(self.GROUP), call, number) == to_hex(word(0)), "a member it was"
        assert flexible.ask(ONE, "priv_call", b64(self.GROUP), call, "latest") == to_hex(word(0))

    @pytest.mark.parametrize("method", ["eea_sendRawTransaction", "priv_distributeRawTransaction"])
    def test_a_tenant_does_not_send_by_the_key_of_another(self, flexible: Shared, method: str) -> None:
        """The manager has both keys, and both tenants are members: the contract would accept the transaction."""
        forged = raw(1, data=word(9), group=self.GROUP, to=self.KEEPER_ADDRESS, by=BOB)
        refused = flexible.ask(OTHER, method, forged)
        assert refused == (-50100, "Private from does not match enclave public key")
        own = raw(1, data=word(9), group=self.GROUP, to=self.KEEPER_ADDRESS, by=BOB, private_from=KEY_D)
        assert isinstance(flexible.ask(OTHER, method, own), str)

    def test_a_contract_that_fails_opens_its_group_to_no_tenant(
        self, flexible: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.privacy.state.flexible.flexible_groups.ask_members", lambda ask: None)
        for tenant in (ONE, OTHER):
            assert flexible.ask(tenant, "priv_getLogs", b64(self.GROUP), {}) == UNAUTHORIZED
        assert flexible.ask(ONE, "priv_getLogs", b64(bytes(32)), {}) == [], "there is no such group yet"

    def test_a_contract_that_does_not_answer_in_time_is_a_timeout(
        self, flexible: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not a fault of the node: the log has no traceback of it, and a later call may succeed."""

        def silent(ask: object) -> None:
            raise CallLimitExceededError("it loops")

        own = raw(1, data=word(9), group=self.GROUP, to=self.KEEPER_ADDRESS, by=BOB)
        filter_ = flexible.ask(ONE, "priv_newFilter", b64(self.GROUP), {})
        monkeypatch.setattr("lacnode.privacy.state.flexible.flexible_groups.ask_members", silent)
        calls: dict[str, tuple[object, ...]] = {
            "eea_sendRawTransaction": (own,),
            "priv_distributeRawTransaction": (own,),
            "priv_getTransactionCount": (to_hex(BOB.address), b64(self.GROUP)),
            "priv_getCode": (b64(self.GROUP), to_hex(self.KEEPER_ADDRESS), "latest"),
            "priv_call": (b64(self.GROUP), {"to": to_hex(self.KEEPER_ADDRESS)}, "latest"),
            "priv_debugGetStateRoot": (b64(self.GROUP), "latest"),
            "priv_getLogs": (b64(self.GROUP), {}),
            "priv_newFilter": (b64(self.GROUP), {}),
            "priv_getFilterChanges": (b64(self.GROUP), filter_),
            "priv_subscribe": (b64(self.GROUP), "logs", {}),
            "lac_comparePrivacyGroup": (b64(self.GROUP), "latest", to_hex(bytes(32))),
        }
        with captured_logs() as logs:
            answers = {method: flexible.ask(ONE, method, *params) for method, params in calls.items()}
        assert answers == dict.fromkeys(calls, (-32603, "Timeout expired"))
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []

    def test_a_silent_contract_keeps_no_logs_of_other_groups_back(
        self, flexible: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The members of a tenant's group are asked for once a block, however many subscriptions the tenant has."""
        for _ in range(3):
            flexible.ask(OTHER, "priv_subscribe", b64(self.GROUP), "logs", {})
        asked: list[bytes] = []

        def silent(groups: object, group_id: bytes, number: int | None, deadline_seconds: float) -> None:
            asked.append(group_id)
            raise CallLimitExceededError("it does not answer")

        self.send(flexible, 1, word(5), to=self.KEEPER_ADDRESS, by=BOB)
        monkeypatch.setattr(FlexibleGroups, "members_at", silent)
        assert flexible.told() == []
        assert asked == [self.GROUP]

    def test_a_removed_tenant_hears_no_more(self, flexible: Shared) -> None:
        filter_ = flexible.ask(OTHER, "priv_newFilter", b64(self.GROUP), {})
        flexible.ask(OTHER, "priv_subscribe", b64(self.GROUP), "logs", {})
        self.send(flexible, 1, word(5), to=self.KEEPER_ADDRESS, by=BOB)
        assert len(flexible.ask(OTHER, "priv_getFilterChanges", b64(self.GROUP), filter_)) == 1
        assert len(flexible.told()) == 1
        self.send(flexible, 1, REMOVE_PARTICIPANT + encode(["bytes"], [KEY_D]))
        self.send(flexible, 2, word(6), to=self.KEEPER_ADDRESS, by=BOB)
        assert flexible.ask(OTHER, "priv_getFilterChanges", b64(self.GROUP), filter_) == UNAUTHORIZED
        assert len(flexible.told()) == 1
