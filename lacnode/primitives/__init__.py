"""Immutable values of the chain and their RLP: header, transaction, receipt, block.

This package does no input or output, does not sign, and knows no rule of consensus. A header has no `hash` here: the hash of
an IBFT 2.0 block is a rule of consensus (`lacnode.consensus.ibft2.block_hash`). `keccak256(header.encode())` is wrong for
every block except the genesis.
"""
