"""The transaction manager: keeps private payloads for its keys and exchanges them with others' managers.

What it is to a node is `privacy.transaction_manager`; its ports are `privacy.service`. Must not know what a payload means.
"""
