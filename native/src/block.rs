//! A block in the making, as Python sees it. Every method gives the GIL back while it computes, and turns a panic into an
//! exception (`guarded`). After a panic while it computes, the block is of no use, and says so.

use std::cell::RefCell;
use std::iter::Zip;
use std::sync::Arc;
use std::vec::IntoIter;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, U256};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use revm_context::{BlockEnv, CfgEnv, TxEnv};
use revm_context_interface::block::BlobExcessGasAndPrice;
use revm_context_interface::result::{ExecutionResult, HaltReason};
use revm_primitives::hardfork::SpecId;
use revm_state::EvmState;

use crate::machine::{Ended, Limits, Surroundings, is_precompile};
use crate::nodes::NodeReader;
use crate::parallel;
use crate::receipt::{Bloom, Kept, bloom_of, encode};
use crate::state::BlockState;
use crate::stop::{Stop, guarded};
use crate::trace::{Bounds, Recorder, Wanted};
use crate::trace_changes::{Change, changes};
use crate::trace_python::{Trace, changes_to_python};
use crate::transaction::{access_list_of, decode, of_call, recover_authorities, sender_of};

/// Bytes of the init code of a creation (EIP-3860), whatever a network's limit on contracts is.
const MAX_INITCODE_BYTES: usize = 49_152;

/// Gas of a call that a block makes by itself.
const SYSTEM_CALL_GAS: u64 = 30_000_000;

fn sized<const SIZE: usize>(bytes: &[u8]) -> PyResult<[u8; SIZE]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{SIZE} bytes were expected, found {}", bytes.len())))
}

fn address_of(bytes: &[u8]) -> PyResult<Address> {
    sized(bytes).map(Address::from)
}

fn word(bytes: &[u8]) -> PyResult<U256> {
    sized(bytes).map(U256::from_be_bytes::<32>)
}

/// Trie nodes and codes, read through a Python callable and kept in a bounded cache.
#[pyclass(frozen, module = "lacnode_native")]
pub struct NodeCache {
    reader: Arc<NodeReader>,
}

#[pymethods]
impl NodeCache {
    /// `read` gives the bytes under a hash, or raises. `capacity_bytes` of nodes are kept, and as many of codes.
    #[new]
    fn new(read: Py<PyAny>, capacity_bytes: usize) -> Self {
        Self { reader: Arc::new(NodeReader::new(read, capacity_bytes)) }
    }
}

/// How a transaction ended that is not in the block yet.
struct Pending {
    state: EvmState,
    raw: Vec<u8>,
    receipt: Vec<u8>,
    bloom: Option<Box<Bloom>>,
    gas_used: u64,
}

/// What a transaction left behind.
struct Outcome {
    is_success: bool,
    cumulative_gas: u64,
    bloom: Option<Box<Bloom>>,
    logs: Vec<Log>,
    gas_used: u64,
    reverted: Option<Bytes>,
}

impl Outcome {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (
            u8::from(self.is_success),
            self.cumulative_gas,
            self.bloom_to_python(py),
            self.logs_to_python(py)?,
            self.gas_used,
            self.reverted_to_python(py),
        )
            .into_pyobject(py)
    }

    fn bloom_to_python<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.bloom.as_ref().map(|bloom| PyBytes::new(py, &bloom[..]))
    }

    fn logs_to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        if self.logs.is_empty() {
            return Ok(PyTuple::empty(py));
        }
        PyTuple::new(py, self.logs.iter().map(|log| log_to_python(py, log)).collect::<PyResult<Vec<_>>>()?)
    }

    fn reverted_to_python<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.reverted.as_ref().map(|output| PyBytes::new(py, output))
    }
}

/// One list for each member of the outcomes. A tuple for each transaction would take Python longer than executing it.
fn columns<'py>(py: Python<'py>, outcomes: &[Outcome]) -> PyResult<Bound<'py, PyTuple>> {
    let logs = outcomes.iter().map(|outcome| outcome.logs_to_python(py)).collect::<PyResult<Vec<_>>>()?;
    (
        PyList::new(py, outcomes.iter().map(|outcome| u8::from(outcome.is_success)))?,
        PyList::new(py, outcomes.iter().map(|outcome| outcome.cumulative_gas))?,
        PyList::new(py, outcomes.iter().map(|outcome| outcome.bloom_to_python(py)))?,
        PyList::new(py, logs)?,
        PyList::new(py, outcomes.iter().map(|outcome| outcome.gas_used))?,
        PyList::new(py, outcomes.iter().map(|outcome| outcome.reverted_to_python(py)))?,
    )
        .into_pyobject(py)
}

