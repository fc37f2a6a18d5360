"""The seed case, from `examples/cadena`: what two administrations share reaches the partner, and leaves the third hashes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lacnode.primitives.keccak import keccak256
from tests.support.devnet import ask, running_devnet

ROOT = Path(__file__).resolve().parents[2]
NAMES = (b"AEO-2041", b"AEO-7730", b"coffee exporter")

pytestmark = pytest.mark.xdist_group("private-devnet")


def run(path: Path) -> str:
    command = [sys.executable, "-m", "examples.cadena", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_partners_share_what_a_third_has_only_hashes_of(tmp_path: Path) -> None:
    path = tmp_path / "net"
    with running_devnet(path, "--privacy", "--validators", "1", "--block-period", "0.2") as network:
        told = run(path)
        assert "customs B sees AEO-2041 coffee exporter VALID, as customs A said" in told
        assert "customs A sees AEO-7730 freight forwarder VALID, as customs B said" in told
        assert "customs B sees AEO-2041 coffee exporter SUSPENDED, as customs A said" in told
        (issuer,) = re.findall(r"SUSPENDED: issued by did:lac:devnet:(0x[0-9a-f]{40}), proof in block", told)
        assert "AEO-2041 coffee exporter VALID: nobody has put this record on the chain" in told
        (registry,) = re.findall(r"registry (0x[0-9a-fA-F]{40})", told)
        query = {"address": registry, "fromBlock": "0x0", "topics": [exchanged()]}
        proofs = ask(network.url("writer-3"), "eth_getLogs", query)
        assert [proof["topics"][1][-40:] == issuer[2:] for proof in proofs] == [True, False, True]
        for proof in proofs:
            marker = ask(network.url("writer-3"), "eth_getTransactionByHash", proof["topics"][3])
            assert (marker["to"], len(marker["input"])) == ("0x" + "7e".zfill(40), 2 + 64)
            assert ask(network.url("writer-3"), "priv_getTransactionReceipt", proof["topics"][3]) is None
        network.command("stop")
        for name in ("writer-3", "validator-1"):
            for file in (path / "nodes" / name).rglob("*"):
                if file.is_file():
                    content = file.read_bytes()
                    assert not [name for name in NAMES if name in content or name.hex().encode() in content], file


def exchanged() -> str:
    return "0x" + keccak256(b"Exchanged(address,bytes32,bytes32)").hex()


def test_says_what_is_missing_where_there_is_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.cadena", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "start a network first: lacnode devnet --privacy" in done.stderr
