"""The networks of genesis/: made again from their files, byte for byte, and run by a chain that agrees on their hashes."""

import json
from pathlib import Path

import pytest

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import load_genesis
from lacnode.cli.main import main
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.node_contract import NodeContract
from lacnode.primitives.hexadecimal import to_hex
from lacnode.storage.memory_database import MemoryDatabase

NETWORKS = Path(__file__).resolve().parents[2] / "genesis"
NAMES = sorted(path.parent.name for path in NETWORKS.glob("*/network.json"))
NODE_INGRESS = bytes.fromhex("9999".rjust(40, "0"))


def test_there_are_the_three() -> None:
    assert NAMES == ["free-gas", "lacchain-roles", "permissioned-devnet"]


@pytest.mark.parametrize("name", NAMES)
def test_is_made_again_from_its_file(name: str, tmp_path: Path) -> None:
    words = ["operator", "generate-network-genesis", f"--config-file={NETWORKS / name / 'network.json'}"]
    assert main([*words, f"--to={tmp_path}"]) == 0
    for file in ("genesis.json", "expected.json"):
        assert (tmp_path / file).read_bytes() == (NETWORKS / name / file).read_bytes()


def test_another_genesis_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def make(name: str) -> int:
        file = NETWORKS / name / "network.json"
        return main(["operator", "generate-network-genesis", f"--config-file={file}", f"--to={tmp_path}"])

    assert make("free-gas") == make("free-gas") == 0, "the same is no harm"
    before = (tmp_path / "genesis.json").read_bytes()
    assert make("lacchain-roles") == 1
    assert "genesis.json is there already and differs" in capsys.readouterr().err
    assert (tmp_path / "genesis.json").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_begins_a_chain_with_its_hash(name: str) -> None:
    spec, database = load_genesis(NETWORKS / name / "genesis.json"), MemoryDatabase()
    chain = Blockchain(spec, database, PyEvmEngine(spec, DatabaseNodeStore(database)))
    expected = json.loads((NETWORKS / name / "expected.json").read_text())
    assert expected == {"hash": to_hex(chain.genesis_hash), "stateRoot": to_hex(chain.genesis.header.state_root)}
    assert len(chain.validators_after(chain.genesis.header)) == 4


def test_roles_connect_from_the_first_block() -> None:
    spec, database = load_genesis(NETWORKS / "lacchain-roles" / "genesis.json"), MemoryDatabase()
    engine = PyEvmEngine(spec, DatabaseNodeStore(database))
    chain = Blockchain(spec, database, engine)
    rules = NodeContract(ChainContracts(spec, engine, chain.hash_at), NODE_INGRESS)
    document = json.loads((NETWORKS / "lacchain-roles" / "network.json").read_text())
    nodes = {node["name"]: Enode.parse(node["enode"]) for node in document["permissions"]["nodes"]}
    head = chain.head.header
    assert rules.decide(nodes["writer-1"], nodes["boot-2"], head, 5).allowed
    assert rules.decide(nodes["writer-1"], nodes["writer-2"], head, 5).allowed
    assert not rules.decide(nodes["writer-1"], nodes["validator-1"], head, 5).allowed
    assert not rules.decide(nodes["observer-1"], nodes["writer-1"], head, 5).allowed


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("{", "Invalid JSON"),
        ('{"genesis": {}}', "validators: Field required"),
        ('{"genesis": {}, "validators": ["0x1"]}', "0x1"),
        ('{"genesis": {}, "validators": [], "extra": 1}', "validators: List should have at least 1 item"),
    ],
)
def test_a_bad_file_is_told(document: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "network.json"
    file.write_text(document)
    assert main(["operator", "generate-network-genesis", f"--config-file={file}", f"--to={tmp_path / 'out'}"]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
