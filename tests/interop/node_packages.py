"""The npm packages that the interop tests need, installed once per version of package-lock.json."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 180


def install_packages(name: str = "node") -> Path:
    """Install what the package-lock.json of a directory beside this file names, or skip the test with the reason; that
    directory."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node.js with npm is needed for tests against other implementations")
    directory = HERE / name
    with (directory / "package.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another worker may be at it
        _install(npm, directory)
    return directory


def _install(npm: str, directory: Path) -> None:
    wanted = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = directory / "node_modules" / ".lacnode"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    try:
        subprocess.run(
            [npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--prefer-offline"],
            cwd=directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not install the packages of {directory.name}: {error}: {error.stderr!r}")
    stamp.write_text(wanted)
