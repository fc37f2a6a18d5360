"""The settings of private transactions, and what is refused."""

import base64
from pathlib import Path
from typing import ClassVar

import pytest

from lacnode.cli.privacy_options import DEFAULT_MANAGER_URL
from lacnode.node.configuration import PrivacySettings
from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.state.privacy_marker import GroupMode
from tests.support.node_settings import Configure, refused


class TestPrivacy:
    KEY = base64.b64encode(bytes(range(32))).decode()

    @pytest.fixture
    def key_file(self, tmp_path: Path) -> str:
        file = tmp_path / "manager.pub"
        file.write_text(self.KEY)
        return str(file)

    def test_is_off_unless_asked_for(self, configure: Configure, key_file: str) -> None:
        assert configure(privacy_public_key_file=key_file).privacy is None

    def test_takes_the_managers_key_and_address(self, configure: Configure, key_file: str) -> None:
        found = configure(
            privacy_enabled="true", privacy_public_key_file=key_file, privacy_url="http://orion:8888", min_gas_price="0"
        )
        assert found.privacy == PrivacySettings(bytes(range(32)), "http://orion:8888")
        assert not any("privacy" in warning.lower() for warning in found.warnings)

    def test_looks_for_the_manager_where_besu_does_unless_said(self, configure: Configure, key_file: str) -> None:
        found = configure(privacy_enabled="true", privacy_public_key_file=key_file, min_gas_price="0")
        assert found.privacy == PrivacySettings(bytes(range(32)), DEFAULT_MANAGER_URL)
        assert DEFAULT_MANAGER_URL == "http://localhost:8888"
        assert any(DEFAULT_MANAGER_URL in warning for warning in found.warnings)

    def test_has_a_manager_in_the_process_by_its_configuration(self, configure: Configure, key_file: str) -> None:
        said = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0"}
        found = configure(**said, privacy_manager_config_file="known").privacy
        assert found == PrivacySettings(bytes(range(32)), manager_config=Path("known"))

    def test_signs_markers_with_the_key_it_is_given(self, configure: Configure, key_file: str) -> None:
        found = configure(
            privacy_enabled="true",
            privacy_public_key_file=key_file,
            privacy_marker_transaction_signing_key_file="marker.key",
            min_gas_price="1000",
        ).privacy
        assert found == PrivacySettings(bytes(range(32)), DEFAULT_MANAGER_URL, marker_key_file=Path("marker.key"))

    TLS: ClassVar[dict[str, str]] = {
        "privacy_tls_enabled": "true",
        "privacy_tls_keystore_file": "node.p12",
        "privacy_tls_keystore_password_file": "password",
        "privacy_tls_known_enclave_file": "known",
    }

    def test_speaks_to_the_manager_by_tls(self, configure: Configure, key_file: str) -> None:
        said = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0"}
        found = configure(**said, privacy_url="https://orion:8888", **self.TLS).privacy
        files = EnclaveTlsFiles(Path("node.p12"), Path("password"), Path("known"))
        assert found == PrivacySettings(bytes(range(32)), "https://orion:8888", files)

    @pytest.mark.parametrize(
        ("left_out", "text"),
        [
            ("privacy_url", "--privacy-url"),
            ("privacy_tls_keystore_file", "--privacy-tls-keystore-file"),
            ("privacy_tls_keystore_password_file", "--privacy-tls-keystore-password-file"),
            ("privacy_tls_known_enclave_file", "--privacy-tls-known-enclave-file"),
        ],
    )
    def test_does_not_start_with_a_part_of_tls(
        self, configure: Configure, key_file: str, left_out: str, text: str
    ) -> None:
        said = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0"}
        said = {**said, "privacy_url": "https://orion:8888", **self.TLS}
        del said[left_out]
        assert refused(configure, **said).startswith(f"--privacy-tls-enabled needs {text} too")

    def test_says_which_tls_options_wait_for_others(self, configure: Configure, key_file: str) -> None:
        said = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0"}
        found = configure(**said, privacy_tls_keystore_file="node.p12")
        assert found.privacy == PrivacySettings(bytes(range(32)), DEFAULT_MANAGER_URL)
        ignored = "--privacy-tls-keystore-file has been ignored because --{} was not defined on the command line."
        assert ignored.format("privacy-tls-enabled") in found.warnings
        assert ignored.format("privacy-tls-enabled") in configure(privacy_tls_keystore_file="node.p12").warnings
        off = configure(privacy_tls_enabled="true").warnings
        assert (
            "--privacy-tls-enabled has been ignored because --privacy-enabled was not defined on the command line."
            in off
        )

    @pytest.mark.parametrize("option", ["privacy_flexible_groups_enabled", "privacy_onchain_groups_enabled"])
    def test_has_flexible_groups_under_both_names(self, configure: Configure, key_file: str, option: str) -> None:
        said = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0", option: "true"}
        found = configure(**said).privacy
        assert found == PrivacySettings(bytes(range(32)), DEFAULT_MANAGER_URL, mode=GroupMode.FLEXIBLE)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"privacy_public_key_file": ""}, "Please specify Enclave public key file path to enable privacy"),
            ({"sync_mode": "FAST"}, "Fast sync cannot be enabled with privacy."),
            ({"pruning_enabled": "true"}, "Pruning cannot be enabled with privacy."),
            ({"min_gas_price": "1"}, "Not a free gas network. --privacy-marker-transaction-signing-key-file must be"),
            (
                {"privacy_multi_tenancy_enabled": "true"},
                "Privacy multi-tenancy requires either http authentication to be enabled or WebSocket",
            ),
            ({"privacy_public_key_file": "nowhere.pub"}, "Problem with privacy-public-key-file: nowhere.pub"),
            ({"privacy_url": "orion:8888"}, "Invalid value for option '--privacy-url'"),
            ({"privacy_url": "https://orion:88888"}, "Invalid value for option '--privacy-url'"),
            ({"privacy_url": "https://"}, "Invalid value for option '--privacy-url'"),
            (
                {"privacy_flexible_groups_enabled": "true", "privacy_onchain_groups_enabled": "true"},
                "--privacy-onchain-groups-enabled and --privacy-flexible-groups-enabled can't be used at the same time",
            ),
        ],
    )
    def test_refusals(self, configure: Configure, key_file: str, options: dict[str, str], text: str) -> None:
        given = {"privacy_enabled": "true", "privacy_public_key_file": key_file, "min_gas_price": "0", **options}
        assert refused(configure, **{name: value for name, value in given.items() if value}).startswith(text)

    @pytest.mark.parametrize("content", ["", "not base64", base64.b64encode(bytes(31)).decode()])
    def test_a_file_that_is_no_key(self, configure: Configure, key_file: str, content: str) -> None:
        Path(key_file).write_text(content)
        text = refused(configure, privacy_enabled="true", privacy_public_key_file=key_file, min_gas_price="0")
        assert text.startswith("Contents of privacy-public-key-file invalid: ")
