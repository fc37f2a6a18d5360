"""Following the network: blocks that this node lacks, and transactions on their way.

It downloads, and hands to `chain` and `txpool` what it got; it writes no state itself and knows no consensus message.
"""
