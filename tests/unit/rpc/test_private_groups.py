"""Privacy groups by RPC, and the private methods of a node without privacy."""

import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.private_store import Divergence, PrivateStoreWriter
from tests.support.private_calls import GROUP, b64, deploy, only
from tests.support.private_nodes import (
    KEY_A,
    KEY_B,
    KEY_C,
    PrivateTestNetwork,
)
from tests.support.rpc_chain import node


@pytest.fixture
def stage() -> PrivateTestNetwork:
    return PrivateTestNetwork()


class TestGroups:
    def test_made_found_and_deleted(self, stage: PrivateTestNetwork) -> None:
        members = [b64(KEY_A), b64(KEY_B)]
        made = stage.a.node.call(
            "priv_createPrivacyGroup", {"addresses": members, "name": "customs", "description": "two of them"}
        )
        found = only(stage.b.node.call("priv_findPrivacyGroup", members))
        assert found == {
            "privacyGroupId": made,
            "type": "PANTHEON",
            "name": "customs",
            "description": "two of them",
            "members": members,
        }
        assert stage.a.node.call("priv_deletePrivacyGroup", made) == made
        assert stage.a.node.fails("priv_deletePrivacyGroup", made) == (-50100, "Error deleting privacy group")
        assert stage.a.node.call("priv_findPrivacyGroup", members) == []

    @pytest.mark.parametrize("given", [{"name": "customs"}, {"description": "two of them"}, {}])
    def test_what_is_not_given_is_empty_for_every_member(
        self, stage: PrivateTestNetwork, given: dict[str, str]
    ) -> None:
        members = [b64(KEY_A), b64(KEY_B)]
        assert stage.a.node.call("priv_createPrivacyGroup", {"addresses": members, **given})
        found = only(stage.b.node.call("priv_findPrivacyGroup", members))
        assert (found["type"], found["name"], found["description"]) == (
            "PANTHEON",
            given.get("name", ""),
            given.get("description", ""),
        )

    def test_made_with_a_mandatory_recipient(self, stage: PrivateTestNetwork) -> None:
        group = {
            "addresses": [b64(KEY_A), b64(KEY_B)],
            "description": "two and theirs",
            "mandatoryRecipient": b64(KEY_C),
        }
        made = stage.a.node.call("priv_createPrivacyGroup", group)
        found = only(stage.b.node.call("priv_findPrivacyGroup", [b64(KEY_C), b64(KEY_B), b64(KEY_A)]))
        assert (found["privacyGroupId"], found["members"]) == (made, [b64(KEY_A), b64(KEY_B), b64(KEY_C)])
        assert found["description"] == f"two and theirs [mandatory recipient: {b64(KEY_C)}]"
        assert stage.a.node.call("priv_findPrivacyGroup", [b64(KEY_A), b64(KEY_B)]) == []
        code, _ = stage.a.node.fails("priv_createPrivacyGroup", {**group, "mandatoryRecipient": "supervisor"})
        assert code == -32602

    def test_without_name_and_self(self, stage: PrivateTestNetwork) -> None:
        assert stage.a.node.call("priv_createPrivacyGroup", {"addresses": [b64(KEY_A)]})
        found = only(stage.a.node.call("priv_findPrivacyGroup", [b64(KEY_A)]))
        assert (found["name"], found["description"]) == ("", "")
        assert stage.a.node.fails("priv_createPrivacyGroup", {"addresses": [b64(KEY_B)]}) == (
            -50200,
            "CreatePrivacyGroupShouldIncludeSelf",
        )

    def test_a_manager_that_is_off(self, stage: PrivateTestNetwork) -> None:
        stage.a.manager.is_off = True
        assert stage.a.node.fails("priv_findPrivacyGroup", [b64(KEY_A)]) == (-50100, "Error finding privacy group")
        assert stage.a.node.fails("priv_createPrivacyGroup", {"addresses": [b64(KEY_A)]}) == (
            -50100,
            "Error communicating with enclave",
        )

    def test_the_markers_address(self, stage: PrivateTestNetwork) -> None:
        assert stage.a.node.call("priv_getPrivacyPrecompileAddress") == "0x000000000000000000000000000000000000007e"

    def test_how_they_stand(self, stage: PrivateTestNetwork) -> None:
        deploy(stage)
        status = only(stage.b.node.call("lac_privacyGroups"))
        assert status == {
            "privacyGroupId": b64(GROUP),
            "status": "current",
            "waitingFor": 0,
            "waitingReason": None,
            "blockNumber": "0x1",
            "stateRoot": to_hex(stage.a.root(GROUP)),
            "divergedAt": None,
            "divergedFrom": [],
        }
        assert stage.c.node.call("lac_privacyGroups") == []
        root = to_hex(stage.a.root(GROUP))
        assert stage.b.node.call("lac_comparePrivacyGroup", b64(GROUP), "0x1", root) is True
        assert stage.b.node.call("lac_comparePrivacyGroup", b64(GROUP), "0x1", to_hex(bytes(32))) is False
        status = only(stage.b.node.call("lac_privacyGroups"))
        assert (status["status"], status["divergedAt"], status["divergedFrom"]) == ("diverged", "0x1", [])
        with stage.b.privacy_controller._context.database.write() as batch:
            PrivateStoreWriter(batch).write_divergence(GROUP, Divergence(0, bytes(32), stage.a.root(GROUP), KEY_A))
        status = only(stage.b.node.call("lac_privacyGroups"))
        assert (status["status"], status["divergedAt"], status["divergedFrom"]) == ("diverged", "0x0", [b64(KEY_A)])
        assert stage.c.node.call("lac_retryPrivatePayloads") == 1


class TestOff:
    def test_every_method_says_so(self) -> None:
        peerless = node()
        for name in ("eea_sendRawTransaction", "priv_call", "priv_getFilterChanges", "lac_privacyGroups"):
            assert peerless.fails(name, "0x") == (-50100, "Privacy is not enabled")

    def test_flexible_groups_are_not_had(self, stage: PrivateTestNetwork) -> None:
        assert stage.a.node.fails("privx_findFlexiblePrivacyGroup", [b64(KEY_A)]) == (-32604, "Method not enabled")
