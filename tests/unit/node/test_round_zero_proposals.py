"""Which connected validators take only proposals with round 0 in their extra data."""

import pytest

from lacnode.node.round_zero_proposals import accepts_only_round_zero


@pytest.mark.parametrize(
    ("client_id", "needs"),
    [
        ("Geth/v1.10.3-stable-0d4a719f(quorum-v24.4.1)/linux-amd64/go1.20", True),
        ("Geth/node-1/v1.10.3-stable(quorum-v23.4.0)/linux-amd64/go1.20", True),
        ("Geth/v1.14.0-stable/linux-amd64/go1.22", False),
        ("besu/v24.1.0/linux-x86_64/openjdk-java-17", True),
        ("besu/validator-3/v24.9.1/linux-x86_64/openjdk-java-21", True),
        ("besu/v24.12.0/linux-x86_64/openjdk-java-21", False),
        ("besu/v25.5.0/linux-x86_64/openjdk-java-21", False),
        ("besu/develop", False),
        ("lacnode/quorum/v1.0.0/linux-x86_64/python-3.11.2", False),
        ("besu/" + "9" * 100_000, False),
        ("", False),
    ],
)
def test_the_form_that_a_client_takes(client_id: str, needs: bool) -> None:
    assert accepts_only_round_zero(client_id) is needs
