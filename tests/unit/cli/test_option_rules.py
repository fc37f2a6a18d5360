"""Besu's rules between options, and the warnings of a start."""

import json
from pathlib import Path

import pytest

from lacnode.privacy.state.privacy_marker import GroupMode
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS
from tests.support.node_settings import ENODE, Configure, genesis_document, refused


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

    def test_the_groups_without_methods_are_those_of_which_no_method_is_here(self, configure: Configure) -> None:
        with_methods = {method.group for mode in (None, *GroupMode) for method in all_methods(private=mode)}
        without = sorted({*GROUPS} - with_methods)
        warnings = configure(rpc_http_enabled="true", rpc_http_api=",".join(GROUPS)).warnings
        assert f"API groups without methods in this release: {', '.join(without)}" in warnings
