"""The core: a pure state machine that agrees on blocks, and the rules for their headers.

Events go in, and effects come out (`events`, `effects`). The machine is `controller.BftController`.
"""
