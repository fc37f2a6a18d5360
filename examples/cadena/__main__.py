"""Customs administrations recognise each other's authorised operators: see README.md beside this file.

python -m examples.cadena [DATA_PATH]        (a running `lacnode devnet --privacy`; devnet-data by default)
"""

import sys
from pathlib import Path

from examples.cadena.administration import Administration, Exchange
from examples.cadena.records import Record, Status
from examples.private_client import load

OPERATOR, OTHER = "AEO-2041 coffee exporter", "AEO-7730 freight forwarder"
VALID_UNTIL = 4_102_444_800
"""The first second of the year 2100."""


def main(path: Path) -> None:
    members, accounts = load(path)
    titles = ("customs A", "customs B", "customs C")
    first, second, third = (Administration(*of) for of in zip(titles, members, accounts[1:], strict=False))
    administrations = (first, second, third)

    print("On the public chain")
    registry, made = first.deploy_identifiers()
    for administration in administrations:
        administration.member.wait_until_mined(made)
        administration.register(registry)
        print(f"  {administration.title} is {administration.identifier}")

    print("Between A and B, who have an arrangement")
    group = first.arrange(second)
    contract = first.deploy_recognition(group, registry)
    exchanges = [first.issue(group, contract, OPERATOR, VALID_UNTIL), second.issue(group, contract, OTHER, VALID_UNTIL)]
    for issuer, partner, exchange in zip((first, second), (second, first), exchanges, strict=True):
        issuer.prove(registry, exchange)
        tell(issuer, partner, group, contract, exchange)

    head = first.member.web3.eth.block_number
    suspension = first.change(group, contract, OPERATOR, Status.SUSPENDED)
    proof_of_suspension = first.prove(registry, suspension)
    print(f"  customs A suspends at block {head}")
    tell(first, second, group, contract, suspension)

    print("What C sees, who has none")
    third.member.wait_until_mined(proof_of_suspension)
    for exchange in (*exchanges, suspension):
        seen = third.member.web3.eth.get_transaction(exchange.marker)
        assert third.member.ask("priv_getTransactionReceipt", exchange.marker) is None
        print(f"  block {exchange.number}: {len(seen['input'])} bytes, {seen['input'].to_0x_hex()}")
    assert third.certificate(group, contract, OPERATOR)[1] is Status.NONE
    for proof in third.proofs(registry):
        print(f"  proof of {proof['args']['commitment'].hex()} by {proof['args']['issuer']}")

    print("What C can check, if B shows it the record of the suspension")
    shown = suspension.record
    identifier, proof = third.verify(registry, shown)
    print(f"  {shown.operator} {shown.status.name}: issued by {identifier}, proof in block {proof['blockNumber']}")
    forged = Record(shown.issuer, shown.operator, Status.VALID, shown.valid_until, shown.salt)
    try:
        third.verify(registry, forged)
    except LookupError as nobody:
        print(f"  {forged.operator} {forged.status.name}: {nobody}")
    print(f"contract {contract} in group {group}, registry {registry}")


def tell(issuer: Administration, partner: Administration, group: str, contract: str, exchange: Exchange) -> None:
    """Say what the partner sees as of the very block that has the marker."""
    operator = exchange.record.operator
    partner.member.receipt(exchange.marker)
    _, status, _, commitment = partner.certificate(group, contract, operator, hex(exchange.number))
    assert commitment == exchange.record.commitment
    print(f"  block {exchange.number}: {partner.title} sees {operator} {status.name}, as {issuer.title} said")


main(Path(sys.argv[1] if len(sys.argv) > 1 else "devnet-data"))
