"""Where values come from and how they are read: precedence, TOML, environment, and input that is not what it should be."""

from itertools import combinations
from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.sources import collect_settings, parse_command_line


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    return path


def from_file(tmp_path: Path, text: str) -> dict[str, object]:
    return dict(collect_settings({"config-file": str(toml(tmp_path, text))}, {}).values)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as refused:
        from_file(tmp_path, text)
    assert refused.value.status == 1
    return str(refused.value)


ORDER = ("command line", "LACNODE", "BESU", "PANTHEON", "file")
PORTS = {name: 1001 + index for index, name in enumerate(ORDER)}


class TestPrecedence:
    @pytest.mark.parametrize("sources", [pair for n in (1, 2, 3) for pair in combinations(ORDER, n)])
    def test_the_first_source_wins(self, tmp_path: Path, sources: tuple[str, ...]) -> None:
        line, environment = {}, {}
        for source in sources:
            port = str(PORTS[source])
            if source == "command line":
                line["p2p-port"] = port
            elif source == "file":
                line["config-file"] = str(toml(tmp_path, f"p2p-port={port}\n"))
            else:
                environment[f"{source}_P2P_PORT"] = port
        assert collect_settings(line, environment).get("p2p-port") == PORTS[sources[0]]

    def test_a_profile_counts_less_than_the_file_and_more_than_the_default(self, tmp_path: Path) -> None:
        values = from_file(tmp_path, 'profile="ENTERPRISE"\nmin-gas-price=7\n')
        assert values["min-gas-price"] == 7
        assert values["rpc-http-max-active-connections"] == 300

    def test_a_public_networks_profile_is_refused(self, tmp_path: Path) -> None:
        assert "public networks" in refusal(tmp_path, 'profile="STAKER"\n')

    def test_lists_are_not_put_together(self, tmp_path: Path) -> None:
        path = toml(tmp_path, 'rpc-http-api=["ETH","NET"]\n')
        assert collect_settings({"rpc-http-api": "IBFT", "config-file": str(path)}, {}).get("rpc-http-api") == ("IBFT",)

    def test_an_option_comes_before_its_alias(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, "p2p-peer-upper-bound=3\nmax-peers=4\n")["max-peers"] == 4
        assert collect_settings({}, {"BESU_P2P_PEER_UPPER_BOUND": "3"}).get("max-peers") == 3

    def test_the_log_level_variable_counts_least(self, tmp_path: Path) -> None:
        assert collect_settings({}, {"LOG_LEVEL": "debug"}).get("logging") == "DEBUG"
        assert collect_settings({}, {"LOG_LEVEL": "debug", "BESU_LOGGING": "WARN"}).get("logging") == "WARN"
        assert collect_settings({}, {"NO_COLOR": "1"}).get("color-enabled") is False

    def test_unknown_variables_are_somebody_elses(self) -> None:
        assert collect_settings({}, {"BESU_NO_SUCH_OPTION": "1", "BESU_OPTS": "-Xmx4g"}).values == {}


