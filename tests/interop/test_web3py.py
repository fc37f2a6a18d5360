"""web3.py 7 and 8, with their default settings, against the developer endpoint of a devnet."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lacnode.devnet.accounts import mnemonic_accounts
from tests.support.devnet import running_devnet

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("developer-clients")]

HERE = Path(__file__).parent / "web3py"
TOKEN = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "Token.json"
INSTALL_SECONDS, DEADLINE = 180, 240


@pytest.fixture(scope="module")
def release_7(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with web3.py 7, which works with the packages that web3.py 8 needs."""
    target = tmp_path_factory.mktemp("web3py")
    words = ["install", "--no-deps", "--require-hashes", "--requirement", str(HERE / "requirements.txt")]
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", *words, "--target", str(target)],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"pip could not install web3.py 7: {error}: {error.stderr!r}")
    return target


@pytest.mark.parametrize("release", ["7", "8"])
def test_a_release_works_with_its_default_settings(
    release: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    packages = str(request.getfixturevalue("release_7")) if release == "7" else ""
    with running_devnet(tmp_path / "net", "--validators", "1", "--blocks-on-demand") as network:
        url, key = str(network.status()["developer_url"]), mnemonic_accounts()[0].private_key
        finished = subprocess.run(
            [sys.executable, str(HERE / "default_settings.py"), url, str(TOKEN), key],
            env={**os.environ, "PYTHONPATH": packages},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {
        "release": release,
        "type": 2,
        "status": 1,
        "balance": 42,
        "events": [42],
        "says_why": True,
        "head": True,
        "signed": True,
    }
