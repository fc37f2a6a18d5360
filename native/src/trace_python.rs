//! A record of a transaction, as Python sees it: tuples in the order of the members in `lacnode/evm/native_trace.py`, and
//! struct logs, which are made here because there may be hundreds of thousands.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, Bytes, U256};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::stop::guarded;
use crate::trace::{Call, Recorder, is_call};
use crate::trace_changes::{Change, Values};

/// Estimated bytes of JSON text: for a step, for an item of its stack and a word of its memory without their digits, and for
/// a slot, as in `lacnode/rpc/traces/struct_logs.py`.
const LOG_STEP_BYTES: usize = 120;
const LOG_ITEM_BYTES: usize = 3;
const LOG_WORD_BYTES: usize = 70;
const LOG_SLOT_BYTES: usize = 140;

/// Up to this length, a copy costs no more than a look into a table.
const SMALL_BYTES: usize = 64;

/// What was recorded of one transaction.
#[pyclass(frozen, module = "lacnode_native")]
pub struct Trace {
    recorder: Recorder,
    /// The bytes that Python was given, by their place and length here. Many steps share one input, code or memory. A copy
    /// for each step would take more memory than the limits of a trace allow.
    given: Mutex<HashMap<(usize, usize), Py<PyBytes>>>,
}

impl Trace {
    /// The record of a transaction that has ended.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, given: Mutex::default() }
    }

    /// `data`, which is a part of the record, as one object for all steps that have it.
    fn shared<'py>(&self, py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
        if data.len() <= SMALL_BYTES {
            return PyBytes::new(py, data);
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (data.as_ptr() as usize, data.len());
        given.entry(place).or_insert_with(|| PyBytes::new(py, data).unbind()).bind(py).clone()
    }
}

#[pymethods]
impl Trace {
    /// The number of steps.
    fn __len__(&self) -> usize {
        self.recorder.steps.len()
    }

    /// The steps from `first` on, at most `count`, each as a tuple. Hundreds of thousands of tuples at once would take more
    /// memory than what Python makes of them.
    #[pyo3(signature = (first=0, count=usize::MAX))]
    fn steps<'py>(&self, py: Python<'py>, first: usize, count: usize) -> PyResult<Bound<'py, PyList>> {
        guarded(|| {
            let end = first.saturating_add(count).min(self.recorder.steps.len());
            let made = (first..end).map(|place| step_to_python(py, self, place));
            PyList::new(py, made.collect::<PyResult<Vec<_>>>()?)
        })
    }

    /// Each call as a tuple.
    fn calls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guarded(|| {
            let made = self.recorder.calls.iter().map(|call| call_to_python(py, call));
            PyList::new(py, made.collect::<PyResult<Vec<_>>>()?)
        })
    }

    /// The struct logs, and their estimated size in bytes. They end early once that is larger than `max_bytes`. `names` are
    /// the names of the instructions, `halts` those of the reasons. `fields` says whether stack,
    /// memory and storage are in each.
    fn struct_logs<'py>(
        &self,
        py: Python<'py>,
        names: Vec<Bound<'py, PyString>>,
        halts: Vec<Bound<'py, PyString>>,
        fields: (bool, bool, bool),
        max_bytes: usize,
    ) -> PyResult<(Bound<'py, PyList>, usize)> {
        guarded(|| {
            let (stack, memory, storage) = fields;
            let shown = PyList::empty(py);
            let mut size = 0;
            let mut last: Option<(*const u8, Bound<'py, PyList>)> = None;
            for (place, step) in self.recorder.steps.iter().enumerate() {
                if size > max_bytes {
                    break;
                }
                size += LOG_STEP_BYTES;
                let log = PyDict::new(py);
                log.set_item(intern!(py, "pc"), step.pc)?;
                match names.get(usize::from(step.opcode)) {
                    Some(name) => log.set_item(intern!(py, "op"), name)?,
                    None => log.set_item(intern!(py, "op"), "")?,
                }
                log.set_item(intern!(py, "gas"), step.gas)?;
                let with_call = if is_call(step.opcode) { step.child_gas.unwrap_or(0) } else { 0 };
                log.set_item(intern!(py, "gasCost"), step.cost + with_call as i64)?;
                log.set_item(intern!(py, "depth"), step.depth + 1)?;
                if stack && usize::from(step.opcode) < names.len() {
                    let items: Vec<_> = self
                        .recorder
                        .stack_of(place)
                        .iter()
                        .map(|item| hex_of(&item.to_be_bytes::<32>(), true))
                        .collect();
                    size += items.iter().map(|item| item.len() + LOG_ITEM_BYTES).sum::<usize>();
                    log.set_item(intern!(py, "stack"), PyList::new(py, items)?)?;
                }
                if memory && let Some(held) = step.memory.as_ref().filter(|held| !held.is_empty()) {
                    size += LOG_WORD_BYTES * held.len().div_ceil(32);
                    let words = match &last {
                        Some((known, words)) if *known == held.as_ptr() => words.clone(),
                        _ => PyList::new(py, held.chunks(32).map(|word| hex_of(word, true)))?,
                    };
                    log.set_item(intern!(py, "memory"), &words)?;
                    last = Some((held.as_ptr(), words));
                }
                if storage && let Some(written) = step.storage.as_ref().filter(|written| !written.is_empty()) {
                    size += LOG_SLOT_BYTES * written.len();
                    let slots = PyDict::new(py);
                    for (slot, value) in written.iter() {
                        let (slot, value) = (slot.to_be_bytes::<32>(), value.to_be_bytes::<32>());
                        slots.set_item(hex_of(&slot, false), hex_of(&value, false))?;
                    }
                    log.set_item(intern!(py, "storage"), slots)?;
                }
                if let Some(reason) = &step.reason {
                    size += 2 * reason.len();
                    log.set_item(intern!(py, "reason"), hex_of(reason, true))?;
                }
                if let Some(halt) = step.halt {
                    log.set_item(intern!(py, "error"), PyList::new(py, [&halts[halt as usize]])?)?;
                }
                shown.append(log)?;
            }
            Ok((shown, size))
        })
    }
}

