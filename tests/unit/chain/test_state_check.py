"""What the check of a state says about nodes that no execution makes."""

import pytest

from lacnode.chain.state_check import find_missing_nodes
from lacnode.primitives import rlp
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.rlp import RlpError, RlpItem

VALUE = b"a value"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ([b"", VALUE], "path: at least one byte"),
        ([b"\x20", VALUE, b""], "2 or 17 items were expected, found 3"),
        ([b"", [b"", VALUE]], "path: at least one byte"),
        ([[b"\x20"], VALUE], "path"),
    ],
)
def test_a_node_of_another_form_ends_the_check_with_an_error(node: list[RlpItem], expected: str) -> None:
    encoded = rlp.encode(node)
    with pytest.raises(RlpError, match=expected):
        list(find_missing_nodes(keccak256(encoded), {keccak256(encoded): encoded}.get, lambda text, count: None))
