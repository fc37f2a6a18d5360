"""The npm packages that the interop tests need, installed once per version of package-lock.json."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"
INSTALL_SECONDS = 180


def install_packages() -> None:
    """Install what package-lock.json names, or skip the test with the reason."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node.js with npm is needed for tests against other implementations")
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".lacnode"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    try:
        subprocess.run(
            [npm, "ci", "--omit=dev"], cwd=HERE, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not install the packages of {HERE.name}: {error}: {error.stderr!r}")
    stamp.write_text(wanted)
