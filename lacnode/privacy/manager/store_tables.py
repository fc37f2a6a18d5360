"""The tables of the manager's store, and the entry of the audit log, which several of them write in one transaction."""

import hashlib

import sqlalchemy as sql

from lacnode.privacy.manager.sql_database import SqlConnection

TABLES = sql.MetaData()
_SEQUENCE = sql.BigInteger().with_variant(sql.Integer, "sqlite")
PAYLOADS = sql.Table(
    "payloads",
    TABLES,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=True),
    sql.Column("key", sql.LargeBinary(32), unique=True, nullable=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
PARTIES = sql.Table(
    "parties",
    TABLES,
    sql.Column("payload", _SEQUENCE, sql.ForeignKey("payloads.number"), primary_key=True),
    sql.Column("party", sql.LargeBinary(32), primary_key=True),
    sql.Column("position", sql.Integer, nullable=False),
    sql.Index("parties_by_party", "party", "payload"),
)
GROUPS = sql.Table(
    "groups",
    TABLES,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=True),
    sql.Column("id", sql.LargeBinary(32), unique=True, nullable=False),
    sql.Column("lookup", sql.LargeBinary(32), index=True, nullable=False),
    sql.Column("active", sql.Boolean, nullable=False),
    sql.Column("record", sql.LargeBinary, nullable=False),
)
KNOWN_NODES = sql.Table(
    "known_nodes",
    TABLES,
    sql.Column("key", sql.LargeBinary(32), primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
)
AUDIT = sql.Table(
    "audit",
    TABLES,
    sql.Column("number", _SEQUENCE, primary_key=True, autoincrement=False),
    sql.Column("entry", sql.LargeBinary, nullable=False),
    sql.Column("hash", sql.LargeBinary(32), nullable=False),
)

# Without this table a restart would forget how much each key has pushed, and a sender could fill its share again.
SENDERS = sql.Table(
    "senders",
    TABLES,
    sql.Column("sender", sql.LargeBinary(32), primary_key=True),
    sql.Column("known", sql.Boolean, nullable=False),
    sql.Column("bytes", sql.BigInteger, nullable=False),
)
"""The number of pushed bytes by the key that sent them."""

# A key that has filled its share must not begin again after a restart. Groups of earlier versions have no row here.
TOLD_GROUPS = sql.Table(
    "told_groups",
    TABLES,
    sql.Column("id", sql.LargeBinary(32), primary_key=True),
    sql.Column("teller", sql.LargeBinary(32), index=True, nullable=False),
    sql.Column("known", sql.Boolean, nullable=False),
    sql.Column("bytes", sql.BigInteger, nullable=False),
)
"""The groups that other managers announced, by the key that proved itself for it, empty if none did."""

AUDIT_START = bytes(32)
"""The hash before the first entry of the audit log."""


def append_audit_entry(connection: SqlConnection, entry: bytes) -> None:
    """Add the encoded entry to the audit log under the next number (from 1), in the transaction of `connection`. It is
    stored when the transaction commits."""
    last = connection.find_row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
    # The hash of each entry includes the one before. An entry that is changed or removed later breaks the chain.
    number, previous = (1, AUDIT_START) if last is None else (last[0] + 1, bytes(last[1]))
    row = {"number": number, "entry": entry, "hash": audit_chain_hash(previous, number, entry)}
    connection.execute("INSERT INTO audit (number, entry, hash) VALUES (:number, :entry, :hash)", row)


def audit_chain_hash(previous: bytes, number: int, entry: bytes) -> bytes:
    """Return the hash (32 bytes) of an entry of the audit log: SHA-256 of the hash of the entry before (32 bytes), the
    number (8 bytes, big-endian) and the entry."""
    return hashlib.sha256(previous + number.to_bytes(8) + entry).digest()
