"""Opening a validator's records of its own signatures, and finding out whether they are complete.

A validator that lost a part of them must not sign as if nothing had happened: it follows the network, and signs again
once enough blocks were decided without it (`consensus.resumption`). Must not sign.
"""

from pathlib import Path

import structlog

from lacnode.chain.chain_store import StoredChain
from lacnode.consensus.bft.journal import Journal, encode_loss_record
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.storage.consensus_log import ConsensusLog
from lacnode.storage.disk import REAL_DISK, Disk
from lacnode.storage.log_pairing import PairedDatabase, find_loss, pair_log, read_known_log_position

log = structlog.get_logger("consensus")

LOG_FILE = "consensus.log"
MISSING_LOG = "consensus.log was missing, but the database has a chain"
RESET_ADVICE = (
    "on a network that cannot go on without this validator, start it once with --reset-signing-state; it may then "
    "contradict what it signed before, and two blocks at one height can become final"
)


def open_signing_state(
    directory: Path,
    owner: bytes,
    database: PairedDatabase,
    protocols: ProtocolSchedule,
    *,
    reset: bool,
    disk: Disk = REAL_DISK,
) -> ConsensusLog:
    """Return the consensus log in `directory` of the validator with the 20-byte address `owner`. From now on `database`
    stores the position of the log with every commit, so that the next start finds out whether records are missing. If
    records are missing now, the log gets a record of the loss, and the validator must not sign at once. With `reset`, a
    loss of now or of earlier is settled by a further record: the validator may sign at once, at every height. `reset`
    without a loss is logged. StorageError or OSError if the disk fails, RlpError for damaged records."""
    known = read_known_log_position(database)
    # A new node has no log and no chain: it has signed nothing, and there is no loss. A chain without a log means
    # that the log was lost.
    head = _head_number(database)
    if_missing = [encode_loss_record(MISSING_LOG)] if known is not None or head > 0 else []
    records = ConsensusLog(directory / LOG_FILE, owner=owner, if_missing=if_missing, disk=disk)
    try:
        _log_findings(records)
        journal = Journal.restore(records.records(), protocols, head=head)
        loss = find_loss(records, known)
        # The loss is recorded before the log is paired again. A crash between the two must not make the loss look
        # settled.
        if loss is not None and journal.loss_reason is None:
            records.append(journal.record_loss(loss))
        pair_log(database, records)
        _reset_or_warn(journal, records, reset=reset)
    except BaseException:
        records.close()
        raise
    return records


def _head_number(database: PairedDatabase) -> int:
    """Return the number of the last block. Above 0, a validator may have signed it. -1 in an empty database."""
    with database.read() as snapshot:
        return StoredChain(snapshot).head_number()


def _log_findings(records: ConsensusLog) -> None:
    if records.torn_bytes:
        log.warning(
            "the last record of consensus.log was torn and is dropped: it was never acted on", bytes=records.torn_bytes
        )
    if records.set_aside is not None:
        log.warning("consensus.log belongs to another node key and is set aside", file=str(records.set_aside))


def _reset_or_warn(journal: Journal, records: ConsensusLog, *, reset: bool) -> None:
    loss, floor = journal.loss_reason, journal.signing_floor
    if reset and (loss is not None or floor > 0):
        # On the disk before the validator runs: the reset counts once, also if the option is left in place.
        records.append(journal.resolve_loss(0))
        log.warning(
            "the signing state was reset: this validator may contradict what it signed before",
            lost=loss or f"what was signed up to block {floor}",
        )
    elif reset:
        log.warning("--reset-signing-state has no effect: nothing is missing. Take the option out")
    elif loss is not None:
        log.warning(f"this node does not sign as a validator: {loss}. It follows the network; {RESET_ADVICE}")
