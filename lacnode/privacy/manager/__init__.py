"""The transaction manager. It stores private payloads for its keys and exchanges them with other managers.

`privacy.transaction_manager` is its interface to the node. `privacy.service` has its ports. This package must not know what
a payload means.
"""
