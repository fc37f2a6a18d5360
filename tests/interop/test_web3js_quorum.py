"""web3js-quorum, the client library of Besu's private transactions, against three members of a running network."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.node_packages import install_packages
from tests.support.devnet import Devnet, running_devnet

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("private-devnet")]

TOKEN = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "Token.json"
DEADLINE = 120


@pytest.fixture(scope="module")
def packages() -> Path:
    return install_packages("quorum")


@pytest.fixture(scope="module")
def network(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    options = ("--privacy", "--validators", "1", "--block-period", "0.2")
    with running_devnet(tmp_path_factory.mktemp("quorum") / "net", *options) as made:
        yield made


def said(packages: Path, network: Devnet, scenario: str) -> dict[str, Any]:
    described = json.loads((network.path / "devnet.json").read_text("utf-8"))
    members = [node for node in described["nodes"] if node.get("privacy_key")]
    task = {"members": members, "accounts": described["accounts"], "artifact": str(TOKEN)}
    command = [shutil.which("node") or "node", "quorum.mjs", scenario, json.dumps(task)]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=DEADLINE)
    # What it answered counts, which is its last word: not how Node.js ends afterwards.
    last = done.stdout.splitlines()[-1:]
    assert last, done.stderr
    assert last[0].startswith("{"), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(last[0])
    return found


def test_recipients_named_with_each_transaction(packages: Path, network: Devnet) -> None:
    found = said(packages, network, "recipients")
    deployed = found["deployed"]
    assert deployed["status"] == "0x1"
    assert deployed["privacyGroupId"] == found["group"] != found["groupOfThree"], "the library reckons the same id"
    at_a, at_b, at_c = found["receipts"]
    assert (at_a, at_b, at_c) == (deployed, deployed, None)
    sent = found["transactions"]
    assert (sent[0]["from"], sent[0]["privateFrom"]) == (deployed["from"], deployed["privateFrom"])
    assert (sent[1], sent[2]) == (sent[0], None)
    assert (found["moved"], found["balances"], found["balanceBefore"]) == ("0x1", ["42", "42", None], "0")
    assert found["code"][0] == found["code"][1] != "0x"
    assert (found["count"], found["eeaCount"]) == (2, "0x2")
    assert found["group"] in [group["privacyGroupId"] for group in found["found"][0]]
    assert found["publicCode"] == "0x"


def test_a_group_is_made_used_and_deleted(packages: Path, network: Devnet) -> None:
    found = said(packages, network, "group")
    for groups in found["found"]:
        (made,) = [group for group in groups if group["privacyGroupId"] == found["group"]]
        assert (made["type"], made["name"], made["description"]) == ("PANTHEON", "pair", "of two")
    assert found["precompile"] == "0x000000000000000000000000000000000000007e"
    at_a, at_b, at_c = found["receipts"]
    assert (at_a["status"], at_a["commitmentHash"]) == ("0x1", found["transactionHash"])
    assert (at_a, at_c) == (at_b, None)
    assert found["balances"] == ["7", "7"]
    assert found["roots"][0] == found["roots"][1]
    assert (found["deleted"], found["foundAfter"]) == (found["group"], [[], []])
    assert found["deletedTwice"] == "Returned error: Error deleting privacy group"
    assert found["sentAfter"] == "Returned error: PrivacyGroupNotFound"


def test_what_is_asked_wrongly_is_refused_in_besus_words(packages: Path, network: Devnet) -> None:
    assert said(packages, network, "refusals") == {
        "unknownRecipient": "Returned error: NodeMissingPeerUrl",
        "anothersKey": "Returned error: Private from does not match enclave public key",
        "unknownGroup": "Returned error: PrivacyGroupNotFound",
        "unrestricted": "Returned error: Unsupported private transaction type",
        "groupWithoutSelf": "Returned error: CreatePrivacyGroupShouldIncludeSelf",
        "rootOfNoGroup": "Returned error: Error finding privacy group",
        "reverting": "Returned error: Execution reverted",
        "callOfNoGroup": "0x",
        "halted": "0x0",
    }


def test_logs_by_range_by_hash_and_by_filters(packages: Path, network: Devnet) -> None:
    found = said(packages, network, "logs")
    assert (found["amounts"], found["byHash"], found["elsewhere"]) == ([1000, 1, 2], [1], [])
    assert (found["changes"], found["filterLogs"], found["polled"]) == ([[1], [2], []], [1000, 1, 2], [1000, 1, 2])
    assert (found["unsubscribed"], found["uninstalled"]) == (True, True)
    assert found["afterwards"] == "Returned error: Filter not found"


def test_logs_pushed_over_a_websocket(packages: Path, network: Devnet) -> None:
    found = said(packages, network, "subscription")
    assert [notice["privacyGroupId"] for notice in found["notices"]] == [found["group"]] * 2
    assert [notice["subscription"] for notice in found["notices"]] == [found["id"]] * 2
    assert [int(notice["result"]["data"], 16) for notice in found["notices"]] == [5, 6]
    assert found["notices"][0]["result"]["transactionHash"] == found["first"]["commitmentHash"]
    assert found["unsubscribed"] is True


def test_a_flexible_group_is_made_extended_locked_and_left(packages: Path, tmp_path: Path) -> None:
    options = ("--privacy", "--flexible-groups", "--validators", "1", "--block-period", "0.2")
    with running_devnet(tmp_path / "net", *options) as network:
        found = said(packages, network, "flexible")
    one, two, three = found["keys"]
    assert found["madeByLibrary"] == "Returned error: Flexible Privacy group does not exist."
    assert [(group["privacyGroupId"], group["members"]) for group in found["found"]] == [(found["group"], [one, two])]
    assert (found["ofTwo"], found["ofThree"]) == (["1000", "1000", None], ["1000"] * 3)
    assert [set(group["members"]) for group in found["foundExtended"]] == [{one, two, three}]
    assert found["statuses"] == ["0x1", "0x1", "0x1", "0x0", "0x1", "0x1", "0x1"]
    assert found["afterwards"] == ["600", "1000", "600"]
    assert [set(group["members"]) for group in found["foundAfterwards"]] == [{one, three}]
    assert found["receiptAtLeaver"] is None