fn log_to_python<'py>(py: Python<'py>, log: &Log) -> PyResult<Bound<'py, PyTuple>> {
    let topics = PyTuple::new(py, log.topics().iter().map(|topic| PyBytes::new(py, topic.as_slice())))?;
    (PyBytes::new(py, log.address.as_slice()), topics, PyBytes::new(py, &log.data.data)).into_pyobject(py)
}

/// The accounts of one block in the making, and the transactions that are in it.
#[pyclass(module = "lacnode_native")]
pub struct Block {
    state: Option<BlockState>,
    environment: BlockEnv,
    config: CfgEnv,
    long_precompile: Py<PyAny>,
    kept: Kept,
    pending: Option<Pending>,
}

/// How something is executed.
struct Terms<'a> {
    /// A Python callable that raises when the execution must stop.
    check: &'a Py<PyAny>,
    /// None without bounds.
    limits: Option<Limits>,
    /// Whether nobody has signed it.
    is_call: bool,
    /// Whether to note that the execution looks at more than code and storage.
    is_watched: bool,
}

impl<'a> Terms<'a> {
    fn of_transaction(check: &'a Py<PyAny>, limits: Option<Limits>) -> Self {
        Self { check, limits, is_call: false, is_watched: false }
    }

    fn of_call(check: &'a Py<PyAny>, memory_limit: Option<u64>, is_watched: bool) -> Self {
        Self { check, limits: limits_of(memory_limit, memory_limit), is_call: true, is_watched }
    }
}

const BROKEN: Stop = Stop::Unsupported("the block is broken: the native engine panicked in it, or it was written");

impl Block {
    /// Work on the accounts without the GIL. They are lost if that panics.
    fn on_state<T: Send>(
        &mut self,
        py: Python<'_>,
        work: impl FnOnce(&mut BlockState, &BlockEnv, &CfgEnv, &Py<PyAny>, &mut Kept) -> Result<T, Stop> + Send,
    ) -> PyResult<T> {
        let mut state = self.state.take().ok_or(BROKEN)?;
        let (environment, config, long) = (&self.environment, &self.config, &self.long_precompile);
        let kept = &mut self.kept;
        let result = py.detach(|| work(&mut state, environment, config, long, kept));
        self.state = Some(state);
        Ok(result?)
    }

