"""What settings mean together: the node's configuration, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.options import OPTIONS
from lacnode.cli.options.option import OptionBehaviour, OptionKind
from lacnode.metrics.metrics_settings import MetricCategory, MetricsSettings
from lacnode.node.configuration import NodeConfig
from lacnode.permissioning.settings import PermissioningSettings
from tests.support.node_settings import ENODE, KEY, LACNET, Configure, genesis_document, refused


class TestDefaults:
    def test_are_those_of_the_packages(self, configure: Configure, tmp_path: Path, genesis: Path) -> None:
        config = configure()
        expected = NodeConfig(data_path=tmp_path, genesis_file=genesis)
        api = replace(expected.api, trace_directory=tmp_path / "traces")
        assert config == replace(expected, pool=replace(expected.pool, layered=True), api=api)

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
        text = refused(configure, override_genesis_config="chainId=1", net_restrict="10.0.0.0/8")
        assert "--override-genesis-config" in text
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