/// A number in hexadecimal without leading zeros.
fn hex_of(bytes: &[u8], has_prefix: bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    if has_prefix {
        text.push_str("0x");
    }
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).skip_while(|digit| *digit == 0);
    let before = text.len();
    text.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
    if text.len() == before {
        text.push('0');
    }
    text
}

fn word<'py>(py: Python<'py>, value: &U256) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &value.to_be_bytes::<32>())
}

fn address<'py>(py: Python<'py>, value: &Address) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value.as_slice())
}

fn bytes<'py>(py: Python<'py>, value: &Bytes) -> Bound<'py, PyBytes> {
    PyBytes::new(py, value)
}

fn step_to_python<'py>(py: Python<'py>, trace: &Trace, place: usize) -> PyResult<Bound<'py, PyTuple>> {
    let recorder = &trace.recorder;
    let step = &recorder.steps[place];
    let surrounding = step.surrounding.as_deref();
    let stack = PyList::new(py, recorder.stack_of(place).iter().map(|item| word(py, item)))?;
    let storage = PyList::empty(py);
    for (slot, value) in step.storage.iter().flat_map(|written| written.iter()) {
        storage.append((word(py, slot), word(py, value)))?;
    }
    let first = (
        step.pc,
        step.opcode,
        step.gas,
        step.depth,
        step.cost,
        step.refund,
        step.memory_size,
        step.halt.map(|halt| halt as u8),
        step.is_virtual,
        step.call,
        step.child_gas,
        step.precompile_gas,
    );
    let second = (
        surrounding.map(|all| address(py, &all.recipient)),
        surrounding.map(|all| word(py, &all.value)),
        surrounding.map(|all| trace.shared(py, &all.input)),
        trace.shared(py, &step.code),
        trace.shared(py, &step.output),
        trace.shared(py, &step.returned),
        step.reason.as_ref().map(|reason| trace.shared(py, reason)),
        word(py, &step.swept),
    );
    let third = (
        stack,
        PyList::new(py, step.top.iter().map(|item| word(py, item)))?,
        step.memory.as_ref().map(|held| trace.shared(py, held)),
        storage,
        step.updated_memory.as_ref().map(|(offset, data)| (word(py, offset), bytes(py, data))),
        step.updated_storage.as_ref().map(|(slot, value)| (word(py, slot), word(py, value))),
    );
    (first, second, third).into_pyobject(py)
}

fn call_to_python<'py>(py: Python<'py>, call: &Call) -> PyResult<Bound<'py, PyTuple>> {
    let logs = PyList::empty(py);
    for log in &call.logs {
        let topics = PyTuple::new(py, log.topics.iter().map(|topic| PyBytes::new(py, topic.as_slice())))?;
        logs.append((address(py, &log.address), topics, bytes(py, &log.data), log.position))?;
    }
    let first = (
        call.parent,
        call.kind,
        address(py, &call.sender),
        call.to.map(|to| address(py, &to)),
        word(py, &call.value),
        call.gas,
        bytes(py, &call.input),
        call.depth,
    );
    let second = (
        call.gas_used,
        bytes(py, &call.output),
        call.error.map(|halt| halt as u8),
        call.is_reverted,
        call.is_precompile,
        logs,
    );
    (first, second).into_pyobject(py)
}

fn values_to_python<'py>(py: Python<'py>, values: &Values) -> PyResult<Bound<'py, PyTuple>> {
    let code_hash = PyBytes::new(py, values.code_hash.as_slice());
    (values.nonce, word(py, &values.balance), bytes(py, &values.code), code_hash).into_pyobject(py)
}

/// Changed accounts: the address, the values before and after, and the slots with theirs.
pub fn changes_to_python<'py>(py: Python<'py>, changes: &[Change]) -> PyResult<Bound<'py, PyList>> {
    let shown = PyList::empty(py);
    for change in changes {
        let before = change.before.as_ref().map(|values| values_to_python(py, values)).transpose()?;
        let after = change.after.as_ref().map(|values| values_to_python(py, values)).transpose()?;
        let slots = change.storage.iter().map(|(slot, old, new)| (word(py, slot), word(py, old), word(py, new)));
        shown.append((address(py, &change.address), before, after, PyList::new(py, slots)?))?;
    }
    Ok(shown)
}