    /// Execute something on the accounts by `terms`.
    fn execute<T: Send>(
        &mut self,
        py: Python<'_>,
        terms: &Terms<'_>,
        work: impl FnOnce(&Surroundings<'_>, &mut BlockState, &mut Kept) -> Result<T, Stop> + Send,
    ) -> PyResult<T> {
        let Terms { check, limits, is_call, is_watched } = *terms;
        self.on_state(py, |state, block, config, long_precompile, kept| {
            let config = if is_call { &for_call(config) } else { config };
            let surroundings = Surroundings { block, config, check, long_precompile, limits, is_watched };
            work(&surroundings, state, kept)
        })
    }
}

#[pymethods]
impl Block {
    /// Begin a block on the accounts at `root`. `fork` is the number of `lacnode.chainspec.forks.Fork`; UnsupportedError
    /// for one that revm does not have.
    #[new]
    #[pyo3(signature = (nodes, root, *, fork, chain_id, number, timestamp, coinbase, gas_limit, base_fee, difficulty,
                        mix_hash, blob_base_fee, max_blobs, code_size_limit, ancestor_hash, long_precompile))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        nodes: &NodeCache,
        root: &[u8],
        fork: u8,
        chain_id: u64,
        number: u64,
        timestamp: u64,
        coinbase: &[u8],
        gas_limit: u64,
        base_fee: u64,
        difficulty: &[u8],
        mix_hash: &[u8],
        blob_base_fee: u64,
        max_blobs: u64,
        code_size_limit: Option<usize>,
        ancestor_hash: Py<PyAny>,
        long_precompile: Py<PyAny>,
    ) -> PyResult<Self> {
        guarded(|| {
            let spec = spec_of(fork).ok_or(Stop::Unsupported("revm does not have this fork"))?;
            let mut config = CfgEnv::new_with_spec(spec);
            config.chain_id = chain_id;
            config.limit_contract_code_size = code_size_limit;
            config.limit_contract_initcode_size = Some(MAX_INITCODE_BYTES);
            config.max_blobs_per_tx = Some(max_blobs);
            config.disable_block_gas_limit = true;
            let environment = BlockEnv {
                number: U256::from(number),
                beneficiary: address_of(coinbase)?,
                timestamp: U256::from(timestamp),
                gas_limit,
                basefee: base_fee,
                difficulty: word(difficulty)?,
                prevrandao: Some(B256::from(sized::<32>(mix_hash)?)),
                blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                    excess_blob_gas: 0,
                    blob_gasprice: blob_base_fee.into(),
                }),
                slot_num: 0,
            };
            let state = BlockState::new(Arc::clone(&nodes.reader), B256::from(sized::<32>(root)?), spec, ancestor_hash);
            Ok(Self { state: Some(state), environment, config, long_precompile, kept: Kept::default(), pending: None })
        })
    }

    /// Gas that the transactions in the block used.
    #[getter]
    fn gas_used(&self) -> u64 {
        self.kept.gas_used
    }

    /// The nonce, the balance (32 bytes), the hash of the code and whether there was storage before the block; None where
    /// there is no account.
    fn account<'py>(&mut self, py: Python<'py>, address: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
        guarded(|| {
            let address = address_of(address)?;
            let found = self.on_state(py, |state, _, _, _, _| {
                let has_storage = state.has_storage(address)?;
                Ok(state.account(address)?.map(|account| (account, has_storage)))
            })?;
            let Some((account, has_storage)) = found else { return Ok(None) };
            let balance = PyBytes::new(py, &account.balance.to_be_bytes::<32>());
            let code_hash = PyBytes::new(py, account.code_hash.as_slice());
            Ok(Some((account.nonce, balance, code_hash, has_storage).into_pyobject(py)?))
        })
    }

    /// The code under a hash, of the block or from the store.
    fn code<'py>(&mut self, py: Python<'py>, code_hash: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        guarded(|| {
            let hash = B256::from(sized::<32>(code_hash)?);
            if hash == KECCAK256_EMPTY {
                return Ok(PyBytes::new(py, b""));
            }
            let code = self.on_state(py, |state, _, _, _, _| state.code(hash))?;
            Ok(PyBytes::new(py, code.original_byte_slice()))
        })
    }

    /// The value of a storage slot, both of 32 bytes.
    fn storage<'py>(&mut self, py: Python<'py>, address: &[u8], slot: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        guarded(|| {
            let (address, slot) = (address_of(address)?, word(slot)?);
            let value = self.on_state(py, |state, _, _, _, _| state.slot(address, slot))?;
            Ok(PyBytes::new(py, &value.to_be_bytes::<32>()))
        })
    }

    /// Let an account look otherwise for what is executed from now on (a state override). None leaves a value.
    #[pyo3(signature = (address, nonce, balance, code, clears_storage))]
    fn override_account(
        &mut self,
        py: Python<'_>,
        address: &[u8],
        nonce: Option<u64>,
        balance: Option<&[u8]>,
        code: Option<&[u8]>,
        clears_storage: bool,
    ) -> PyResult<()> {
        guarded(|| {
            let address = address_of(address)?;
            let (balance, code) = (balance.map(word).transpose()?, code.map(Bytes::copy_from_slice));
            self.on_state(py, |state, _, _, _, _| {
                state.set(address, nonce, balance, code)?;
                if clears_storage { state.clear_storage(address) } else { Ok(()) }
            })
        })
    }

    /// Let a storage slot have another value for what is executed from now on.
    fn override_slot(&mut self, py: Python<'_>, address: &[u8], slot: &[u8], value: &[u8]) -> PyResult<()> {
        guarded(|| {
            let (address, slot, value) = (address_of(address)?, word(slot)?, word(value)?);
            self.on_state(py, |state, _, _, _, _| state.set_slot(address, slot, value))
        })
    }

    /// Execute a transaction. It is in the block only after `keep`. Gives status, cumulative gas, bloom (None without logs),
    /// logs, gas used, what REVERT returned, the changed accounts and slots, and the bytes of all logs.
    ///
    /// RefusedError if it cannot be executed, UnsupportedError if revm cannot, TooLargeError beyond a limit, and what
    /// `check` raises.
    #[pyo3(signature = (raw, sender, check, memory_limit, log_limit))]
    fn run<'py>(
        &mut self,
        py: Python<'py>,
        raw: &[u8],
        sender: &[u8],
        check: Py<PyAny>,
        memory_limit: Option<u64>,
        log_limit: Option<u64>,
    ) -> PyResult<(Bound<'py, PyTuple>, usize, u64)> {
        guarded(|| {
            self.pending = None;
            let (raw, sender) = (raw.to_vec(), address_of(sender)?);
            let terms = Terms::of_transaction(&check, limits_of(memory_limit, log_limit));
            let (outcome, pending, log_bytes) = self
                .execute(py, &terms, |surroundings, state, kept| execute_one(surroundings, state, kept, raw, sender))?;
            let changes = BlockState::changes(&pending.state);
            self.pending = Some(pending);
            Ok((outcome.to_python(py)?, changes, log_bytes))
        })
    }

    /// Execute a transaction as `run` does without limits, and record it. Gives the record, success, the output, what REVERT
    /// returned, the gas used, the changes, and the steps and bytes that may still be recorded.
    ///
    /// `wanted` says whether to record every step, the memory after and before each, and what is read. `static_gas` is for
    /// `Recorder::new`. TooLargeError beyond `steps_left` or `bytes_left`, UnsupportedError if it cannot be recorded.
    #[pyo3(signature = (raw, sender, check, wanted, static_gas, steps_left, bytes_left))]
    #[allow(clippy::too_many_arguments)]
    fn trace<'py>(
        &mut self,
        py: Python<'py>,
        raw: &[u8],
        sender: &[u8],
        check: Py<PyAny>,
        wanted: (bool, bool, bool, bool),
        static_gas: Vec<i64>,
        steps_left: usize,
        bytes_left: usize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| {
            self.pending = None;
            let (raw, sender) = (raw.to_vec(), address_of(sender)?);
            let recorder = recorder_of(wanted, static_gas, steps_left, bytes_left)?;
            let (traced, pending) =
                self.execute(py, &Terms::of_transaction(&check, None), |surroundings, state, kept| {
                    Python::attach(|py| check.call0(py))?;
                    let transaction = environment(surroundings, kept, &raw, sender)?;
                    let type_ = transaction.tx_type;
                    let (ended, recorder) = surroundings.execute_recorded(state, transaction, recorder)?;
                    let traced = Traced::new(state, &ended, recorder)?;
                    Ok((traced, outcome_of(kept, raw, type_, ended).1))
                })?;
            self.pending = Some(pending);
            traced.into_python(py)
        })
    }

    /// Make a call as `call` does, record it as `trace` does, and keep what it changes.
    #[pyo3(signature = (type_, sender, to, gas, price, tip, value, data, access_list, check, memory_limit, wanted, static_gas,
                        steps_left, bytes_left))]
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn trace_call<'py>(
        &mut self,
        py: Python<'py>,
        type_: u8,
        sender: &[u8],
        to: Option<&[u8]>,
        gas: u64,
        price: u64,
        tip: u64,
        value: &[u8],
        data: &[u8],
        access_list: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
        check: Py<PyAny>,
        memory_limit: Option<u64>,
        wanted: (bool, bool, bool, bool),
        static_gas: Vec<i64>,
        steps_left: usize,
        bytes_left: usize,
    ) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| {
            let transaction = called(type_, sender, to, gas, (price, tip), value, data, &listed_of(&access_list)?)?;
            let recorder = recorder_of(wanted, static_gas, steps_left, bytes_left)?;
            let terms = Terms::of_call(&check, memory_limit, false);
            let traced = self.execute(py, &terms, |surroundings, state, _| {
                let (ended, recorder) = surroundings.execute_recorded(state, transaction, recorder)?;
                let traced = Traced::new(state, &ended, recorder)?;
                state.commit(&ended.state)?;
                Ok(traced)
            })?;
            traced.into_python(py)
        })
    }

    /// The transaction that was run last is in the block.
    fn keep(&mut self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            let pending = self.pending.take().ok_or_else(|| PyValueError::new_err("no transaction was run"))?;
            self.on_state(py, |state, _, _, _, kept| keep(state, kept, pending).map(|_| ()))
        })
    }

    /// The transaction that was run last is not in the block.
    fn discard(&mut self) {
        self.pending = None;
    }

    /// Execute transactions one after another and keep them: what `run` gives first, with a list of all transactions' values
    /// in place of each value. After an error the block is of no use.
    fn run_all<'py>(
        &mut self,
        py: Python<'py>,
        raws: Vec<Vec<u8>>,
        senders: Vec<[u8; 20]>,
        check: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| {
            let senders = senders.into_iter().map(Address::from).collect();
            let outcomes = self.execute(py, &Terms::of_transaction(&check, None), |surroundings, state, kept| {
                Python::attach(|py| check.call0(py))?;
                let mut outcomes = Vec::with_capacity(raws.len());
                execute_all(surroundings, state, kept, raws, senders, &mut outcomes)?;
                Ok(outcomes)
            })?;
            columns(py, &outcomes)
        })
    }

    /// Make a call without a signature on the accounts as they are; nothing of them changes. Gives success, output, gas
    /// used after and before refunds, the name of what stopped it, the last instruction, warm addresses with their slots,
    /// all addresses that were looked at, and whether it looked at more than code and storage.
    #[pyo3(signature = (type_, sender, to, gas, price, tip, value, data, access_list, check, memory_limit))]
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn call<'py>(
        &mut self,
        py: Python<'py>,
        type_: u8,
        sender: &[u8],
        to: Option<&[u8]>,
        gas: u64,
        price: u64,
        tip: u64,
        value: &[u8],
        data: &[u8],
        access_list: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
        check: Py<PyAny>,
        memory_limit: Option<u64>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| {
            let listed = listed_of(&access_list)?;
            let transaction = called(type_, sender, to, gas, (price, tip), value, data, &listed)?;
            let terms = Terms::of_call(&check, memory_limit, true);
            let (ended, looked_at) = self.execute(py, &terms, |surroundings, state, _| {
                let ended = surroundings.execute(state, transaction)?;
                Ok((ended, state.looked_at().copied().collect::<Vec<_>>()))
            })?;
            let touched = self.touched(&ended.state, &listed);
            call_to_python(py, &ended, &touched, &looked_at)
        })
    }

    /// Make a call that the block makes by itself, and keep what it does; False if it failed.
    fn system_call(&mut self, py: Python<'_>, address: &[u8], data: &[u8], check: Py<PyAny>) -> PyResult<bool> {
        guarded(|| {
            let (to, data) = (address_of(address)?, Bytes::copy_from_slice(data));
            self.execute(py, &Terms::of_transaction(&check, None), |surroundings, state, _| {
                let caller = revm_handler::SYSTEM_ADDRESS;
                let transaction =
                    of_call(0, caller, Some(to), SYSTEM_CALL_GAS, 0, 0, U256::ZERO, data, access_list_of(Vec::new()));
                let ended = surroundings.call_by_system(state, transaction)?;
                if !ended.result.is_success() {
                    return Ok(false);
                }
                state.commit(&ended.state)?;
                Ok(true)
            })
        })
    }

    /// Add `amount` (32 bytes, wei) to the balance of `address`.
    fn reward(&mut self, py: Python<'_>, address: &[u8], amount: &[u8]) -> PyResult<()> {
        guarded(|| {
            let (address, amount) = (address_of(address)?, word(amount)?);
            self.on_state(py, |state, _, _, _, _| state.reward(address, amount))
        })
    }

    /// Write the tries: the roots of the state, the transactions and the receipts, the bloom, and the new nodes and codes
    /// by hash. The block takes nothing more.
    #[allow(clippy::type_complexity)]
    fn close<'py>(&mut self, py: Python<'py>, check: Py<PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        guarded(|| {
            let (root, nodes, commitments) = self.on_state(py, |state, _, _, _, kept| {
                let check = || Python::attach(|py| check.call0(py).map(|_| ())).map_err(Stop::from);
                check()?;
                let (written, commitments) = parallel::both(|| state.write(&check), || kept.commitments());
                let (root, nodes) = written?;
                Ok((root, nodes, commitments))
            })?;
            self.state = None;
            let by_hash = PyDict::new(py);
            for (hash, node) in &nodes {
                by_hash.set_item(PyBytes::new(py, hash.as_slice()), PyBytes::new(py, node))?;
            }
            let (transactions_root, receipts_root, bloom) = commitments;
            (
                PyBytes::new(py, root.as_slice()),
                PyBytes::new(py, transactions_root.as_slice()),
                PyBytes::new(py, receipts_root.as_slice()),
                PyBytes::new(py, &bloom),
                by_hash,
            )
                .into_pyobject(py)
        })
    }
}

