"""The image and the compose file, without an engine: the image's steps are run in order in a clean environment, and every
command of the compose file is given to the command line."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml

from lacnode.cli.sources import collect_settings, parse_command_line
from tests.support.devnet import running_devnet, until
from tools.run_requirements import LOCK, RUN_LOCK, run_lock

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_image_runs_without_rights_and_says_whether_it_is_well() -> None:
    said = dict(instructions())
    assert said["USER"] == "lacnode"
    assert json.loads(said["VOLUME"]) == ["/data", "/config"]
    assert "/opt/lacnode/healthcheck.py" in said["HEALTHCHECK"]
    assert json.loads(said["ENTRYPOINT"]) == ["lacnode"]


def test_the_image_has_besus_path_and_the_port_of_metrics() -> None:
    steps = [arguments for instruction, arguments in instructions() if instruction == "RUN"]
    assert any("ln -s /opt/lacnode/bin/lacnode /opt/besu/bin/besu" in step for step in steps)
    assert "9545/tcp" in dict(instructions())["EXPOSE"].split()


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage with a name, by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for instruction, arguments in instructions():
        if instruction == "FROM":
            _, _, name = arguments.partition(" AS ")
            found[name] = []
        if found:
            found[name].append((instruction, arguments))
    return found


def test_each_engine_has_a_stage_and_py_evm_is_the_default() -> None:
    assert instructions()[0] == ("ARG", "ENGINE=python")
    found = stages()
    assert found["build"] == [("FROM", "build-${ENGINE} AS build")]
    assert found["build-python"][0] == ("FROM", "python:3.11-slim AS build-python")
    assert found["build-native"][0] == ("FROM", "build-python AS build-native")
    assert found["build-native"][-1] == ("RUN", "/opt/lacnode/bin/python native/build.py")


def test_the_native_engine_is_built_by_the_toolchain_that_it_needs() -> None:
    wanted = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text("utf-8"))["package"]["rust-version"]
    copied = [arguments for instruction, arguments in stages()["build-native"] if instruction == "COPY"]
    assert copied[:2] == [
        f"--from=rust:{wanted}-slim /usr/local/{part} /usr/local/{part}" for part in ("rustup", "cargo")
    ]
    assert "native/target" in (ROOT / ".dockerignore").read_text().split()


def final_stage() -> list[tuple[str, str]]:
    """The instructions from the last FROM on."""
    steps = instructions()
    return steps[max(place for place, (instruction, _) in enumerate(steps) if instruction == "FROM") :]


def test_the_final_stage_has_no_tools_to_build_and_no_other_files_than_the_nodes() -> None:
    steps = final_stage()
    assert steps[0] == ("FROM", "python:3.11-slim")
    run = " ".join(arguments for instruction, arguments in steps if instruction == "RUN")
    for word in (
        "apt-get",
        "apk ",
        "pip install",
        "gcc",
        "g++",
        "build-essential",
        "cargo",
        "rustup",
        "-dev",
        "curl",
        "wget",
    ):
        assert word not in run
    copied = [arguments for instruction, arguments in steps if instruction in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/lacnode /opt/lacnode", "docker/healthcheck.py /opt/lacnode/healthcheck.py"]
    assert not re.search(r"chmod\s+(-R\s+)?([0-7]*[2367]\b|[ao]\+|\+)", run)
    # The last user is not root.
    assert [arguments for instruction, arguments in steps if instruction == "USER"][-1] == "lacnode"


def test_the_image_has_the_packages_of_a_running_node_alone() -> None:
    lock, project = (ROOT / LOCK).read_text("utf-8"), (ROOT / "pyproject.toml").read_text("utf-8")
    written = (ROOT / RUN_LOCK).read_text("utf-8")
    assert written == run_lock(lock, project), "run: make lock"
    packages = set(re.findall(r"^([\w-]+)==", written, re.M))
    assert {"trio", "lmdb", "py-evm", "psycopg-binary", "setuptools"} < packages
    assert not packages & {"pytest", "mypy", "ruff", "hypothesis", "web3", "aiohttp", "pip", "virtualenv", "pre-commit"}
    build = " ".join(arguments for instruction, arguments in instructions() if instruction == "RUN")
    assert "pip uninstall --yes setuptools pip" in build


WITHOUT_THE_REST = """
import importlib, pkgutil, re, sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

kept = set(sys.argv[1].split(","))
owners = {name: {re.sub(r"[-_.]+", "-", one).lower() for one in of} for name, of in packages_distributions().items()}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        found = owners.get(name.partition(".")[0], set())
        if found and "lacnode" not in found and not found & kept:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Absent())
import lacnode
for module in pkgutil.walk_packages(lacnode.__path__, "lacnode."):
    if not module.name.startswith(("lacnode.testing", "lacnode.__main__")):
        importlib.import_module(module.name)
