"""The commands, as an operator calls them: through `main`, on real files."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

from lacnode.chainspec.genesis import load_genesis
from lacnode.cli.main import main
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.extra_data import decode_extra_data, encode_extra_data
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.crypto.node_key import NodeKey, load_node_key, save_node_key
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.primitives.hexadecimal import to_hex

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LACNET, LOCAL = SHARED / "lacnet-configs", SHARED / "lacnet-local"
KEY = NodeKey.from_private_key(bytes(31) + b"\x01")
HINT = "\n\nTo display full help:\nlacnode [COMMAND] --help\n"

GENESIS = {
    "config": {
        "chainId": 1337,
        "berlinBlock": 0,
        "ibft2": {"blockperiodseconds": 2, "epochlength": 30000, "requesttimeoutseconds": 4},
    },
    "nonce": "0x0",
    "timestamp": "0x58ee40ba",
    "gasLimit": "0x47b760",
    "difficulty": "0x1",
    "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
    "coinbase": "0x0000000000000000000000000000000000000000",
    "alloc": {"fe3b557e8fb62b89f4916b721be55ceb828dbd73": {"balance": "0xad78ebc5ac6200000"}},
}
"""The shape of the configuration in Besu's tutorial on private networks."""

Output = pytest.CaptureFixture[str]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    save_node_key(tmp_path / "key", KEY)
    return tmp_path / "key"


def failed(arguments: list[str], capsys: Output, status: int = 1) -> str:
    """The message on stderr, without the note on help."""
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.endswith(HINT)
    return error.removesuffix(HINT)