impl Block {
    /// Addresses and slots that are warm by Berlin's rules after a call.
    fn touched(&self, state: &EvmState, listed: &[(Address, Vec<B256>)]) -> Vec<(Address, Vec<B256>)> {
        let spec = self.config.spec;
        if !spec.is_enabled_in(SpecId::BERLIN) {
            return Vec::new();
        }
        let mut touched: std::collections::BTreeMap<Address, std::collections::BTreeSet<B256>> = Default::default();
        for (address, keys) in listed {
            touched.entry(*address).or_default().extend(keys);
        }
        let coinbase = self.environment.beneficiary;
        for (address, account) in state {
            let is_cold = account.status.contains(revm_state::AccountStatus::Cold);
            let slots: Vec<B256> = account
                .storage
                .iter()
                .filter(|(_, slot)| !slot.is_cold)
                .map(|(slot, _)| B256::from(slot.to_be_bytes::<32>()))
                .collect();
            let is_paid_only = *address == coinbase && slots.is_empty();
            if !is_cold && !is_paid_only && !is_precompile(spec, address) {
                touched.entry(*address).or_default().extend(slots);
            }
        }
        if spec.is_enabled_in(SpecId::SHANGHAI) {
            touched.entry(coinbase).or_default();
        }
        touched.into_iter().map(|(address, slots)| (address, slots.into_iter().collect())).collect()
    }
}

