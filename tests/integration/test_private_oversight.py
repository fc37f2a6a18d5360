"""A group with a mandatory recipient on a devnet of real processes: what the supervisor gets, what members see of it, and
what the audit logs say to whoever reads them later."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.private_transaction import private_contract_address
from tests.support.devnet import Devnet, ask, running_devnet, until
from tests.support.private_nodes import ALICE, KEEPER, deploying, private

pytestmark = pytest.mark.xdist_group("private-devnet")

SECRET = b"certificate ES-0001 is suspended"
"""One word of a contract's storage."""

MEMBER, PARTNER, SUPERVISOR = "writer-1", "writer-2", "writer-3"


def key_of(network: Devnet, name: str) -> str:
    """The public key of a node's transaction manager, in base64."""
    return str(network.made(name).privacy_key)


def sent(network: Devnet, name: str, group: str, nonce: int, data: bytes, to: bytes | None = None) -> dict[str, Any]:
    """What a node answers to a private transaction of Alice's."""
    url = network.url(name)
    raw = private(
        ALICE,
        nonce,
        to=to,
        data=data,
        group=base64.b64decode(group),
        private_from=base64.b64decode(key_of(network, name)),
        chain_id=int(ask(url, "eth_chainId"), 16),
    ).raw
    body = {"jsonrpc": "2.0", "id": 1, "method": "eea_sendRawTransaction", "params": [to_hex(raw)]}
    answer: dict[str, Any] = httpx.post(url, json=body, timeout=30).json()
    return answer


def executed(network: Devnet, name: str, marker: str) -> None:
    url = network.url(name)
    until(lambda: ask(url, "priv_getTransactionReceipt", marker) is not None, f"{marker} executed at {name}")
    assert ask(url, "priv_getTransactionReceipt", marker)["status"] == "0x1"


def digest(network: Devnet, marker: str) -> str:
    """What the public chain says of a private transaction, in base64."""
    public = ask(network.url("validator-1"), "eth_getTransactionByHash", marker)
    return base64.b64encode(bytes.fromhex(public["input"][2:])).decode()


def exported(network: Devnet, name: str) -> list[dict[str, Any]]:
    """The audit log as its operator exports it while the node runs; nothing of what was sent is in it."""
    config = network.path / "nodes" / name / "privacy" / "manager.toml"
    command = [sys.executable, "-m", "lacnode", "privacy-manager", "audit", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for content in (SECRET, KEEPER):
        for form in (content, content.hex().encode(), base64.b64encode(content).rstrip(b"=")):
            assert form not in done.stdout.encode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(entry: dict[str, Any]) -> tuple[str, str, str, set[str], str]:
    return entry["event"], entry["digest"], entry["sender"], set(entry["recipients"]), entry["result"]


def test_a_supervisor_gets_all_that_is_sent_to_the_group_in_the_members_sight_and_on_record(tmp_path: Path) -> None:
    began = datetime.now(UTC)
    options = ("--privacy", "--validators", "1", "--block-period", "0.2")
    with running_devnet(tmp_path / "net", *options) as network:
        member, partner, supervisor = keys = [key_of(network, name) for name in (MEMBER, PARTNER, SUPERVISOR)]
        agreement = {"addresses": [member, partner], "name": "MRA", "description": "AEO status"}
        group = ask(network.url(MEMBER), "priv_createPrivacyGroup", {**agreement, "mandatoryRecipient": supervisor})

        for name in (MEMBER, PARTNER, SUPERVISOR):
            (seen,) = ask(network.url(name), "priv_findPrivacyGroup", keys)
            assert (seen["privacyGroupId"], seen["members"]) == (group, keys)
            assert seen["description"] == f"AEO status [mandatory recipient: {supervisor}]"

        contract = private_contract_address(ALICE.address, 0, base64.b64decode(group))
        deployed = sent(network, MEMBER, group, 0, deploying(KEEPER))["result"]
        executed(network, PARTNER, deployed)
        suspended = sent(network, PARTNER, group, 1, SECRET, contract)["result"]
        executed(network, SUPERVISOR, suspended)
        executed(network, MEMBER, suspended)
        call = {"to": to_hex(contract)}
        assert ask(network.url(SUPERVISOR), "priv_call", group, call, "latest") == to_hex(SECRET)

        network.command("kill", SUPERVISOR)
        refused = sent(network, MEMBER, group, 2, SECRET, contract)["error"]
        assert refused["message"] == "NodePropagatingToAllPeers", "the sender is told, and nothing is announced"
        count = ask(network.url(MEMBER), "priv_getTransactionCount", to_hex(ALICE.address), group)
        assert count == "0x2"

        first, second = digest(network, deployed), digest(network, suspended)
        at_member, at_partner, at_supervisor = (exported(network, name) for name in (MEMBER, PARTNER, SUPERVISOR))

    created, *sends, undelivered = map(told, at_member)
    assert created[0] == "group-created"
    assert created[2:4] == (member, set(keys))
    assert sends == [
        ("sent", first, member, {partner, supervisor}, "ok"),
        ("received", second, partner, {member}, "ok"),
    ]
    assert undelivered[0] == "sent"
    assert undelivered[2:] == (member, {partner, supervisor}, "not delivered to all")
    assert [told(entry) for entry in at_partner[:2]] == [
        ("received", first, member, {partner}, "ok"),
        ("sent", second, partner, {member, supervisor}, "ok"),
    ]
    assert [told(entry) for entry in at_supervisor] == [
        ("received", first, member, {supervisor}, "ok"),
        ("received", second, partner, {supervisor}, "ok"),
    ]
    for log in (at_member, at_partner, at_supervisor):
        assert {entry["privacyGroupId"] for entry in log} == {group}
        times = [datetime.fromisoformat(entry["time"]) for entry in log]
        assert times == sorted(times)
        assert began.replace(microsecond=0) <= times[0]
        assert times[-1] <= datetime.now(UTC)
        assert [entry["number"] for entry in log] == list(range(1, len(log) + 1))
