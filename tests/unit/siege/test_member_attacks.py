"""What attacks on managers, private groups and permissions send, and what their checks find."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import NetworkShape, make_devnet
from lacnode.permissioning.abi import encode_transaction_call
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair, KeyRing
from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.encrypted_payload import decode_orion_payload, decrypt_payload
from lacnode.privacy.manager.orion_party_info import decode_orion_party_info
from lacnode.privacy.manager.quota import SENDER_SHARE
from lacnode.privacy.manager.recovery_boxes import decode_push_with_boxes, open_recovery_box
from lacnode.privacy.service.node_routes import MAX_PAYLOAD_REQUEST_BYTES
from lacnode.privacy.service.peer_client import MAX_PEER_ANSWER_BYTES
from lacnode.privacy.state.private_transaction import encode_payload_text
from tests.siege.attack import MEMBER, LoadAttack, Sent
from tests.siege.attacks import ATTACKS, CHAPTERS, bomb_answers, lost_stores
from tests.siege.attacks.foreign_groups import false_records_of, foreign_payloads
from tests.siege.attacks.forged_lines import BREAKS, FORGED, suspicious_lines
from tests.siege.attacks.large_payloads import DATA_BYTES
from tests.siege.attacks.permissions import lock_out_calls, looping_rules, parity_rules, way_back
from tests.siege.attacks.private_files import open_paths, secret_files
from tests.siege.http import result_of
from tests.siege.measure import MEGABYTE, disk_bytes
from tests.siege.network import UNKNOWN_KEYS_MEGABYTES, NetworkKind, _made
from tests.siege.permission_calls import (
    ACCOUNT_INGRESS,
    ACCOUNT_RULES,
    ADMIN_CONTRACT,
    admin_of,
    ordinary_account_of,
    setting_rules,
    spare_accounts_of,
    transfer_senders,
)
from tests.siege.private_stranger import PrivateStranger, key_of, victims
from tests.support import contract_network
from tests.support.contract_network import GAS, OUTSIDER, Contracts
from tests.support.evm_network import RICH, signed
from tests.unit.siege.test_measure import cost


class TestChapters:
    def test_the_private_one_has_all_attacks_on_members_and_permissions(self) -> None:
        assert CHAPTERS["all"] == ATTACKS
        loads = [attack for attack in CHAPTERS["private"] if isinstance(attack, LoadAttack)]
        assert all(attack.bounds is MEMBER for attack in loads)
        assert (MEMBER.ratio, MEMBER.private_ratio) == (1.1, 2.0)
        others = [attack for attack in ATTACKS if attack not in CHAPTERS["private"]]
        assert all(attack.kind is NetworkKind.PUBLIC for attack in others)

    def test_names_fit_the_table(self) -> None:
        assert max(len(attack.name) for attack in ATTACKS) <= 23


class TestFindings:
    def test_a_success_of_the_attacker_survives_the_way_to_the_siege(self) -> None:
        sent = Sent()
        sent.count("pushes", 3)
        sent.fault("a payload was read")
        sent.fault("a payload was read")
        read = Sent(**json.loads(json.dumps(asdict(sent))))
        assert (read.counts, read.faults) == ({"pushes": 3}, {"a payload was read": 2})

    def test_disk_beyond_the_quota_breaks_a_bound(self) -> None:
        assert MEMBER.disk_bytes is not None
        assert cost(disk_growth_bytes=MEMBER.disk_bytes).broken(MEMBER) == []
        (fault,) = cost(disk_growth_bytes=MEMBER.disk_bytes + 10**6).broken(MEMBER)
        assert "disk growth" in fault

    def test_the_result_of_an_answer(self) -> None:
        assert result_of(b'HTTP/1.1 200 OK\r\n\r\n{"result": "0x1"}') == "0x1"
        assert result_of(b'HTTP/1.1 200 OK\r\n\r\n{"error": {}}') is None
        assert result_of(b"") is None


class TestNetworks:
    def test_writers_have_the_quota_and_a_permissioned_one_lets_any_node_connect(self, tmp_path: Path) -> None:
        private = _made(tmp_path / "private", 0, 1.0, 0, NetworkKind.PRIVATE)
        configs = [(node.privacy_directory / "manager.toml").read_text("utf-8") for node in victims(private)]
        assert len(configs) == 2
        assert all("unknownkeysmegabytes=240\n" in config for config in configs)
        permissioned = _made(tmp_path / "permissioned", 0, 1.0, 0, NetworkKind.PERMISSIONED)
        for node in permissioned.nodes:
            settings = node.config_file.read_text("utf-8").splitlines()
            assert "permissions-nodes-contract-enabled=false" in settings
            assert "permissions-accounts-contract-enabled=true" in settings

    def test_no_two_senders_share_an_account(self, tmp_path: Path) -> None:
        manifest = make_devnet(tmp_path / "net", NetworkShape(4), 1.0, 0)
        senders = [
            admin_of(manifest).address,
            ordinary_account_of(manifest).address,
            *(account.address for account in spare_accounts_of(manifest)),
            *(key.address for key in transfer_senders(manifest).values()),
        ]
        assert len(set(senders)) == len(senders) == len(manifest.accounts)

    def test_what_files_take_is_what_is_allocated(self, tmp_path: Path) -> None:
        (node,) = make_devnet(tmp_path / "net", NetworkShape(1), 1.0, 0).nodes
        before = disk_bytes(node)
        with (node.directory / "hole").open("wb") as file:
            file.truncate(10**9)
        (node.directory / "more").write_bytes(bytes(100_000))
        assert 100_000 <= disk_bytes(node) - before < 10**6


class TestForeignGroups:
    def test_records_have_the_id_of_the_group_of_recipients(self) -> None:
        members = [KeyPair.generate().public for _ in range(3)]
        assert {record.id for record in false_records_of(members)} == {group_id(members)}

    def test_payloads_claim_what_the_stranger_has_not(self, tmp_path: Path) -> None:
        manifest = make_devnet(tmp_path / "net", NetworkShape(1, writers=2, privacy=True), 1.0, 0)
        one, other = victims(manifest)
        stranger, group = PrivateStranger(), group_id([key_of(one), key_of(other)])
        made = list(foreign_payloads(stranger, one, group, key_of(other)))
        assert len({encode_payload_text(private) for private, _ in made}) == len(made)
        for private, named in made:
            own = group_id([stranger.pair.public, key_of(one)])
            assert (private.private_from, named or own) != (stranger.pair.public, own)

    def test_a_large_payload_is_read_by_a_node_port(self, tmp_path: Path) -> None:
        """And is within a sixteenth of the quota, so that each new key has space for one."""
        in_base64 = DATA_BYTES * 4 // 3
        assert 15_000_000 < in_base64 < UNKNOWN_KEYS_MEGABYTES * MEGABYTE // SENDER_SHARE - 10_000
        assert in_base64 < MAX_PAYLOAD_REQUEST_BYTES - 10_000


class TestBombAnswers:
    @pytest.mark.parametrize(("name", "bomb"), bomb_answers.BOMBS)
    def test_each_is_read_as_an_answer_and_refused_by_what_is_in_it(self, name: str, bomb: bytes) -> None:
        """One that is too long would not be read at all."""
        assert len(bomb) <= MAX_PEER_ANSWER_BYTES
        with pytest.raises(CborError) as refused:
            decode_orion_party_info(bomb)
        assert "network view: at most" not in str(refused.value)


class TestLostStores:
    def test_a_stranger_fills_a_store_with_what_the_member_recovers(self) -> None:
        stranger, victim, member = (KeyPair.generate() for _ in range(3))
        body = lost_stores.payload_for_both(stranger, victim.public, member.public)
        assert len(body) < MAX_PAYLOAD_REQUEST_BYTES
        of_a_key = UNKNOWN_KEYS_MEGABYTES * MEGABYTE // SENDER_SHARE
        assert len(body) * lost_stores.PAYLOADS_OF_A_KEY < of_a_key < len(body) * (lost_stores.PAYLOADS_OF_A_KEY + 1)
        push = decode_push_with_boxes(body, KeyRing([victim]))
        payload = decode_orion_payload(push.payload)
        opened = decrypt_payload(payload, victim)
        given = open_recovery_box(replace(payload, boxes=(push.boxes[member.public],)), member)
        assert opened is not None
        assert given is not None
        assert decrypt_payload(given, member) == opened


class TestForgedLines:
    @pytest.mark.parametrize("text", BREAKS)
    def test_each_break_is_found_in_a_log(self, text: str) -> None:
        log = f"2026-01-01 INFO told of http://a{text}{FORGED} a line\n".encode()
        assert list(suspicious_lines(log))

    def test_an_honest_log_has_none(self) -> None:
        log = f"2026-01-01 INFO told of http://a\\n{FORGED} a line\n\tat ü\n".encode()
        assert list(suspicious_lines(log)) == []


class TestPrivateFiles:
    def test_open_databases_and_directories_are_found(self, tmp_path: Path) -> None:
        (node,) = make_devnet(tmp_path / "net", NetworkShape(1), 1.0, 0).nodes
        database = node.directory / "database" / "data.mdb"
        database.parent.mkdir(0o700)
        database.touch(0o600)
        secrets = list(secret_files(node.directory))
        assert database in secrets
        assert list(open_paths(node, secrets)) == []
        database.chmod(0o644)
        database.parent.chmod(0o755)
        assert list(open_paths(node, secrets)) == [database.parent, database]

    def test_an_open_data_path_and_directory_of_a_manager_are_found(self, tmp_path: Path) -> None:
        manifest = make_devnet(tmp_path / "net", NetworkShape(1, writers=1, privacy=True), 1.0, 0)
        (writer,) = manifest.nodes_with_role("writer")
        assert list(open_paths(writer, secret_files(writer.directory))) == []
        for directory in (writer.directory, writer.privacy_directory):
            directory.chmod(0o750)
        found = list(open_paths(writer, secret_files(writer.directory)))
        assert found == [writer.directory, writer.privacy_directory]


class TestPermissions:
    def test_each_call_does_what_it_must_on_the_contracts(self) -> None:
        """The addresses are the genesis', calls that must revert do, and others are undone by the same account."""
        assert (ACCOUNT_INGRESS, ACCOUNT_RULES, ADMIN_CONTRACT) == (
            contract_network.ACCOUNT_INGRESS,
            contract_network.ACCOUNT_RULES,
            contract_network.ADMIN,
        )
        contracts = Contracts()
        for change in lock_out_calls(RICH.address):
            assert succeeds(contracts, change.contract, change.data) is not change.reverts, change.what
            for contract, data in change.undo:
                assert succeeds(contracts, contract, data), change.what

    def test_there_is_a_way_back_from_all_of_them_at_once(self) -> None:
        contracts = Contracts()
        for change in lock_out_calls(RICH.address):
            succeeds(contracts, change.contract, change.data)
        for contract, data in way_back(RICH.address):
            succeeds(contracts, contract, data)
        assert contracts.ask(ACCOUNT_RULES, "isReadOnly()", returns="bool") is False
        assert contracts.ask(ACCOUNT_RULES, "areTargetsRestricted()", returns="bool") is False
        assert answer(contracts, RICH) == 1

    @pytest.mark.parametrize("make", [looping_rules, parity_rules])
    def test_hostile_rules_are_accepted_and_replaced(self, make: Callable[[bytes], bytes]) -> None:
        contracts = Contracts()
        rules = contracts.create(make(RICH.address))
        assert succeeds(contracts, ACCOUNT_INGRESS, setting_rules(rules))
        assert answer(contracts, RICH) == 1
        assert succeeds(contracts, ACCOUNT_INGRESS, setting_rules(ACCOUNT_RULES))
        assert answer(contracts, OUTSIDER) == 0

    def test_looping_rules_use_all_gas(self) -> None:
        contracts = Contracts()
        assert succeeds(contracts, ACCOUNT_INGRESS, setting_rules(contracts.create(looping_rules(RICH.address))))
        assert answer(contracts, OUTSIDER) is None

    def test_parity_rules_change_with_each_second(self) -> None:
        contracts = Contracts()
        assert succeeds(contracts, ACCOUNT_INGRESS, setting_rules(contracts.create(parity_rules(RICH.address))))
        for _ in range(3):
            contracts.network.execute()
            assert answer(contracts, OUTSIDER) == contracts.network.header.timestamp % 2


def succeeds(contracts: Contracts, contract: bytes, data: bytes) -> bool:
    transaction = signed(RICH, contracts.next_nonce(), to=contract, data=data, gas=GAS)
    (receipt,) = contracts.network.execute(transaction).receipts
    return receipt.status == 1


def answer(contracts: Contracts, sender: NodeKey) -> int | None:
    """What the ingress answers about a transfer, None if it fails."""
    question = encode_transaction_call(UnsignedTransaction(to=b"\x5e" * 20, gas_limit=21_000), sender.address)
    result = contracts.network.call(to=ACCOUNT_INGRESS, data=question, gas=GAS)
    return int.from_bytes(result.output) if result.success else None
