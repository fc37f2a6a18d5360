"""Private transactions: groups, payloads, private state. The transaction manager and everything of it that needs no
event loop; what does is in `privacy.service`.

Must not let a failure stop public blocks, and must not let a secret out.
"""