class TestTheConfigFile:
    def test_may_come_from_the_environment(self, tmp_path: Path) -> None:
        path = toml(tmp_path, "max-peers=4\n")
        assert collect_settings({}, {"BESU_CONFIG_FILE": str(path)}).get("max-peers") == 4

    def test_may_not_come_from_both(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as refused:
            collect_settings({"config-file": "a.toml"}, {"BESU_CONFIG_FILE": "b.toml"})
        assert str(refused.value) == "TOML file specified using BESU_CONFIG_FILE=b.toml and --config-file [a.toml]"
        assert refused.value.status == 2

    def test_must_be_there(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "none.toml")
        with pytest.raises(UsageError, match=r"Unable to read TOML configuration, file not found\."):
            collect_settings({"config-file": missing}, {})
        with pytest.raises(UsageError, match="specified in environment variable BESU_CONFIG_FILE not found"):
            collect_settings({}, {"BESU_CONFIG_FILE": missing})

    def test_names_unknown_keys(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, "foo=1\n") == "Unknown option in TOML configuration file: foo"
        assert refusal(tmp_path, "foo=1\nbar=2\n") == "Unknown options in TOML configuration file: foo, bar"

    def test_table_headings_mean_nothing(self, tmp_path: Path) -> None:
        values = from_file(tmp_path, "[TxPool]\ntx-pool-max-size=1\n[a.b]\nmax-peers=2\n[c]\nmax-peers=3\n")
        assert values["tx-pool-max-size"] == 1
        assert values["max-peers"] == 2

    def test_numbers_may_be_quoted(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, 'network-id="648540"\n')["network-id"] == 648540
        assert from_file(tmp_path, "network-id=648540\n")["network-id"] == 648540

    def test_unstable_numbers_need_no_quotes(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, "Xewp-max-get-headers=512\n")["Xewp-max-get-headers"] == 512

    def test_host_lists_may_be_one_string(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, 'host-allowlist="a,b"\n')["host-allowlist"] == ("a", "b")
        assert from_file(tmp_path, 'host-allowlist=["a","b"]\n')["host-allowlist"] == ("a", "b")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('rpc-http-enabled="true"', "--rpc-http-enabled': a TOML boolean was expected"),
            ('rpc-http-api="ETH"', "--rpc-http-api': a TOML array of strings was expected"),
            ("bootnodes=[[1]]", "--bootnodes': a TOML array of strings was expected"),
            ("data-path=1", "--data-path': a TOML string was expected"),
            ("max-peers=true", "--max-peers': a TOML number was expected"),
            ('max-peers="many"', "--max-peers': 'many' is not an int"),
            ("max-peers=2147483648", "must be between -2147483648 and 2147483647"),
            ("min-gas-price=-1", "--min-gas-price': '-1' is not an amount of wei"),
            ('max-peers="٣"', "is not an int"),
            ('logging="loud"', "expected one of [OFF"),
            ('data-path="a\\u0000b"', "--data-path': it holds a zero byte"),
        ],
    )
    def test_a_bad_value_is_named_with_its_file(self, tmp_path: Path, text: str, expected: str) -> None:
        message = refusal(tmp_path, text + "\n")
        assert message.startswith("Invalid value for option '--")
        assert expected in message
        assert "config.toml" in message

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "data-path",
            "max-peers=1\nmax-peers=2",
            "max-peers=" + "9" * 6000,
            "bootnodes=" + "[" * 3000,
            "a" * 2**20,
        ],
        ids=["empty", "no value", "twice", "huge number", "deep", "too large"],
    )
    def test_what_is_not_toml_is_refused_in_a_sentence(self, tmp_path: Path, text: str) -> None:
        message = refusal(tmp_path, text + "\n")
        assert message.startswith(("Invalid TOML configuration: ", "Unable to read TOML configuration"))

    def test_deep_tables_are_walked(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, ".".join(["a"] * 3000) + "=1\n").startswith("Unknown option in TOML")

    def test_bytes_and_directories_are_refused(self, tmp_path: Path) -> None:
        binary = tmp_path / "binary.toml"
        binary.write_bytes(bytes(range(256)))
        for path in (binary, tmp_path):
            with pytest.raises(UsageError, match="TOML configuration"):
                collect_settings({"config-file": str(path)}, {})


class TestTheCommandLine:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["--p2p-port=1"], {"p2p-port": "1"}),
            (["--p2p-port", "1"], {"p2p-port": "1"}),
            (["--rpc-http-enabled"], {"rpc-http-enabled": "true"}),
            (["--rpc-http-enabled", "--max-peers=1"], {"rpc-http-enabled": "true", "max-peers": "1"}),
            (["--rpc-http-enabled=false"], {"rpc-http-enabled": "false"}),
            (["--rpc-http-enabled", "FALSE"], {"rpc-http-enabled": "FALSE"}),
            (["--rpc-http-apis", "ETH", "NET"], {"rpc-http-api": "ETH,NET"}),
            (["--rpc-http-api=ETH", "--rpc-http-apis=NET"], {"rpc-http-api": "ETH,NET"}),
            (["--bootnodes"], {"bootnodes": ""}),
            (["--bootnodes", "--max-peers=250"], {"bootnodes": "", "max-peers": "250"}),
            (["-l", "DEBUG"], {"logging": "DEBUG"}),
            (["--rpc-http-max-batch-size", "-1"], {"rpc-http-max-batch-size": "-1"}),
        ],
    )
    def test_is_read_as_besu_reads_it(self, words: list[str], found: dict[str, str]) -> None:
        assert parse_command_line(words) == (found, [])

    def test_options_end_where_a_command_begins(self) -> None:
        words = ["--data-path=d", "--bootnodes", "public-key", "export", "--to=f"]
        assert parse_command_line(words, ["public-key"]) == (
            {"data-path": "d", "bootnodes": ""},
            ["public-key", "export", "--to=f"],
        )

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--foo"], "Unknown option: '--foo'"),
            (["--rpc-http-prot=1"], "Unknown option: '--rpc-http-prot'\nPossible solutions: --rpc-http-port"),
            (["--RPC-HTTP-PORT=1"], "Unknown option: '--RPC-HTTP-PORT'"),
            (["--data-path=a", "--data-path=b"], "option '--data-path' should be specified only once"),
            (["--data-path"], "Missing required parameter for option '--data-path'"),
            (["--data-path", "--max-peers=1"], "Missing required parameter for option '--data-path'"),
            (["--host-allowlist"], "Missing required parameter for option '--host-allowlist'"),
        ],
    )
    def test_mistakes_are_named_and_end_with_2(self, words: list[str], text: str) -> None:
        with pytest.raises(UsageError) as refused:
            parse_command_line(words)
        assert str(refused.value).startswith(text)
        assert refused.value.status == 2

    def test_a_bad_value_ends_with_2(self) -> None:
        with pytest.raises(UsageError) as refused:
            collect_settings({"p2p-port": "abc"}, {})
        assert str(refused.value) == "Invalid value for option '--p2p-port': 'abc' is not an int"
        assert refused.value.status == 2
