"""What settings mean together: the node's configuration, Besu's rules between options, warnings, and what is refused."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.node_config import node_config
from lacnode.cli.options import OPTIONS
from lacnode.cli.options.option import OptionBehaviour, OptionKind
from lacnode.cli.privacy_options import DEFAULT_MANAGER_URL
from lacnode.cli.sources import collect_settings
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.metrics.metrics_settings import MetricCategory, MetricsSettings
from lacnode.node.configuration import NodeConfig, PrivacySettings
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.privacy.service.enclave_files import EnclaveTlsFiles
from lacnode.privacy.state.privacy_marker import GroupMode

LACNET = Path(__file__).resolve().parents[4] / "shared" / "data" / "lacnet-configs"
KEY = NodeKey.from_private_key(bytes(31) + b"\x01")
ENODE = f"enode://{KEY.public_key.hex()}@10.0.0.1:30303"

ACCOUNT_INGRESS = bytes.fromhex("0000000000000000000000000000000000008888")

Configure = Callable[..., NodeConfig]


def genesis_document() -> dict[str, object]:
    return devnet_genesis([KEY.address], (), 1.0, 0)


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(genesis_document()))
    return path


@pytest.fixture
def configure(tmp_path: Path, genesis: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """The configuration of a command line (names with underscores) and a TOML text, in a directory with some files."""
    monkeypatch.chdir(tmp_path)
    for name in ("permissions_config.toml", "marker.key", "node.p12", "password", "known", "n.toml", "a.toml"):
        (tmp_path / name).touch()

    def make(toml: str = "", **options: str) -> NodeConfig:
        line = {name.replace("_", "-"): text for name, text in options.items()}
        if toml:
            (tmp_path / "config.toml").write_text(toml + "\n")
            line["config-file"] = str(tmp_path / "config.toml")
        return node_config(collect_settings({"genesis-file": str(genesis), "data-path": str(tmp_path), **line}, {}))

    return make


def refused(configure: Configure, toml: str = "", **options: str) -> str:
    with pytest.raises(UsageError) as error:
        configure(toml, **options)
    assert error.value.status == 1
    return str(error.value)


class TestDefaults:
    def test_are_those_of_the_rooms(self, configure: Configure, tmp_path: Path, genesis: Path) -> None:
        config = configure()
        expected = NodeConfig(data_path=tmp_path, genesis_file=genesis)
        assert config == replace(expected, pool=replace(expected.pool, layered=True))

    def test_are_the_same_said_aloud(self, configure: Configure) -> None:
        said = {
            option.name: option.default
            for option in OPTIONS
            if option.behaviour is OptionBehaviour.HONOURED
            and option.default
            and option.kind
            in (
                OptionKind.INT,
                OptionKind.LONG,
                OptionKind.WEI,
                OptionKind.BOOL,
                OptionKind.PERCENT,
                OptionKind.DOUBLE,
                OptionKind.ENUM,
            )
            and option.name not in ("color-enabled", "target-gas-limit")
            and not option.name.startswith("tx-pool-")
        }
        assert len(said) > 30
        assert replace(configure(**said), warnings=()) == replace(configure(), warnings=())


class TestSettings:
    def test_reach_the_rooms(self, configure: Configure) -> None:
        config = configure(
            rpc_http_enabled="true",
            rpc_http_port="4545",
            rpc_http_api="ETH,IBFT",
            rpc_ws_enabled="true",
            p2p_port="60606",
            p2p_host="192.0.2.1",
            max_peers="250",
            bootnodes=ENODE,
            banned_node_ids="0x" + KEY.public_key.hex(),
            remote_connections_limit_enabled="false",
            min_gas_price="0",
            target_gas_limit="9000000",
            miner_extra_data="0x6c6163",
            tx_pool_priority_senders="0x" + KEY.address.hex(),
            revert_reason_enabled="true",
            identity="writer-1",
            network_id="648540",
        )
        assert config.http is not None
        assert (config.http.port, config.http.groups) == (4545, ("ETH", "IBFT"))
        assert config.websocket is not None
        assert (config.p2p.port, config.p2p.host, config.p2p.max_peers) == (60606, "192.0.2.1", 250)
        assert [str(node) for node in config.p2p.bootnodes] == [ENODE]
        assert (config.p2p.banned_ids, config.p2p.inbound_share) == (frozenset({KEY.public_key}), None)
        assert (config.pool.price_bump, config.pool.min_gas_price, config.pool.block_min_gas_price) == (0, 0, 0)
        assert (config.mining.gas_limit_target, config.mining.vanity) == (9_000_000, b"lac")
        assert config.pool.priority_senders == frozenset({KEY.address})
        assert (config.keep_revert_reasons, config.identity, config.network_id) == (True, "writer-1", 648540)

    def test_the_old_host_list_drops_the_default_and_joins_the_new_one(self, configure: Configure) -> None:
        def hosts(**options: str) -> tuple[str, ...]:
            config = configure(rpc_http_enabled="true", **options)
            assert config.http is not None
            return config.http.allowed_hosts

        assert hosts() == ("localhost", "127.0.0.1")
        assert hosts(host_whitelist="a") == ("a",)
        assert hosts(host_allowlist="b", host_whitelist="a") == ("b", "a")
        assert hosts(host_allowlist="none") == ()
        assert hosts(host_whitelist="*", host_allowlist="*") == ("*",)

    def test_static_nodes_come_from_the_data_directory(self, configure: Configure, tmp_path: Path) -> None:
        (tmp_path / "static-nodes.json").write_text(json.dumps([ENODE]))
        assert [str(node) for node in configure().p2p.static_nodes] == [ENODE]

    def test_a_host_name_is_refused_unless_names_are_allowed(self, configure: Configure, tmp_path: Path) -> None:
        named = ENODE.replace("10.0.0.1", "localhost")
        besus = f"Invalid enode URL syntax '{named}'. Enode URL should have the following format " + (
            "'enode://<node_id>@<ip>:<listening_port>[?discport=<discovery_port>]'. Invalid ip address."
        )
        (tmp_path / "named.json").write_text(json.dumps([named]))
        file = str(tmp_path / "named.json")
        assert refused(configure, bootnodes=named).startswith(besus)
        assert besus in refused(configure, static_nodes_file=file)
        p2p = configure(bootnodes=named, static_nodes_file=file, Xdns_enabled="true").p2p
        assert {node.host for node in (*p2p.bootnodes, *p2p.static_nodes)} <= {"127.0.0.1", "::1"}
        options = {"Xdns_enabled": "true", "Xdns_update_enabled": "true"}
        assert [node.host for node in configure(bootnodes=named, **options).p2p.bootnodes] == ["localhost"]

    def test_a_host_name_without_address_is_refused_as_by_besu(self, configure: Configure) -> None:
        named = ENODE.replace("10.0.0.1", "no-such-host.invalid")
        text = refused(configure, bootnodes=named, Xdns_enabled="true")
        assert text.startswith(f"Invalid IP address '{named}' (or DNS query resolved an invalid IP). --Xdns-enabled is")

    def test_bootnodes_come_from_the_genesis_unless_said(self, configure: Configure, genesis: Path) -> None:
        document = genesis_document()
        config = document["config"]
        assert isinstance(config, dict)
        config["discovery"] = {"bootnodes": [ENODE]}
        genesis.write_text(json.dumps(document))
        assert [str(node) for node in configure().p2p.bootnodes] == [ENODE]
        assert configure(bootnodes="").p2p.bootnodes == ()
        config["discovery"] = {"bootnodes": ["enode://nonsense"]}
        genesis.write_text(json.dumps(document))
        assert "config.discovery.bootnodes" in refused(configure)

    @pytest.mark.parametrize("name", ["poa-block-txs-selection-max-time", "Xpoa-block-txs-selection-max-time"])
    def test_selection_time_has_two_names(self, configure: Configure, name: str) -> None:
        assert configure(f"{name}=50").mining.selection_share == 0.5


class TestLacchain:
    def test_its_pool_keys_choose_the_sequenced_pool(self, configure: Configure) -> None:
        pool = configure("tx-pool-retention-hours=999\ntx-pool-max-size=1024").pool
        assert (pool.layered, pool.retention_hours, pool.max_size) == (False, 999, 1024)

    def test_with_the_layered_pool_named_they_are_an_error(self, configure: Configure) -> None:
        toml = 'tx-pool="layered"\ntx-pool-retention-hours=999\ntx-pool-max-size=1024'
        assert refused(configure, toml) == (
            "Could not use legacy or sequenced transaction pool options with layered implementation "
            "[--tx-pool-max-size and --tx-pool-retention-hours]"
        )

    def test_a_production_file_without_unbuilt_features_starts(self, configure: Configure) -> None:
        config = configure(
            'host-whitelist=["*"]\nrpc-http-enabled=true\nrpc-http-cors-origins=["all"]\nnetwork-id="648540"\n'
            'rpc-http-api=["ETH","NET","IBFT","WEB3","EEA","PRIV"]\nrpc-http-authentication-enabled=false\n'
            'permissions-accounts-contract-enabled=false\nprivacy-url="http://orion:4444"\nmin-gas-price=0\n'
            'permissions-accounts-contract-address="0x0000000000000000000000000000000000008888"'
        )
        assert config.network_id == 648540
        assert config.http is not None
        assert (config.http.allowed_hosts, config.http.cors_origins) == (("*",), ("all",))
        for expected in (
            "Account permissioning smart contract address set 0x0000000000000000000000000000000000008888 "
            "but smart contract account permissioning is disabled.",
            "Privacy is disabled. Cannot use EEA/PRIV API methods when not using Privacy.",
            "--privacy-url and/or --privacy-public-key-file ignored because none of --privacy-enabled was defined.",
            "Forcing price bump for transaction replacement to 0, since min-gas-price is set to 0",
        ):
            assert expected in config.warnings

    @pytest.mark.parametrize("name", ["local-writer.toml", "tessera-writer.toml"])
    def test_lacnets_files_say_which_contract_decides(self, configure: Configure, name: str) -> None:
        if not LACNET.exists():
            pytest.skip("LACNet's configuration files are not beside this repository")
        config = configure(_without_paths((LACNET / name).read_text()), privacy_enabled="false")
        assert config.permissioning.account_contract == bytes.fromhex("8888".rjust(40, "0"))
        assert config.permissioning.node_contract is None
        assert config.http is not None
        assert (config.http.port, config.http.allowed_hosts, config.network_id) == (4545, ("*",), 648550)


def _without_paths(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("data-path", "genesis-file")))


class TestPermissioning:
    def test_is_off_unless_asked_for(self, configure: Configure) -> None:
        said = {
            "permissions_nodes_config_file": "nodes.toml",
            "permissions_accounts_config_file": "accounts.toml",
            "permissions_nodes_contract_address": "0x" + "99" * 20,
            "permissions_accounts_contract_address": "0x" + "88" * 20,
        }
        config = configure(**said)
        assert config.permissioning == PermissioningSettings()
        assert len([text for text in config.warnings if "permissioning" in text]) == 4

    def test_lists_are_in_the_data_directory_unless_said(self, configure: Configure, tmp_path: Path) -> None:
        on = {"permissions_nodes_config_file_enabled": "true", "permissions_accounts_config_file_enabled": "true"}
        shared = tmp_path / "permissions_config.toml"
        config = configure(**on, rpc_http_enabled="true", rpc_http_api="PERM")
        assert config.permissioning == PermissioningSettings(accounts_file=shared, nodes_file=shared)
        assert not [text for text in config.warnings if "ermission" in text]
        said = configure(**on, permissions_nodes_config_file="n.toml", permissions_accounts_config_file="a.toml")
        assert said.permissioning == PermissioningSettings(Path("a.toml"), Path("n.toml"))
        assert not [text for text in said.warnings if "ermission" in text]

    def test_contracts_have_an_address_and_a_version(self, configure: Configure) -> None:
        config = configure(
            "permissions-nodes-contract-enabled=true\npermissions-nodes-contract-version=2\n"
            f'permissions-nodes-contract-address="0x{"99" * 20}"\npermissions-accounts-contract-enabled=true\n'
            f'permissions-accounts-contract-address="0x{"88" * 20}"'
        )
        expected = PermissioningSettings(
            node_contract=b"\x99" * 20, node_contract_version=2, account_contract=b"\x88" * 20
        )
        assert config.permissioning == expected
        assert not [text for text in config.warnings if "ermission" in text]

    @pytest.mark.parametrize("text", ["0x99", "", "0x" + "zz" * 20])
    def test_a_contract_without_a_whole_address_is_refused(self, configure: Configure, text: str) -> None:
        with pytest.raises(UsageError, match="permissions-nodes-contract-address"):
            configure(permissions_nodes_contract_enabled="true", permissions_nodes_contract_address=text)

    def test_an_address_needs_no_prefix(self, configure: Configure) -> None:
        said = {"permissions_nodes_contract_enabled": "true", "permissions_nodes_contract_address": "99" * 20}
        assert configure(**said).permissioning.node_contract == b"\x99" * 20

    def test_there_is_no_third_version(self, configure: Configure) -> None:
        text = refused(
            configure,
            permissions_nodes_contract_enabled="true",
            permissions_nodes_contract_address="0x" + "99" * 20,
            permissions_nodes_contract_version="3",
        )
        assert text == "Invalid value for option '--permissions-nodes-contract-version': 1 or 2 was expected, not 3"


class TestRefusals:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("Xrpc-ipc-enabled", "true"),
            ("Xp2p-tls-enabled", "true"),
            ("net-restrict", "10.0.0.0/8"),
            ("security-module", "pkcs11-hsm"),
            ("override-genesis-config", "chainId=1"),
        ],
    )
    def test_name_the_option_and_this_release(self, configure: Configure, option: str, value: str) -> None:
        text = refused(configure, **{option.replace("-", "_"): value})
        assert text.startswith(f"--{option} (")
        assert "this release of lacnode does not have yet" in text
        assert "\n" not in text

    def test_switched_off_they_are_no_obstacle(self, configure: Configure) -> None:
        configure(privacy_enabled="false", security_module="localfile")

    def test_all_are_named_at_once(self, configure: Configure) -> None:
        text = refused(configure, Xrpc_ipc_enabled="true", net_restrict="10.0.0.0/8")
        assert "--Xrpc-ipc-enabled" in text
        assert "--net-restrict" in text


class TestMetrics:
    def test_are_off_unless_asked_for(self, configure: Configure) -> None:
        assert configure(metrics_port="1").metrics is None

    def test_by_default_have_all_categories_but_the_databases(self, configure: Configure) -> None:
        found = configure(metrics_enabled="true", host_allowlist="monitor").metrics
        assert found == MetricsSettings(allowed_hosts=("monitor",))
        assert {category.name for category in set(MetricCategory) - found.categories} == {
            "KVSTORE_ROCKSDB",
            "KVSTORE_ROCKSDB_STATS",
            "KVSTORE_PRIVATE_ROCKSDB",
            "KVSTORE_PRIVATE_ROCKSDB_STATS",
        }

    def test_are_chosen_by_category(self, configure: Configure) -> None:
        lacchain = (
            'metrics-enabled=true\nmetrics-host="0.0.0.0"\nmetrics-port=4545\nmetrics-category=["JVM", "PRIVACY"]'
        )
        assert configure(lacchain).metrics == MetricsSettings(
            "0.0.0.0", 4545, frozenset((MetricCategory.JVM, MetricCategory.PRIVACY))
        )


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


class TestRules:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"network": "DEV"}, "--network option and --genesis-file option can't be used at the same time."),
            ({"fast-sync-min-peers": "3"}, "--fast-sync-min-peers can't be used with FULL sync-mode"),
            ({"Xblock-txs-selection-max-time": "9"}, "--Xblock-txs-selection-max-time can't be used with PoA networks"),
            ({"max-peers": "-1"}, "Invalid value for option '--max-peers': -1 is negative"),
            ({"min-block-occupancy-ratio": "1.5"}, "Invalid value for option '--min-block-occupancy-ratio'"),
            ({"p2p-port": "70000"}, "Invalid value for option '--p2p-port': a port from 0 to 65535 was expected"),
            (
                {"rpc-http-enabled": "true", "rpc-http-port": "30303"},
                "Port number '30303' has been specified multiple times. Please review the supplied configuration.",
            ),
            ({"rpc-http-api": "ETH,FOO"}, "Invalid value for option '--rpc-http-api': invalid entries found [FOO]"),
            ({"rpc-ws-api": "FOO"}, "Invalid value for option '--rpc-ws-api': invalid entries found [FOO]"),
            (
                {"rpc-http-api-method-no-auth": "eth_foo"},
                "Invalid value for option '--rpc-http-api-methods-no-auth', options must be valid RPC methods",
            ),
            (
                {"rpc-http-authentication-enabled": "true"},
                "Unable to authenticate JSON-RPC HTTP endpoint without a supplied credentials file",
            ),
            (
                {"rpc-ws-authentication-enabled": "true"},
                "Unable to authenticate JSON-RPC WebSocket endpoint without a supplied credentials file",
            ),
            ({"rpc-http-tls-enabled": "true"}, "Keystore file is required when TLS is enabled for JSON-RPC HTTP"),
            (
                {"permissions-nodes-contract-enabled": "true"},
                "No node permissioning contract address specified. "
                "Cannot enable smart contract based node permissioning.",
            ),
            (
                {"permissions-accounts-contract-enabled": "true"},
                "No account permissioning contract address specified. "
                "Cannot enable smart contract based account permissioning.",
            ),
            (
                {"metrics-enabled": "true", "metrics-push-enabled": "true"},
                "--metrics-enabled option and --metrics-push-enabled option can't be used at the same time.",
            ),
            (
                {"metrics-category": "ETHEREUM,KITCHEN"},
                "Invalid value for option '--metrics-category': Unknown category: KITCHEN",
            ),
            (
                {"metrics-enabled": "true", "metrics-protocol": "OPENTELEMETRY"},
                "--metrics-protocol=OPENTELEMETRY: this release of lacnode has PROMETHEUS only",
            ),
            (
                {"metrics-enabled": "true", "metrics-port": "30303"},
                "Port number '30303' has been specified multiple times.",
            ),
            ({"ethstats-contact": "me"}, "The `--ethstats-contact` requires ethstats server URL to be provided."),
            (
                {"tx-pool": "SEQUENCED", "tx-pool-max-prioritized": "3"},
                "Could not use layered transaction pool options with legacy or sequenced implementation "
                "[--tx-pool-max-prioritized]",
            ),
            ({"tx-pool-min-gas-price": "2000"}, "tx-pool-min-gas-price cannot be greater than the value of"),
            ({"host-allowlist": "*,a"}, "Values '*' or 'all' can't be used with other hostnames"),
            ({"host-allowlist": "none,a"}, "Value 'none' can't be used with other hostnames"),
            ({"host-allowlist": "a,,b"}, "Hostname cannot be empty string or null string."),
            ({"rpc-http-cors-origins": "all,a"}, "Values '*' or 'all' can't be used with other domains"),
            ({"rpc-http-cors-origins": "("}, "Domain values result in invalid regex pattern"),
            ({"banned-node-ids": "0x12"}, "Invalid ids supplied to '--banned-node-ids'."),
            (
                {"bootnodes": "enode://x"},
                "Invalid enode URL syntax 'enode://x'. Enode URL should have the following format",
            ),
            ({"tx-pool-priority-senders": "0x12"}, "Invalid value for option '--tx-pool-priority-senders'"),
        ],
    )
    def test_are_besus(self, configure: Configure, options: dict[str, str], text: str) -> None:
        assert refused(configure, **options).startswith(text)

    def test_a_static_nodes_file_that_is_named_must_be_there_and_be_one(
        self, configure: Configure, tmp_path: Path
    ) -> None:
        missing = tmp_path / "nodes.json"
        assert refused(configure, static_nodes_file=str(missing)) == f"Static nodes file {missing} does not exist"
        missing.write_bytes(b"\xff\xfe")
        assert str(missing) in refused(configure, static_nodes_file=str(missing))
        assert str(tmp_path) in refused(configure, static_nodes_file=str(tmp_path))

    def test_a_genesis_that_is_none_is_named(self, configure: Configure, genesis: Path) -> None:
        genesis.write_text("{")
        assert str(genesis) in refused(configure)
        genesis.unlink()
        assert refused(configure).startswith("Unable to load genesis file.")

    def test_a_price_bump_does_not_go_with_a_zero_base_fee(self, configure: Configure, genesis: Path) -> None:
        document = genesis_document()
        config = document["config"]
        assert isinstance(config, dict)
        config.update(londonBlock=0, zeroBaseFee=True)
        genesis.write_text(json.dumps(document))
        assert configure().pool.price_bump == 0
        assert refused(configure, tx_pool_price_bump="5") == (
            "Price bump option is not compatible with zero base fee market [--tx-pool-price-bump]"
        )


class TestWarnings:
    @pytest.mark.parametrize(
        ("options", "warning"),
        [
            (
                {"rpc-http-port": "1", "rpc-http-host": "h"},
                "--rpc-http-host and --rpc-http-port has been ignored because --rpc-http-enabled was not defined "
                "on the command line.",
            ),
            (
                {"metrics-push-host": "h"},
                "--metrics-push-host has been ignored because --metrics-push-enabled was not defined on the command line.",
            ),
            (
                {"p2p-enabled": "false", "max-peers": "3"},
                "--max-peers has been ignored because --p2p-enabled was not defined on the command line.",
            ),
            (
                {"Xplugin-rocksdb-max-open-files": "9", "data-storage-format": "BONSAI"},
                "accepted, no effect in lacnode: --data-storage-format and --Xplugin-rocksdb-max-open-files",
            ),
            ({"discovery-enabled": "false", "bootnodes": ENODE}, "Discovery disabled: bootnodes will be ignored."),
            (
                {"min-gas-price": "7"},
                "Forcing tx-pool-min-gas-price=7, since it cannot be greater than the value of min-gas-price",
            ),
            (
                {"rpc-http-enabled": "true", "rpc-http-api": "PERM"},
                "Permissions are disabled. Cannot enable PERM APIs when not using Permissions.",
            ),
            (
                {
                    "graphql-http-enabled": "true",
                    "rpc-http-enabled": "true",
                    "rpc-http-authentication-enabled": "true",
                    "rpc-http-authentication-credentials-file": "known",
                },
                "The port of GraphQL asks for no token, as in Besu: those who reach it may ask and send transactions",
            ),
            (
                {"permissions-nodes-config-file": "f"},
                "Node permissioning config file set f but no permissions enabled",
            ),
        ],
    )
    def test_are_besus(self, configure: Configure, options: dict[str, str], warning: str) -> None:
        assert warning in configure(**options).warnings

    def test_nothing_is_said_without_need(self, configure: Configure) -> None:
        assert configure(data_storage_format="FOREST", nat_method="NONE", p2p_port="0").warnings == ()