/// A transaction that was recorded.
struct Traced {
    recorder: Recorder,
    changes: Vec<Change>,
    is_success: bool,
    output: Bytes,
    reverted: Option<Bytes>,
    gas_used: u64,
}

impl Traced {
    fn new(state: &mut BlockState, ended: &Ended, recorder: Recorder) -> Result<Self, Stop> {
        let changes = changes(state, &ended.state, recorder.reads.keys())?;
        let (output, reverted) = match &ended.result {
            ExecutionResult::Success { output, .. } => (output.data().clone(), None),
            ExecutionResult::Revert { output, .. } => (Bytes::new(), Some(output.clone())),
            ExecutionResult::Halt { .. } => (Bytes::new(), None),
        };
        let (is_success, gas_used) = (ended.result.is_success(), ended.result.tx_gas_used());
        Ok(Self { recorder, changes, is_success, output, reverted, gas_used })
    }

    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        let bounds = self.recorder.bounds;
        (
            Trace::new(self.recorder),
            self.is_success,
            PyBytes::new(py, &self.output),
            self.reverted.map(|output| PyBytes::new(py, &output)),
            self.gas_used,
            changes_to_python(py, &self.changes)?,
            bounds.steps,
            bounds.bytes,
        )
            .into_pyobject(py)
    }
}

