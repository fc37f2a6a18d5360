"""`lacnode devnet --privacy`: real processes, each writer with its own transaction manager in it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from lacnode.devnet import processes
from lacnode.primitives.keccak import keccak256
from lacnode.privacy.state.private_store import ROOTS
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support.devnet import PATIENCE, Devnet, ask, height, running_devnet, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "private_deployment.py"
CODE = bytes.fromhex(json.loads((ROOT / "examples" / "contracts" / "Token.json").read_text())["bytecode"][2:])

pytestmark = pytest.mark.xdist_group("private-devnet")


def deploy(path: Path) -> tuple[str, str]:
    """Run the example; the marker's hash and what it printed."""
    done = subprocess.run([sys.executable, str(EXAMPLE), str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    marker = re.search(r"marker (0x[0-9a-f]{64})", done.stdout)
    assert marker is not None
    return marker.group(1), done.stdout


def receipt(network: Devnet, name: str, marker: str) -> dict[str, str] | None:
    found: dict[str, str] | None = ask(network.url(name), "priv_getTransactionReceipt", marker)
    return found


def root(network: Devnet, name: str) -> str | None:
    """The state root of the only group there is."""
    (group,) = ask(network.url(name), "lac_privacyGroups") or [{}]
    found: str | None = group.get("stateRoot")
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    path = tmp_path_factory.mktemp("shared") / "net"
    with running_devnet(path, "--privacy", "--validators", "1", "--block-period", "0.2") as network:
        deploy(path)
        yield network


@pytest.fixture
def network(shared: Devnet) -> Devnet:
    """A validator and three writers that run, with one group of two members that agree."""
    if any(processes.find_pid(node) is None for node in shared.manifest.nodes):
        shared.command("start")
    for name in ("writer-1", "writer-2"):
        until(lambda name=name: stands(shared, name, "current"), f"{name} agrees")  # type: ignore[misc]
    return shared


def replace_root(directory: Path, root: bytes | None = None) -> bytes:
    """Put another root in the place of a group's last one, while its node is down; what was there."""
    with closing(LmdbDatabase(directory)) as database, database.write() as batch:
        key, before = next(iter(batch.items(ROOTS)))
        batch.put(ROOTS, key, root or keccak256(before))
    return before


def stands(network: Devnet, name: str, status: str, *others: str) -> bool:
    """Whether the group stands so at a member and names these others, and the health report counts it."""
    groups = ask(network.url(name), "lac_privacyGroups")
    if groups is None or [(group["status"], group["divergedFrom"]) for group in groups] != [(status, list(others))]:
        return False
    counted: int = httpx.get(f"{network.url(name)}/readiness", timeout=PATIENCE).json()["privacy"]["groups"][status]
    return counted == 1


def key_of(network: Devnet, name: str) -> str:
    """The public key of a node's manager."""
    return str(network.made(name).privacy_key)


def test_a_member_whose_private_state_is_not_the_others_is_found_out(network: Devnet) -> None:
    """By every member, unasked, and only until it is right again."""
    first, second = (key_of(network, name) for name in ("writer-1", "writer-2"))
    directory = network.path / "nodes" / "writer-2"
    log = network.made("writer-1").log_file
    logged = len(log.read_text())
    network.command("kill", "writer-2")
    true = replace_root(directory)
    network.command("start", "writer-2")
    until(lambda: stands(network, "writer-1", "diverged", second), "the other member sees it")
    until(lambda: stands(network, "writer-2", "diverged", first), "it sees it itself")
    (warning,) = [line for line in log.read_text()[logged:].splitlines() if "not the same at another member" in line]
    assert all(word in warning for word in (second, true.hex(), keccak256(true).hex()))
    network.command("kill", "writer-2")
    replace_root(directory, true)
    network.command("start", "writer-2")
    for name in ("writer-1", "writer-2"):
        until(lambda name=name: stands(network, name, "current"), f"{name} agrees again")  # type: ignore[misc]


def test_two_members_share_what_a_third_never_sees(network: Devnet) -> None:
    marker, said = deploy(network.path)
    first, second = (receipt(network, name, marker) for name in ("writer-1", "writer-2"))
    assert first is not None
    assert second is not None
    assert first["contractAddress"] == second["contractAddress"]
    assert "member 3: nothing" in said
    public = ask(network.url("writer-3"), "eth_getTransactionByHash", marker)
    assert len(public["input"]) == 2 + 64, "the marker carries the payload's digest"
    assert receipt(network, "writer-3", marker) is None
    network.command("stop")
    for name in ("writer-3", "validator-1"):
        for file in network.made(name).directory.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert CODE[:64] not in content, file
                assert CODE[:64].hex().encode() not in content, file


def test_tessera_579_a_wiped_member_rebuilds(network: Devnet) -> None:
    """It loses payloads, private state and the chain; its key and the other members are left."""
    markers = [deploy(network.path)[0] for _ in range(3)]
    kept = [receipt(network, "writer-2", marker) for marker in markers]
    assert None not in kept
    network.command("kill", "writer-2")
    directory = network.path / "nodes" / "writer-2"
    shutil.rmtree(directory / "database")
    for file in (directory / "privacy").glob("*.sqlite*"):
        file.unlink()
    network.command("start", "writer-2")
    for marker, before in zip(markers, kept, strict=True):
        until(lambda marker=marker: receipt(network, "writer-2", marker) is not None, f"{marker} back")  # type: ignore[misc]
        assert receipt(network, "writer-2", marker) == before
    (group,) = ask(network.url("writer-2"), "lac_privacyGroups")
    assert (group["status"], group["waitingFor"]) == ("current", 0)


def test_the_public_chain_goes_on_while_a_member_is_away(network: Devnet) -> None:
    network.command("kill", "writer-2")
    reached = height(network.url("writer-1"))
    for url in (network.url("writer-1"), network.url("validator-1")):
        until(lambda url=url: height(url) >= reached + 50, "fifty blocks", 180)  # type: ignore[misc]
    network.command("start", "writer-2")
    until(lambda: height(network.url("writer-2")) >= reached + 50, "the member caught up")
    marker, _ = deploy(network.path)
    assert receipt(network, "writer-2", marker) == receipt(network, "writer-1", marker)
    roots = {root(network, name) for name in ("writer-1", "writer-2")}
    assert len(roots) == 1
    assert None not in roots
