"""The network of the transaction manager: its two ports, its calls to other managers, and its process.

This package must not decide anything about a payload. `lacnode.privacy.manager` does.
"""