fn recorder_of(
    wanted: (bool, bool, bool, bool),
    static_gas: Vec<i64>,
    steps: usize,
    bytes: usize,
) -> PyResult<Recorder> {
    if static_gas.len() != 256 {
        return Err(PyValueError::new_err("the gas of 256 instructions was expected"));
    }
    let (all, memory, memory_before, reads) = wanted;
    let wanted = Wanted { steps: all, memory, memory_before, reads };
    Ok(Recorder::new(wanted, Bounds { steps, bytes }, static_gas.into()))
}

/// The transaction that would do what a call asks for. `prices` are the highest price of gas and the tip.
#[allow(clippy::too_many_arguments)]
fn called(
    type_: u8,
    sender: &[u8],
    to: Option<&[u8]>,
    gas: u64,
    prices: (u64, u64),
    value: &[u8],
    data: &[u8],
    listed: &[(Address, Vec<B256>)],
) -> PyResult<TxEnv> {
    let (sender, to, value) = (address_of(sender)?, to.map(address_of).transpose()?, word(value)?);
    let (price, tip) = (prices.0.into(), prices.1.into());
    let access_list = access_list_of(listed.to_vec());
    Ok(of_call(type_, sender, to, gas, price, tip, value, Bytes::copy_from_slice(data), access_list))
}

/// The addresses and slots of an access list.
fn listed_of(access_list: &[(Vec<u8>, Vec<Vec<u8>>)]) -> PyResult<Vec<(Address, Vec<B256>)>> {
    access_list
        .iter()
        .map(|(address, keys)| {
            let keys = keys.iter().map(|key| sized(key).map(B256::from)).collect::<PyResult<Vec<_>>>()?;
            Ok((address_of(address)?, keys))
        })
        .collect()
}

fn limits_of(memory_limit: Option<u64>, log_limit: Option<u64>) -> Option<Limits> {
    let (memory_bytes, log_bytes) = (memory_limit?, log_limit?);
    Some(Limits { memory_bytes, log_bytes })
}

/// What a call does not have to satisfy: Python has checked what there is to check.
fn for_call(config: &CfgEnv) -> CfgEnv {
    let mut config = config.clone();
    config.disable_nonce_check = true;
    config.disable_eip3607 = true;
    config.tx_chain_id_check = false;
    config
}

