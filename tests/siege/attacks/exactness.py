"""Answers that must be Besu's, byte for byte: one wrong result of a precompile in a block divides a network for ever."""

from tests.siege.attack import Exercise, Findings, Plan
from tests.siege.network import SiegeNetwork, ask

MODEXP = "0x" + (5).to_bytes(20).hex()

CASES: tuple[tuple[str, bytes, str], ...] = (
    ("0^0 mod 3", (0).to_bytes(32) * 2 + (1).to_bytes(32) + b"\x03", "0x01"),
    ("0^0 mod 2^256-1", (0).to_bytes(32) * 2 + (32).to_bytes(32) + b"\xff" * 32, "0x" + (1).to_bytes(32).hex()),
    ("0^0 mod 1", (0).to_bytes(32) * 2 + (1).to_bytes(32) + b"\x01", "0x00"),
    ("3^0 mod 5", (1).to_bytes(32) + (0).to_bytes(32) + (1).to_bytes(32) + b"\x03\x05", "0x01"),
)
"""Bases, exponents and moduli for EIP-198, with the right results."""


def compare_modexp(network: SiegeNetwork, plan: Plan) -> Findings:
    """Ask every node for MODEXP's results."""
    findings = Findings()
    for name, data, expected in CASES:
        call = {"to": MODEXP, "data": "0x" + data.hex(), "gas": hex(1_000_000)}
        wrong = {str(found) for node in network.nodes if (found := ask(node, "eth_call", call, "latest")) != expected}
        if wrong:
            findings.faults.append(f"MODEXP {name} is {expected}, and not {', '.join(sorted(wrong))}")
    findings.facts.append(f"{len(CASES)} results at {len(network.nodes)} nodes")
    return findings


ATTACKS = (Exercise("modexp", "MODEXP with empty base and exponent gives 1", compare_modexp, False),)
