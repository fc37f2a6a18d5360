"""Blocks that this node lacks, and transactions from other nodes.

The package downloads, and gives the results to `chain` and `txpool`. It writes no state itself and knows no consensus
message.
"""
