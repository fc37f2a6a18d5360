"""A devnet that cannot start, for a damaged file or a taken port, says why in one line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lacnode.devnet.devnet_ports import claim_port_offset, developer_port
from lacnode.devnet.manifest import FILE_NAME, NetworkShape, make_devnet


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (FILE_NAME, "{", f"{FILE_NAME} is damaged"),
        ("genesis.json", "[]", "Unable to load genesis file"),
    ],
)
def test_a_damaged_file_of_the_devnet_ends_the_start(tmp_path: Path, name: str, text: str, told: str) -> None:
    manifest = make_devnet(tmp_path / "net", NetworkShape(1), 1.0, 0)
    node = manifest.nodes[0]
    # The node has a whole genesis of its own. Only the developer endpoint reads that of the devnet.
    own = tmp_path / "genesis.json"
    own.write_text(manifest.genesis_file.read_text())
    (manifest.path / name).write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "lacnode", f"--config-file={node.config_file}", f"--genesis-file={own}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert told in run.stderr + run.stdout
    assert "Traceback" not in run.stderr + run.stdout


def test_a_taken_port_ends_a_network_in_one_process() -> None:
    with claim_port_offset(1) as offset, socket.create_server(("127.0.0.1", developer_port(offset))):
        words = ("devnet", "--in-process", "--validators", "1", "--port-offset", str(offset))
        run = subprocess.run([sys.executable, "-m", "lacnode", *words], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    port = developer_port(offset)
    assert run.stderr == f"devnet: Port(s) '[{port}]' already in use. Check for other processes using the port(s).\n"