"""


def test_every_module_of_the_node_runs_with_these_packages() -> None:
    packages = re.findall(r"^([\w-]+)==", (ROOT / RUN_LOCK).read_text("utf-8"), re.M)
    kept = ",".join(name for name in packages if name != "setuptools")
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_REST, kept], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr


def test_the_build_steps_make_a_node_that_starts(tmp_path: Path) -> None:
    """COPY and RUN of the build stage, in order, with its paths moved under a directory of the test's.

    The locked requirements are those of this environment, so they are linked in instead of downloaded once more.
    """
    source, target = tmp_path / "src", tmp_path / "opt" / "lacnode"
    source.mkdir()
    ran: list[str] = []
    for instruction, arguments in instructions():
        if instruction == "FROM" and ran:
            break
        if instruction == "COPY":
            *names, _ = shlex.split(arguments)
            for name in names:
                if (ROOT / name).is_dir():
                    # As .dockerignore says; and other processes write there meanwhile.
                    shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / name)
        elif instruction == "RUN":
            command = arguments.replace("/opt/lacnode", str(target))
            ran.append(arguments)
            # Here `pip uninstall` would find the packages of this environment.
            if "pip uninstall" in command:
                continue
            if "requirements-run.lock" in command:
                packages = next(target.glob("lib/python*/site-packages"))
                first = f"import sys; sys.path.insert(0, {sysconfig.get_path('purelib')!r})\n"
                (packages / "locked.pth").write_text(first)
                continue
            command = (
                command.replace("python -m venv", f"{sys.executable} -m venv", 1) if "-m venv" in command else command
            )
            without_asking = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            subprocess.run(
                command, shell=True, check=True, cwd=source, env=without_asking, capture_output=True, timeout=600
            )
    assert any("requirements-run.lock" in step and "--require-hashes" in step for step in ran)
    node = target / "bin" / "lacnode"
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert version.stdout.startswith("lacnode/v")
    installed = subprocess.run(
        [target / "bin" / "python", "-c", "import lacnode; print(lacnode.__file__)"],
        check=True, capture_output=True, text=True, cwd=tmp_path, timeout=30,
    )  # fmt: skip
    assert str(target) in installed.stdout
    contracts = (
        "from lacnode.permissioning.artifacts import NAMES, load_artifact; "
        "print([len(load_artifact(n).abi) for n in NAMES])"
    )
    subprocess.run(
        [target / "bin" / "python", "-c", contracts],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=30,
    )


def test_the_health_check_follows_the_node(tmp_path: Path) -> None:
    with running_devnet(tmp_path / "net", "--validators", "1") as network:
        url = network.url("validator-1") + "/liveness"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.status == 200
        until(lambda: _health(url) == 0, "the check answers within the 2 s that it gives the node")
        network.command("stop")
        assert _health(url) == 1


def _health(url: str) -> int:
    environment = {**os.environ, "LACNODE_HEALTH_URL": url}
    check = [sys.executable, str(DOCKER / "healthcheck.py")]
    return subprocess.run(check, env=environment, capture_output=True, timeout=30).returncode


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_every_command_of_the_compose_file_is_one_the_node_takes(name: str) -> None:
    service = COMPOSE["services"][name]
    options, rest = parse_command_line(service["command"])
    settings = collect_settings(options, {})
    assert rest == []
    assert settings.get("data-path") == "/data"
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    assert mounted == {"/data", "/config"}
    for option in ("genesis-file", "node-private-key-file", "static-nodes-file"):
        assert str(settings.get(option)).startswith("/config/")


@pytest.mark.skipif(os.getuid() not in (0, 1000), reason="prepare.sh runs as root or as the image's user")
def test_prepare_gives_each_validator_what_compose_mounts(tmp_path: Path) -> None:
    network = tmp_path / "network"
    generate = ["operator", "generate-blockchain-config", f"--config-file={DOCKER / 'network.json'}", f"--to={network}"]
    subprocess.run([sys.executable, "-m", "lacnode", *generate], check=True, timeout=30)
    subprocess.run([DOCKER / "prepare.sh", network], check=True, capture_output=True, timeout=30)
    for name, service in COMPOSE["services"].items():
        directory = network / name
        peers = json.loads((directory / "static-nodes.json").read_text())
        address = service["networks"]["lacnode"]["ipv4_address"]
        assert sum(f"@{address}:30303" in peer for peer in peers) == 1
        assert (directory / "genesis.json").exists()
        assert (directory / "key").read_text().startswith("0x")


@pytest.mark.skipif(os.getuid() not in (0, 1000), reason="prepare.sh runs as root or as the image's user")
def test_prepare_gives_no_other_user_the_keys_and_takes_more_than_nine_validators(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text("{}")
    for number in range(12):
        keys = tmp_path / "keys" / f"0x{number:040x}"
        keys.mkdir(parents=True)
        (keys / "key.priv").write_text(f"0x{number:064x}")
        (keys / "key.pub").write_text(f"0x{number:0128x}")
    subprocess.run([DOCKER / "prepare.sh", tmp_path], check=True, capture_output=True, timeout=30)
    keys_made = [tmp_path / f"validator-{number}" / "key" for number in range(1, 13)]
    assert {key.stat().st_mode & 0o777 for key in keys_made} == {0o600}
    assert {key.stat().st_uid for key in keys_made} == {1000}
    peers = json.loads((tmp_path / "validator-12" / "static-nodes.json").read_text())
    assert [peer.partition("@")[2] for peer in peers] == [f"172.30.0.{number}:30303" for number in range(11, 23)]
