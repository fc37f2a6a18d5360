"""What the command prints of a contract's texts, which may be anything."""

import pytest
from eth_abi.abi import encode

from lacnode.cli.permissions.node_client import NodeClient
from lacnode.cli.permissions.permissions_command import main
from lacnode.cli.permissions.rule_contracts import call_data
from lacnode.permissioning.abi import RULES_NAME, encode_registered_call

INGRESS, RULES = "0x" + "11" * 20, "22" * 20


def test_a_name_in_a_contract_cannot_forge_lines_or_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = "10.0.0.1:30303\nenode://forged@10.0.0.2\x1b]52;c;eA==\x07"
    answers = {
        encode_registered_call(RULES_NAME): bytes.fromhex(RULES).rjust(32, b"\0"),
        call_data("enodePermitted(string,string,uint16)", "", "", 0): bytes(32),
        call_data("getSize()"): (1).to_bytes(32),
        call_data("getByIndex(uint256)", 0): encode(["string", "string", "uint16"], ["ab" * 64, host, 30303]),
    }
    monkeypatch.setattr(NodeClient, "read_contract", lambda self, contract, data: answers.get(data))
    assert main(["nodes", "list", "--node-contract", INGRESS]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert r"10.0.0.1:30303\nenode://forged@10.0.0.2\x1b]52" in line
