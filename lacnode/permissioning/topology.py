"""The node types of LACChain and the connections between them. This module must not know any contract."""

from enum import Enum

from lacnode.primitives.keccak import keccak256


class NodeType(Enum):
    """The type of a node in the network. The values are LACChain's numbers in the node contract."""

    BOOT = 0
    VALIDATOR = 1
    WRITER = 2
    OBSERVER = 3
    OTHER = 4

    @property
    def lower_name(self) -> str:
        """The name of the type in lower case, such as `validator`, as people write it."""
        return self.name.lower()


GROUPS = {
    NodeType.BOOT: bytes.fromhex("5B950E77941D01CDF246D00B1ECE546BC95234B77D98B44C9187E2733AFA696A"),
    NodeType.VALIDATOR: bytes.fromhex("DAE96FC0046A5AE1864D9A66E6715DA8DA08240E7119816AB722261C0744D8E8"),
    NodeType.WRITER: bytes.fromhex("4BB48E76F19DE6EBED7D59D46800508030AECEA46BA56BD19855D94473E28BC0"),
    NodeType.OBSERVER: keccak256(b"observer"),
    NodeType.OTHER: keccak256(b"other"),
}
"""The groups in the node rules. The first three values are LACChain's. LACChain's rules have no group of observers."""

CONNECTIONS = (
    (NodeType.VALIDATOR, NodeType.VALIDATOR),
    (NodeType.VALIDATOR, NodeType.BOOT),
    (NodeType.BOOT, NodeType.BOOT),
    (NodeType.BOOT, NodeType.WRITER),
    (NodeType.BOOT, NodeType.OBSERVER),
    (NodeType.WRITER, NodeType.WRITER),
)
"""The permitted connections between node types, in both directions (LACChain's documents on topology)."""