fn execute_one(
    surroundings: &Surroundings<'_>,
    state: &mut BlockState,
    kept: &Kept,
    raw: Vec<u8>,
    sender: Address,
) -> Result<(Outcome, Pending, u64), Stop> {
    let transaction = environment(surroundings, kept, &raw, sender)?;
    let type_ = transaction.tx_type;
    let ended = surroundings.execute(state, transaction)?;
    let log_bytes = ended.log_bytes;
    let (outcome, pending) = outcome_of(kept, raw, type_, ended);
    Ok((outcome, pending, log_bytes))
}

/// Execute and keep transactions one after another.
fn execute_all(
    surroundings: &Surroundings<'_>,
    state: &mut BlockState,
    kept: &mut Kept,
    raws: Vec<Vec<u8>>,
    senders: Vec<Address>,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Stop> {
    let kept = RefCell::new(kept);
    let current = RefCell::new(None);
    let mut upcoming = Upcoming { rest: raws.into_iter().zip(senders), decoded: Vec::new().into_iter() };
    surroundings.execute_all(
        state,
        |state| {
            let Some((raw, decoded)) = upcoming.next(state) else { return Ok(None) };
            let transaction = admitted(surroundings, &kept.borrow(), decoded?)?;
            *current.borrow_mut() = Some((raw, transaction.tx_type));
            Ok(Some(transaction))
        },
        |state, ended| {
            let (raw, type_) = current.take().ok_or(Stop::Unsupported("a transaction is lost"))?;
            let (outcome, pending) = outcome_of(&kept.borrow(), raw, type_, ended);
            outcomes.push(outcome);
            keep(state, &mut kept.borrow_mut(), pending)
        },
    )
}

/// Transactions that are decoded, and whose accounts are read, before the first of them is executed. Between so few reads
/// the budget need not be asked.
const AHEAD: usize = 16;

/// The transactions of a block that are not executed yet.
struct Upcoming {
    rest: Zip<IntoIter<Vec<u8>>, IntoIter<Address>>,
    decoded: IntoIter<(Vec<u8>, Result<TxEnv, Stop>)>,
}

impl Upcoming {
    /// The next transaction: its encoding, and what revm executes for it.
    fn next(&mut self, state: &mut BlockState) -> Option<(Vec<u8>, Result<TxEnv, Stop>)> {
        if self.decoded.len() == 0 {
            let next = self.rest.by_ref().take(AHEAD).map(|(raw, sender)| {
                let decoded = signed_by(sender, &raw);
                (raw, decoded)
            });
            let decoded: Vec<_> = next.collect();
            let transactions = decoded.iter().filter_map(|(_, decoded)| decoded.as_ref().ok());
            state.read_ahead(transactions.flat_map(|each| [Some(each.caller), each.kind.to().copied()]).flatten());
            self.decoded = decoded.into_iter();
        }
        self.decoded.next()
    }
}

/// What revm executes for `raw`, which `sender` signed, if it can be in the block after those in `kept`.
fn environment(surroundings: &Surroundings<'_>, kept: &Kept, raw: &[u8], sender: Address) -> Result<TxEnv, Stop> {
    admitted(surroundings, kept, signed_by(sender, raw)?)
}

/// What revm executes for `raw`, which `sender` signed.
fn signed_by(sender: Address, raw: &[u8]) -> Result<TxEnv, Stop> {
    let mut transaction = decode(raw)?.environment;
    transaction.caller = sender;
    Ok(transaction)
}

/// `transaction`, if it can be in the block after those in `kept`.
fn admitted(surroundings: &Surroundings<'_>, kept: &Kept, mut transaction: TxEnv) -> Result<TxEnv, Stop> {
    if transaction.gas_limit > surroundings.block.gas_limit.saturating_sub(kept.gas_used) {
        return Err(Stop::Refused("CallerGasLimitMoreThanBlock".to_owned()));
    }
    recover_authorities(&mut transaction);
    Ok(transaction)
}

/// What a transaction left behind, after those in `kept`.
fn outcome_of(kept: &Kept, raw: Vec<u8>, type_: u8, ended: Ended) -> (Outcome, Pending) {
    let gas_used = ended.result.tx_gas_used();
    let is_success = ended.result.is_success();
    let reverted = match &ended.result {
        ExecutionResult::Revert { output, .. } => Some(output.clone()),
        _ => None,
    };
    let logs = if is_success { ended.result.into_logs() } else { Vec::new() };
    let bloom = bloom_of(&logs);
    let cumulative_gas = kept.gas_used + gas_used;
    let receipt = encode(type_, is_success, cumulative_gas, bloom.as_deref(), &logs);
    let pending = Pending { state: ended.state, raw, receipt, bloom: bloom.clone(), gas_used };
    (Outcome { is_success, cumulative_gas, bloom, logs, gas_used, reverted }, pending)
}

/// Let the transaction be in the block. Gives back the accounts that it looked at.
fn keep(state: &mut BlockState, kept: &mut Kept, pending: Pending) -> Result<EvmState, Stop> {
    state.commit(&pending.state)?;
    kept.gas_used += pending.gas_used;
    kept.add(pending.raw, pending.receipt, pending.bloom.as_deref());
    Ok(pending.state)
}

fn call_to_python<'py>(
    py: Python<'py>,
    ended: &Ended,
    touched: &[(Address, Vec<B256>)],
    looked_at: &[Address],
) -> PyResult<Bound<'py, PyTuple>> {
    let gas = ended.result.gas();
    let used = gas.tx_gas_used();
    let halt = match &ended.result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { .. } => Some("Revert"),
        ExecutionResult::Halt { reason, .. } => Some(name_of_halt(reason, ended)),
    };
    let output = ended.result.output().map_or(&[][..], |output| output.as_ref());
    let touched = touched
        .iter()
        .map(|(address, slots)| {
            let slots = PyTuple::new(py, slots.iter().map(|slot| PyBytes::new(py, slot.as_slice())))?;
            (PyBytes::new(py, address.as_slice()), slots).into_pyobject(py)
        })
        .collect::<PyResult<Vec<_>>>()?;
    (
        ended.result.is_success(),
        PyBytes::new(py, output),
        used,
        used.max(gas.total_gas_spent()),
        halt,
        ended.last_opcode,
        PyTuple::new(py, touched)?,
        PyTuple::new(py, looked_at.iter().map(|address| PyBytes::new(py, address.as_slice())))?,
        ended.has_read_block,
    )
        .into_pyobject(py)
}