class TestErrors:
    def test_go_to_stderr_with_the_way_to_help(self, capsys: Output) -> None:
        assert failed(["--foo"], capsys, 2) == "Unknown option: '--foo'"
        assert failed(["foo"], capsys, 2) == "Unmatched argument: 'foo'"
        assert failed(["--p2p-port=x"], capsys, 2) == "Invalid value for option '--p2p-port': 'x' is not an int"

    def test_a_module_run_ends_with_the_same_status(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "lacnode", "--foo"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "Unknown option: '--foo'" + HINT

    def test_a_node_asked_for_a_protection_does_not_start(self, tmp_path: Path, capsys: Output) -> None:
        arguments = [f"--data-path={tmp_path / 'data'}", "--genesis-file=x", "--Xp2p-tls-enabled"]
        text = failed(arguments, capsys)
        assert "--Xp2p-tls-enabled" in text
        assert not (tmp_path / "data").exists()


class TestValidateConfig:
    """The file alone cannot say where things are on this machine: options in front of the command do, as at a start."""

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[str]:
        genesis = tmp_path / "genesis.json"
        genesis.write_text(json.dumps(devnet_genesis([KEY.address], (), 1.0, 0)))
        (tmp_path / "manager.pub").write_text(base64.b64encode(bytes(32)).decode())
        return [
            f"--data-path={tmp_path / 'data'}",
            f"--genesis-file={genesis}",
            f"--node-private-key-file={tmp_path / 'key'}",
        ]

    @pytest.mark.parametrize("name", ["local-writer.toml", "tessera-writer.toml"])
    def test_takes_lacnets_files_where_their_paths_are(
        self, name: str, paths: list[str], tmp_path: Path, capsys: Output
    ) -> None:
        if not LACNET.exists():
            pytest.skip("LACNet's configuration files are not beside this repository")
        words = [*paths, f"--privacy-public-key-file={tmp_path / 'manager.pub'}", "validate-config"]
        assert main([*words, f"--config-file={LACNET / name}"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith("TOML config file is valid on basic inspection.")
        assert said.err == ""
        assert not (tmp_path / "data").exists()

    def test_says_everything_that_would_stop_the_node(self, paths: list[str], tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "config.toml"
        file.write_text(
            'rpc-http-enable=true\np2p-port="many"\nmax-peers=-1\nrpc-http-enabled=true\nrpc-http-api=["FOO"]\n'
            'net-restrict=["10.0.0.0/8"]\nmetrics-category=["KITCHEN"]\nidentity="<NAME>"\nrpc-http-host="no host"\n'
        )
        assert main([*paths, "validate-config", "--config-file", str(file)]) == 1
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert all(line.startswith("the node would not start: ") for line in lines)
        expected = ["rpc-http-enable", "p2p-port", "max-peers", "rpc-http-api", "net-restrict", "metrics-category"]
        for name in [*expected, "identity", "rpc-http-host"]:
            assert [line for line in lines if name in line], name
        assert len(lines) == len(expected) + 2
        assert said.out == ""

    def test_says_what_would_be_ignored(self, paths: list[str], tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "config.toml"
        file.write_text('data-storage-format="BONSAI"\nrpc-ws-port=1\nidentity="${NAME}"\n')
        assert main([*paths, "validate-config", f"--config-file={file}"]) == 0
        told = capsys.readouterr().out
        assert "at the start: accepted, no effect in lacnode: --data-storage-format" in told
        assert "at the start: --rpc-ws-port has been ignored because --rpc-ws-enabled was not defined" in told
        assert "at the start: --identity has ${NAME} in it as it stands" in told

    def test_needs_no_genesis_to_look_at_the_rest(self, tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "config.toml"
        file.write_text(f'data-path="{tmp_path}"\n')
        assert main(["validate-config", f"--config-file={file}"]) == 0
        assert "not checked: the genesis" in capsys.readouterr().out
        file.write_text(f'data-path="{tmp_path}"\ngenesis-file="{tmp_path / "none"}"\n')
        assert main(["validate-config", f"--config-file={file}"]) == 1
        assert "Unable to load genesis file." in capsys.readouterr().err

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path, capsys: Output) -> None:
        arguments = ["validate-config", "--config-file", str(tmp_path / "none.toml")]
        assert failed(arguments, capsys).startswith("Unable to read TOML configuration, file not found.")
        assert failed(["validate-config"], capsys, 2).startswith("Missing required option: '--config-file")


class TestPublicKey:
    def test_prints_key_and_address(self, key_file: Path, capsys: Output) -> None:
        for command, expected in (("export", KEY.public_key), ("export-address", KEY.address)):
            assert main([f"--node-private-key-file={key_file}", "public-key", command]) == 0
            assert capsys.readouterr().out == to_hex(expected) + "\n"
            assert main(["public-key", command, f"--node-private-key-file={key_file}"]) == 0
            assert capsys.readouterr().out == to_hex(expected) + "\n"

    def test_writes_a_file_without_a_newline(self, key_file: Path, tmp_path: Path) -> None:
        target = tmp_path / "nodeAddress"
        # LACChain's containers give the genesis file too, which this command does not need.
        arguments = ["--genesis-file=none", f"--data-path={tmp_path}", "public-key", "export-address", f"--to={target}"]
        assert main(arguments) == 0
        assert target.read_text() == to_hex(KEY.address)

    def test_makes_the_default_key_but_no_other(self, tmp_path: Path, capsys: Output) -> None:
        data = tmp_path / "data"
        assert main([f"--data-path={data}", "public-key", "export"]) == 0
        assert capsys.readouterr().out == to_hex(load_node_key(data / "key").public_key) + "\n"
        missing = tmp_path / "none"
        arguments = [f"--node-private-key-file={missing}", "public-key", "export"]
        assert "Private key file doesn't exist" in failed(arguments, capsys)
        assert not missing.exists()

    def test_refuses_another_curve(self, key_file: Path, capsys: Output) -> None:
        assert "secp256r1" in failed(["public-key", "export", "--ec-curve=secp256r1"], capsys)


def test_password_hash_is_bcrypt_with_besus_cost(capsys: Output) -> None:
    assert main(["password", "hash", "--password=pegasys"]) == 0
    hashed = capsys.readouterr().out.strip()
    assert hashed.startswith("$2a$10$")
    assert bcrypt.checkpw(b"pegasys", hashed.encode())
    assert "72 bytes" in failed(["password", "hash", "--password=" + "x" * 73], capsys)


class TestRlp:
    def test_encodes_and_decodes_validators(
        self, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source, target = tmp_path / "validators.json", tmp_path / "extra"
        source.write_text(json.dumps([to_hex(KEY.address)]))
        assert main(["rlp", "encode", f"--from={source}", f"--to={target}"]) == 0
        assert target.read_text() == to_hex(encode_extra_data(ExtraData(bytes(32), (KEY.address,))))
        monkeypatch.setattr("sys.stdin", io.StringIO(target.read_text()))
        assert main(["rlp", "decode"]) == 0
        assert json.loads(capsys.readouterr().out) == [to_hex(KEY.address)]

    def test_knows_the_extra_data_of_qbft(
        self, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The example is Besu's own, with its validators in the order of the file."""
        validators = ["0xbe068f726a13c8d46c44be6ce9d275600e1735a4", "0x5ff6f4b66a46a2b2310a6f3a93aaddc0d9a1c193"]
        expected = "0xf84fa0" + "00" * 32 + "ea94" + validators[0][2:] + "94" + validators[1][2:] + "c080c0"
        (tmp_path / "in").write_text(json.dumps(validators))
        assert main(["rlp", "encode", "--type=QBFT_EXTRA_DATA", f"--from={tmp_path / 'in'}"]) == 0
        assert capsys.readouterr().out.strip() == expected
        monkeypatch.setattr("sys.stdin", io.StringIO(expected))
        assert main(["rlp", "decode", "--type=QBFT_EXTRA_DATA"]) == 0
        assert json.loads(capsys.readouterr().out) == validators
        monkeypatch.setattr("sys.stdin", io.StringIO(expected))
        assert "not extra data of this type" in failed(["rlp", "decode", "--type=IBFT_EXTRA_DATA"], capsys)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[", "Unable to read JSON file."),
            ("[" * 5000, "Unable to read JSON file."),
            ('["0x12"]', "Unable to map the JSON data with selected type. Please check JSON input format."),
            ("7", "Unable to map the JSON data with selected type. Please check JSON input format."),
        ],
    )
    def test_refuses_what_is_no_list_of_addresses(
        self, text: str, message: str, tmp_path: Path, capsys: Output
    ) -> None:
        (tmp_path / "in").write_text(text)
        assert failed(["rlp", "encode", f"--from={tmp_path / 'in'}"], capsys).startswith(message)


class TestGenerateBlockchainConfig:
    @staticmethod
    def run(tmp_path: Path, document: object, *more: str) -> int:
        file = tmp_path / "config.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        command = ["operator", "generate-blockchain-config", f"--config-file={file}", f"--to={tmp_path / 'out'}"]
        return main([*command, *more])

    def test_lays_files_out_as_besu_does(self, tmp_path: Path) -> None:
        document = {"genesis": GENESIS, "blockchain": {"nodes": {"generate": True, "count": 4}}}
        assert self.run(tmp_path, document) == 0
        directories = list((tmp_path / "out" / "keys").iterdir())
        assert len(directories) == 4
        for directory in directories:
            key = load_node_key(directory / "key.priv")
            assert directory.name == to_hex(key.address)
            assert (directory / "key.pub").read_text() == to_hex(key.public_key)
            assert len((directory / "key.priv").read_text()) == 66
        written = json.loads((tmp_path / "out" / "genesis.json").read_text())
        validators = decode_extra_data(bytes.fromhex(written.pop("extraData")[2:])).validators
        assert {to_hex(address) for address in validators} == {directory.name for directory in directories}
        assert written == GENESIS
        assert load_genesis(tmp_path / "out" / "genesis.json").chain_id == 1337

    @pytest.mark.parametrize("contract", [None, "0x" + "88" * 20])
    def test_makes_qbft_networks_with_validators_in_headers_or_in_a_contract(
        self, tmp_path: Path, contract: str | None
    ) -> None:
        section = {"blockperiodseconds": 2} | ({} if contract is None else {"validatorcontractaddress": contract})
        genesis = {**GENESIS, "config": {"chainId": 1337, "berlinBlock": 0, "qbft": section}}
        genesis["alloc"] = {} if contract is None else {contract: {"balance": "0x0", "code": "0x00"}}
        assert self.run(tmp_path, {"genesis": genesis, "blockchain": {"nodes": {"generate": True, "count": 4}}}) == 0
        written = json.loads((tmp_path / "out" / "genesis.json").read_text())
        validators = QBFT.decode_extra_data(bytes.fromhex(written["extraData"][2:])).validators
        assert {to_hex(address) for address in validators} == {
            directory.name for directory in (tmp_path / "out" / "keys").iterdir()
        }
        parsed = load_genesis(tmp_path / "out" / "genesis.json")
        assert parsed.protocols == ((0, "qbft"),)
        assert parsed.ibft.parameters_at(1).validator_contract == (None if contract is None else b"\x88" * 20)

    def test_a_contract_without_code_makes_no_network(self, tmp_path: Path, capsys: Output) -> None:
        genesis = {**GENESIS, "config": {"chainId": 1, "qbft": {"validatorcontractaddress": "0x" + "88" * 20}}}
        assert self.run(tmp_path, {"genesis": genesis, "blockchain": {"nodes": {"generate": True, "count": 1}}}) == 1
        assert "alloc has no code" in capsys.readouterr().err

    def test_keeps_the_order_of_given_keys(self, tmp_path: Path) -> None:
        keys = [NodeKey.from_private_key(bytes(31) + bytes([number])) for number in (9, 3, 7)]
        nodes = {"generate": False, "keys": [to_hex(key.public_key) for key in keys]}
        names = ["--genesis-file-name=g.json", "--public-key-file-name=pub"]
        assert self.run(tmp_path, {"genesis": GENESIS, "blockchain": {"nodes": nodes}}, *names) == 0
        written = json.loads((tmp_path / "out" / "g.json").read_text())
        extra = decode_extra_data(bytes.fromhex(written["extraData"][2:]))
        assert extra.validators == tuple(key.address for key in keys)
        for key in keys:
            assert [file.name for file in (tmp_path / "out" / "keys" / to_hex(key.address)).iterdir()] == ["pub"]

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ("{", "An error occurred while trying to generate network configuration."),
            ("[" * 100_000, "An error occurred while trying to generate network configuration."),
            ([], "a JSON object was expected"),
            ({"genesis": {}, "blockchain": {"nodes": {}}}, "Missing config section in config file"),
            ({"genesis": GENESIS, "blockchain": {"nodes": {"keys": [7]}}}, "Invalid key json of type: "),
            (
                {"genesis": GENESIS, "blockchain": {"nodes": {"keys": ["0x12"]}}},
                "0x12 is not a valid public key for elliptic curve secp256k1",
            ),
            (
                {"genesis": GENESIS, "blockchain": {"nodes": {"keys": ["0x" + "11" * 64]}}},
                " is not a valid public key for elliptic curve secp256k1",
            ),
            (
                {"genesis": GENESIS, "blockchain": {"nodes": {"generate": True, "count": 10**12}}},
                "blockchain.nodes.count",
            ),
        ],
    )
    def test_refuses_in_besus_words_and_writes_nothing(
        self, document: object, message: str, tmp_path: Path, capsys: Output
    ) -> None:
        assert self.run(tmp_path, document) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_overwrites_nothing(self, tmp_path: Path, capsys: Output) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "precious").touch()
        assert self.run(tmp_path, {"genesis": GENESIS, "blockchain": {"nodes": {"generate": True, "count": 1}}}) == 1
        assert capsys.readouterr().err.startswith("Output directory already exists.")
        assert self.run(tmp_path, {}, "--genesis-file-name=a", "--public-key-file-name=a") == 1
        assert capsys.readouterr().err.startswith("Output file paths must be unique.")

    def test_a_bloom_cache_needs_nothing(self, capsys: Output) -> None:
        assert main(["operator", "generate-log-bloom-cache"]) == 0
        assert "no cache to generate" in capsys.readouterr().out


class TestBlocks:
    @pytest.fixture
    def parents(self, tmp_path: Path) -> list[str]:
        """The options before the command word."""
        if not LOCAL.exists():
            pytest.skip("the recorded chain is not beside this repository")
        return [f"--data-path={tmp_path / 'data'}", f"--genesis-file={LOCAL / 'genesis.json'}", "blocks"]

    def test_what_is_imported_is_exported(self, parents: list[str], tmp_path: Path, capsys: Output) -> None:
        source, target = LOCAL / "blocks-0-118.rlp", tmp_path / "exported"
        assert main([*parents, "import", f"--from={source}"]) == 0
        assert "118 blocks imported" in capsys.readouterr().out
        assert main([*parents, "export", f"--to={target}"]) == 0
        assert target.read_bytes() == source.read_bytes()
        # A start block makes an export append, and the end is not part of it.
        assert main([*parents, "export", f"--to={target}", "--start-block=3", "--end-block=3"]) == 1
        assert "must be greater start block (3)." in capsys.readouterr().err
        assert main([*parents, "export", f"--to={target}", "--start-block=0", "--end-block=119"]) == 0
        assert target.read_bytes() == source.read_bytes() * 2

    def test_a_range_is_imported(self, parents: list[str], capsys: Output) -> None:
        assert main([*parents, "import", str(LOCAL / "blocks-0-118.rlp"), "--end-block=5"]) == 0
        assert "4 blocks imported" in capsys.readouterr().out

    def test_a_bad_file_is_named_and_the_next_one_still_imported(
        self, parents: list[str], tmp_path: Path, capsys: Output
    ) -> None:
        bad = tmp_path / "bad.rlp"
        bad.write_bytes(b"\xf9\xff\xffgarbage")
        assert main([*parents, "import", str(bad), str(LOCAL / "blocks-0-118.rlp")]) == 1
        said = capsys.readouterr()
        assert f"Unable to import blocks from {bad}" in said.err
        assert "118 blocks imported" in said.out

    def test_mistakes_are_besus(self, parents: list[str], tmp_path: Path, capsys: Output) -> None:
        assert failed([*parents, "import"], capsys) == "No files specified to import."
        assert failed([*parents, "import", "nowhere"], capsys) == "Could not find file to import: nowhere"
        assert failed([*parents, "export"], capsys, 2).startswith("Missing required option: '--to")
        assert failed([*parents, "export", "--to=f", "--start-block=-1"], capsys) == (
            "Parameter --start-block (-1) must be greater than or equal to zero."
        )
        assert failed([*parents, "export", "--to=f"], capsys) == (
            f"Chain is empty.  Unable to export blocks from specified data directory: {tmp_path / 'data'}"
        )
        assert not Path("f").exists()
