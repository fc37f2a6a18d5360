"""The page of limits says what the code does: every default, every option."""

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lacnode.chainspec.genesis import parse_genesis
from lacnode.cli.options import OPTIONS
from lacnode.rpc.errors import batch_too_large

PAGE = Path(__file__).parents[3] / "docs" / "operators" / "limits.md"
UNITS = {"": 1.0, "s": 1.0, "ms": 1.0, "%": 0.01, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
HEADING = ["What", "Default", "Option", "Beyond it", "In the code"]


class Row(NamedTuple):
    what: str
    default: str
    option: str
    beyond: str
    code: str


def rows() -> list[Row]:
    """Every line of every table but the headings."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(*each) for each in cells if each != HEADING and not set(each[0]) <= set("-")]


ROWS = rows()


def named(row: Row) -> str:
    return re.sub(r"\W+", "-", row.what)[:60]


def value_of(text: str) -> float:
    """The number of `text` in the unit of the code: bytes, seconds, milliseconds, shares of one."""
    found = re.fullmatch(r"([\d,.]+) ?(\D*)", text)
    assert found is not None, f"{text!r} is no number with a unit of {', '.join(filter(None, UNITS))}"
    return float(found[1].replace(",", "")) * UNITS[found[2]]


def value_in_code(reference: str) -> Any:
    """What `module:NAME` is, or the default of a field, `module:Class.field`."""
    module, _, path = reference.strip("`").partition(":")
    value: Any = importlib.import_module(module)
    for name in path.split("."):
        value = field_default(value, name) if dataclasses.is_dataclass(value) else getattr(value, name)
    return value


def field_default(owner: Any, name: str) -> Any:
    return next(field.default for field in dataclasses.fields(owner) if field.name == name)


@pytest.mark.parametrize("row", ROWS, ids=map(named, ROWS))
def test_a_default_is_that_of_the_code(row: Row) -> None:
    assert value_of(row.default) == pytest.approx(float(value_in_code(row.code))), row.code


@pytest.mark.parametrize("row", [row for row in ROWS if row.option.startswith("`--")], ids=named)
def test_an_option_has_the_default_of_the_page(row: Row) -> None:
    (option,) = (option for option in OPTIONS if f"`--{option.name}`" == row.option)
    given = float(option.default) / (100 if row.default.endswith("%") else 1)
    assert given == pytest.approx(value_of(row.default))


@pytest.mark.parametrize("row", [row for row in ROWS if row.option.startswith("genesis")], ids=named)
def test_a_key_of_the_genesis_changes_the_bound(row: Row) -> None:
    key = row.option.removeprefix("genesis").strip(" `")
    with_key = {"config": {"chainId": 7, "ibft2": {key: 17}, key: 17}, "difficulty": "0x1", "gasLimit": "0x1000000"}
    spec = parse_genesis({**with_key, "alloc": {}})
    name = row.code.strip("`").rpartition(".")[2]
    assert 17 in (
        getattr(spec.ibft.parameters_at(0), name, None),
        spec.contract_size_limit if key == "contractSizeLimit" else None,
    )


def test_every_row_is_whole() -> None:
    assert all(row.what and row.beyond and row.code for row in ROWS)
    assert all(re.match(r"$|`--[\w-]+`$|genesis `\w+`$", row.option) for row in ROWS)


NO_LIMIT_OF_INPUT = frozenset(
    {
        "lacnode.consensus.bft.header_rules:MAX_GAS_LIMIT",
        "lacnode.consensus.bft.height_manager:MAX_ROUND",
        "lacnode.evm.transaction_validation:MAX_NONCE",
        "lacnode.node.faults:MAX_FAULTS_FILE_BYTES",
        "lacnode.p2p.discovery_service:MAX_DATAGRAM_BYTES",
        "lacnode.p2p.wire.endpoint_proofs:MAX_PINGS",
        "lacnode.p2p.wire.enode:MAX_PORT",
        "lacnode.metrics.prometheus_text:MAX_KEPT_TEXTS",
        "lacnode.p2p.wire.frame:MAX_MESSAGE_ID",
        "lacnode.http.tls_stream:MAX_PLAINTEXT_BYTES",
        "lacnode.privacy.service.client_certificates:MAX_NAME_CHARACTERS",
        "lacnode.privacy.state.group_genesis:MAX_CACHED_STATES",
        "lacnode.rpc.call_parameters:MAX_GAS",
        "lacnode.rpc.call_parameters:MAX_NONCE",
        "lacnode.rpc.json_rpc_client:MAX_REPLY_BYTES",
        "lacnode.rpc.health:MAX_BLOCKS_BEHIND",
        "lacnode.rpc.methods.miner:MAX_GAS_LIMIT",
        "lacnode.rpc.parameters:MAX_UINT256",
        "lacnode.rpc.parameters:MAX_NUMBER_CHARACTERS",
        "lacnode.storage.environment:MAX_TABLES",
    }
)
"""Largest values of a format, bounds of the node's own work, and bounds of a command that an operator runs."""


def test_every_maximum_of_the_node_is_on_the_page() -> None:
    """A new `MAX_...` gets a row, or a reason why an operator need not know it."""
    root = PAGE.parents[2]
    found = set()
    for file in sorted((root / "lacnode").rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        if not module.startswith(("lacnode.cli.", "lacnode.devnet.", "lacnode.testing.")):
            for names in re.findall(r"^([A-Z][A-Z0-9_, ]*)(?:: [^=\n]+)? = ", file.read_text("utf-8"), re.MULTILINE):
                found |= {f"{module}:{name}" for name in names.split(", ") if name.startswith("MAX_")}
    assert found - {row.code.strip("`") for row in ROWS} - NO_LIMIT_OF_INPUT == set()
    assert found >= NO_LIMIT_OF_INPUT


def test_a_batch_that_is_too_long_has_the_error_of_the_page() -> None:
    (row,) = (row for row in ROWS if row.code.strip("`") == "lacnode.rpc.settings:HttpSettings.max_batch")
    assert str(batch_too_large().code) in row.beyond