fn name_of_halt(reason: &HaltReason, ended: &Ended) -> &'static str {
    // revm says the same of a DUP that finds too little on the stack as of one that puts too much there.
    let finds_too_little =
        || matches!(ended.last_opcode, Some(opcode @ 0x80..=0x8f) if ended.last_stack <= usize::from(opcode - 0x80));
    match reason {
        HaltReason::StackOverflow if finds_too_little() => "StackUnderflow",
        HaltReason::OutOfGas(_) => "OutOfGas",
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => "InvalidOpcode",
        HaltReason::InvalidJump => "InvalidJump",
        HaltReason::StackUnderflow => "StackUnderflow",
        HaltReason::StackOverflow => "StackOverflow",
        HaltReason::OutOfOffset => "OutOfOffset",
        HaltReason::CreateCollision => "CreateCollision",
        HaltReason::PrecompileError | HaltReason::PrecompileErrorWithContext(_) => "PrecompileError",
        HaltReason::CreateContractSizeLimit => "CreateContractSizeLimit",
        HaltReason::CreateContractStartingWithEF => "CreateContractStartingWithEF",
        _ => "Other",
    }
}

/// revm's fork for the number of ours; None for one that revm does not have, or executes otherwise.
fn spec_of(fork: u8) -> Option<SpecId> {
    Some(match fork {
        4 => SpecId::BYZANTIUM,
        6 => SpecId::PETERSBURG,
        7 | 8 => SpecId::ISTANBUL,
        9 => SpecId::BERLIN,
        10 => SpecId::LONDON,
        11 => SpecId::MERGE,
        12 => SpecId::SHANGHAI,
        13 => SpecId::CANCUN,
        14 => SpecId::PRAGUE,
        _ => return None,
    })
}

/// The 20-byte senders of signed transactions, on all cores; None for one that cannot be decoded or has no sender.
#[pyfunction]
pub fn recover_senders<'py>(py: Python<'py>, raws: Vec<Vec<u8>>) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let recovered = py.detach(|| parallel::map(raws, |raw| decode(&raw).ok().as_ref().and_then(sender_of)));
        let senders = recovered.iter().map(|sender| sender.map(|sender| PyBytes::new(py, sender.as_slice())));
        PyList::new(py, senders)
    })
}

/// The 32-byte root of a list as a header commits to it.
#[pyfunction]
pub fn ordered_root<'py>(py: Python<'py>, values: Vec<Vec<u8>>) -> PyResult<Bound<'py, PyBytes>> {
    guarded(|| {
        let root = py.detach(|| crate::trie::ordered_root(&values));
        Ok(PyBytes::new(py, root.as_slice()))
    })
}
