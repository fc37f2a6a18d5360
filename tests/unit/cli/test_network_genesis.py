"""What `operator generate-network-genesis` says about lists with an entry that may not be there."""

import json
from pathlib import Path

import pytest

from lacnode.cli.main import main

ADDRESS, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
ID = "ab" * 64
NODE = {"enode": f"enode://{ID}@10.0.0.1:30303", "role": "writer"}
ELSEWHERE = {"enode": f"enode://{ID.upper()}@10.0.0.2:30304", "role": "boot"}
GENESIS = {"config": {"chainId": 1, "berlinBlock": 0, "ibft2": {}}, "difficulty": "0x1", "gasLimit": "0x1000000"}


@pytest.mark.parametrize(
    ("permissions", "told"),
    [
        ({"nodes": [NODE, ELSEWHERE]}, f"permissions.nodes: 0x{ID} is listed twice"),
        ({"accounts": [ADDRESS, OTHER, ADDRESS[2:]]}, f"permissions.accounts: {ADDRESS} is listed twice"),
        ({"accounts": ["0x" + "00" * 20]}, "permissions.accounts: the zero address"),
        ({"admins": ["0x" + "00" * 20]}, "permissions.admins: the zero address"),
        ({"nodes": [{**NODE, "enode": f"enode://{ID}@node.example:30303"}]}, "node.example"),
    ],
)
def test_permissions_that_are_wrong_are_named(
    permissions: dict[str, object], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "network.json"
    document = {"genesis": GENESIS, "validators": [ADDRESS], "permissions": {"admins": [OTHER], **permissions}}
    file.write_text(json.dumps(document))
    assert main(["operator", "generate-network-genesis", f"--config-file={file}", f"--to={tmp_path / 'out'}"]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_validator_that_is_listed_twice_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "network.json"
    file.write_text(json.dumps({"genesis": GENESIS, "validators": [ADDRESS, OTHER, ADDRESS.upper().replace("X", "x")]}))
    assert main(["operator", "generate-network-genesis", f"--config-file={file}", f"--to={tmp_path / 'out'}"]) == 1
    assert f"validators: {ADDRESS} is listed twice" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
