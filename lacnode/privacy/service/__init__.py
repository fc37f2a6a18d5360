"""The transaction manager's network: its two ports, its calls to other managers, its process.

Must not decide anything about a payload: `lacnode.privacy` does.
"""
