"""The page about QBFT and the code say the same."""

import re
from pathlib import Path

from lacnode.consensus.bft import header_rules
from lacnode.consensus.bft.height_manager import DISPATCH
from lacnode.consensus.bft.own_proposal import TRANSITIONS
from lacnode.consensus.bft.payloads import MessageKind
from lacnode.consensus.bft.pool_search import PoolSearch
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.consensus.bft.round import Phase
from lacnode.consensus.ibft2.protocol import IBFT2
from lacnode.consensus.qbft.protocol import QBFT
from lacnode.p2p.wire.capabilities import Capability

SPEC = (Path(__file__).resolve().parents[4] / "docs" / "spec" / "qbft.md").read_text()


def table_below(heading: str) -> list[list[str]]:
    """The rows of the first table of a section, without its heading row."""
    section = SPEC.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def test_messages_go_where_the_page_says() -> None:
    coded: dict[str, dict[str, str]] = {}
    for (kind, when), handler in DISPATCH.items():
        coded.setdefault(kind.__name__, {})[when.value] = handler.__name__.lstrip("_")
    written = {
        kind: {"earlier": earlier, "current": current, "later": later}
        for kind, earlier, current, later in table_below("Where a message goes")
    }
    assert coded == written


def test_rounds_have_the_phases_of_the_page() -> None:
    assert [phase.value for phase in Phase] == [row[0] for row in table_below("A round")]


def test_the_own_proposal_has_the_steps_of_the_page() -> None:
    written = [tuple(row[:3]) for row in table_below("The own proposal")]
    coded = [(state.value, step.value, after.value) for (state, step), after in TRANSITIONS.items()]
    assert coded == written


def test_searches_of_the_pool_have_the_steps_of_the_page() -> None:
    steps = [row[0].split(":")[0] for row in table_below("A silent proposer")]
    assert list(dict.fromkeys(steps)) == [name for name in vars(PoolSearch) if not name.startswith("_")]


def test_messages_have_the_codes_of_the_page() -> None:
    written = {row[0]: int(row[1], 16) for row in table_below("Messages")}
    assert {kind.name: QBFT.codec.code(kind) for kind in MessageKind} == written


def test_both_protocols_have_the_properties_of_the_page() -> None:
    def text(protocol: BftProtocol, name: str) -> str:
        value = getattr(protocol, name)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "/".join(str(part) for part in value) if isinstance(value, tuple) else str(value)

    rows = table_below("What differs from IBFT 2.0")
    assert len(rows) == 5
    for name, qbft, ibft2 in rows:
        assert (text(QBFT, name.strip("`")), text(IBFT2, name.strip("`"))) == (qbft, ibft2)


def test_the_sub_protocol_has_the_messages_that_devp2p_reserves_for_it() -> None:
    for protocol in (QBFT, IBFT2):
        assert Capability(*protocol.capability).message_space == protocol.message_space


def test_header_rules_have_the_names_of_the_page() -> None:
    written = [name for row in table_below("Header rules") for name in re.findall(r"`([a-z-]+)`", row[0])]
    of_ibft2_only = {"ommers-hash", "nonce"}
    coded = [rule.rule for rule in header_rules.HeaderRefusedError.__subclasses__()]
    assert [rule for rule in coded if rule not in of_ibft2_only] == written
