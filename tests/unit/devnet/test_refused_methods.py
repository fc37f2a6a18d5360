"""What a devnet cannot do is refused with a sentence that names what to do instead."""

import pytest

from lacnode.devnet.refused_methods import refused_methods
from lacnode.rpc.errors import RpcError


@pytest.mark.parametrize(
    ("method", "instead"),
    [
        ("hardhat_setPrevRandao", "block overrides"),
        ("anvil_setNextBlockBaseFeePerGas", "block overrides"),
        ("evm_setBlockGasLimit", "block overrides"),
        ("anvil_setRpcUrl", "no chain can be forked"),
    ],
)
async def test_a_method_that_is_not_possible_says_what_is(method: str, instead: str) -> None:
    with pytest.raises(RpcError, match=instead) as refused:
        await refused_methods()[method]([])
    assert refused.value.code == -32000
    assert refused.value.message.startswith(method)
