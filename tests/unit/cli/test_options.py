"""The table of options: complete, consistent, and what help and the operators' page are made from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lacnode.cli.help import help_text
from lacnode.cli.main import main
from lacnode.cli.option_values import parse_option_value
from lacnode.cli.options import BY_NAME, OPTIONS
from lacnode.cli.options.option import OptionBehaviour, OptionKind
from lacnode.cli.options_page import render_options_page

ROOT = Path(__file__).resolve().parents[3]
SHEET = ROOT.parent / "shared" / "reference" / "cli-config-besu.md"

PROTECTIONS = [
    "Xp2p-tls-enabled",
    "Xpki-block-creation-enabled",
    "Xprivacy-plugin-enabled",
    "net-restrict",
    "override-genesis-config",
    "security-module",
    "privacy-nonce-always-increments",
]


def section(start: str, end: str) -> list[str]:
    if not SHEET.exists():
        pytest.skip("the reference sheets are not beside this repository")
    text = SHEET.read_text("utf-8")
    return text[text.index(start) : text.index(end)].splitlines()


DERIVED = ("network-id", "target-gas-limit", "color-enabled")
"""Options whose default is said in words: it depends on something else."""


LATER_DEFAULTS = {"rpc-gas-cap": "50000000"}
"""Where Besu 25.5 has another default than the sheet, which is of 24.1."""


class TestTheTable:
    def test_has_every_stable_option_and_alias_of_besu(self) -> None:
        rows = [line.split("|")[1] for line in section("### 2.1", "### 2.9") if line.startswith("| `--")]
        names = [name for row in rows for name in re.findall(r"`--([A-Za-z0-9-]+)`", row)]
        assert len(names) > 150
        assert [name for name in names if name not in BY_NAME] == []

    def test_has_every_unstable_option_of_besu(self) -> None:
        rows = [line.split("|")[1] for line in section("### 2.9", "## 3.") if line.startswith("| --X")]
        names = [found for row in rows for found in re.findall(r"--(X[A-Za-z0-9-]+)(\*?)", row)]
        assert len(names) > 60
        for name, wildcard in names:
            assert any(known.startswith(name) for known in BY_NAME) if wildcard else name in BY_NAME, name

    def test_gives_besus_default_where_it_names_a_value(self) -> None:
        for line in section("### 2.1", "### 2.9"):
            if not line.startswith("| `--"):
                continue
            cells = [cell.strip() for cell in line.split("|")]
            option = BY_NAME[re.findall(r"`--([A-Za-z0-9-]+)`", cells[1])[0]]
            if option.behaviour is OptionBehaviour.HONOURED and re.fullmatch(
                r"[0-9.]+|true|false|[A-Z0-9,]+", cells[5]
            ):
                assert option.default == LATER_DEFAULTS.get(option.name, cells[5]), option.name

    def test_has_every_option_of_every_release_from_21_7_4_to_25_5_0(self) -> None:
        """The names are those that `tools/compare_options.py` finds in Besu's sources."""
        lines = (Path(__file__).parent / "besu_options.txt").read_text("utf-8").splitlines()
        names = [line.split()[0] for line in lines]
        assert len(names) > 330
        assert [name for name in names if name not in BY_NAME] == []

    @pytest.mark.parametrize(
        ("name", "texts"),
        [
            ("sync-mode", "FULL FAST SNAP CHECKPOINT X_SNAP X_CHECKPOINT"),
            ("data-storage-format", "FOREST BONSAI"),
            ("tx-pool", "LEGACY SEQUENCED LAYERED"),
            ("nat-method", "UPNP UPNPP2PONLY DOCKER KUBERNETES AUTO NONE"),
            ("network", "MAINNET RINKEBY ROPSTEN KILN CALAVERAS ASTOR LUKSO EPHEMERY HOODI HOLESKY"),
            ("profile", "STAKER MINIMALIST_STAKER ENTERPRISE PRIVATE DEV PERFORMANCE PERFORMANCE_RPC"),
        ],
    )
    def test_has_every_value_of_every_release(self, name: str, texts: str) -> None:
        for text in texts.split():
            assert parse_option_value(BY_NAME[name], text.lower()) == text

    def test_has_no_name_twice(self) -> None:
        assert len(BY_NAME) == sum(len(option.names) for option in OPTIONS)

    @pytest.mark.parametrize(
        "name", [option.name for option in OPTIONS if option.behaviour is OptionBehaviour.HONOURED]
    )
    def test_gives_defaults_that_are_values(self, name: str) -> None:
        option = BY_NAME[name]
        if option.default and option.kind not in (OptionKind.PATH, OptionKind.LIST) and name not in DERIVED:
            parse_option_value(option, option.default)

    @pytest.mark.parametrize("name", PROTECTIONS)
    def test_refuses_every_protection_it_does_not_have(self, name: str) -> None:
        assert BY_NAME[name].behaviour is OptionBehaviour.REFUSED

    def test_knows_every_key_of_lacchains_files(self) -> None:
        lines = section("## 3. LACChain", "Start scripts add")
        listed = " ".join(lines[2:]).partition(":")[2].replace("`", "").rstrip(" .")
        keys = [key for group in re.split(r",\s*", listed) for key in _spelt_out(group)]
        assert len(keys) > 40
        assert [key for key in keys if key not in BY_NAME] == []


def _spelt_out(group: str) -> list[str]:
    """`rpc-http-enabled/-host` stands for two keys with one beginning."""
    first, *suffixes = group.strip().split("/")
    stem = first
    while suffixes and stem + suffixes[0] not in BY_NAME and "-" in stem:
        stem = stem.rpartition("-")[0]
    return [first, *(stem + suffix for suffix in suffixes)]


class TestHelpAndPage:
    def test_the_page_in_docs_is_the_tables(self) -> None:
        path = ROOT / "docs" / "operators" / "options.md"
        assert path.read_text("utf-8") == render_options_page(), (
            "run: python -m lacnode.cli.options_page > docs/operators/options.md"
        )

    def test_help_shows_what_is_not_hidden(self) -> None:
        shown, everything = help_text(), help_text(hidden=True)
        for option in OPTIONS:
            assert f"--{option.name}" in everything
            assert option.hidden or f"--{option.name}" in shown
        assert "--host-whitelist" not in shown

    @pytest.mark.parametrize("words", [["blocks", "--help"], ["--data-path=x", "blocks", "import", "-h"]])
    def test_a_sub_command_has_help_of_its_own(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(words) == 0
        shown = capsys.readouterr().out
        assert "blocks import|export" in shown
        assert "rlp" not in shown
        assert "--genesis-file" not in shown

    def test_help_and_version_load_nothing_heavy(self) -> None:
        program = (
            "import sys\nfrom lacnode.cli.main import main\n"
            "assert main(['--help']) == 0 and main(['--version']) == 0\n"
            "heavy = {'eth', 'trio', 'pydantic', 'structlog', 'coincurve', 'lacnode.metrics.endpoint'} & set(sys.modules)\n"
            "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
