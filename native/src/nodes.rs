//! Trie nodes and contract code by their hash: a bounded cache before the node store of the Python side.
//!
//! What stands under a hash never changes, so the cache outlives blocks and needs no invalidation. The database is opened
//! by the Python side alone: two environments of one LMDB file in a process would drop each other's locks.

use std::sync::Mutex;

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, Bytes};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm_bytecode::Bytecode;

use crate::stop::Stop;

/// About how many bytes an entry takes beside its content.
const ENTRY_BYTES: usize = 96;

/// Two generations of entries: when the young one is full, it becomes the old one. Reading an old entry makes it young.
struct Generations<T> {
    young: B256Map<T>,
    old: B256Map<T>,
    young_bytes: usize,
    generation_bytes: usize,
}

impl<T: Clone> Generations<T> {
    fn new(capacity_bytes: usize) -> Self {
        Self {
            young: B256Map::default(),
            old: B256Map::default(),
            young_bytes: 0,
            generation_bytes: capacity_bytes / 2,
        }
    }

    fn get(&mut self, key: &B256, size: impl Fn(&T) -> usize) -> Option<T> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.keep(*key, value.clone(), size(&value));
        Some(value)
    }

    fn keep(&mut self, key: B256, value: T, size: usize) {
        let size = size + ENTRY_BYTES;
        if size > self.generation_bytes {
            return;
        }
        if self.young_bytes + size > self.generation_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, value).is_none() {
            self.young_bytes += size;
        }
    }
}

/// Reads nodes and codes through `read`, a Python callable from a hash to bytes that raises where there are none.
pub struct NodeReader {
    read: Py<PyAny>,
    nodes: Mutex<Generations<Bytes>>,
    codes: Mutex<Generations<Bytecode>>,
}

impl NodeReader {
    /// A reader that keeps up to `capacity_bytes` of nodes, and as many of analysed codes.
    pub fn new(read: Py<PyAny>, capacity_bytes: usize) -> Self {
        Self {
            read,
            nodes: Mutex::new(Generations::new(capacity_bytes)),
            codes: Mutex::new(Generations::new(capacity_bytes)),
        }
    }

    /// The encoded trie node under `hash`.
    pub fn node(&self, hash: &B256) -> Result<Bytes, Stop> {
        if let Some(node) = lock(&self.nodes).get(hash, |node| node.len()) {
            return Ok(node);
        }
        let node = self.fetch(hash)?;
        lock(&self.nodes).keep(*hash, node.clone(), node.len());
        Ok(node)
    }

    /// The code under `hash`, with its jump targets found.
    pub fn code(&self, hash: &B256) -> Result<Bytecode, Stop> {
        if let Some(code) = lock(&self.codes).get(hash, code_bytes) {
            return Ok(code);
        }
        let code = analysed(self.fetch(hash)?);
        lock(&self.codes).keep(*hash, code.clone(), code_bytes(&code));
        Ok(code)
    }

    fn fetch(&self, hash: &B256) -> Result<Bytes, Stop> {
        Python::attach(|py| {
            let found = self.read.call1(py, (PyBytes::new(py, hash.as_slice()),))?;
            let bytes = found.bind(py).cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
            Ok(Bytes::copy_from_slice(bytes))
        })
    }
}

/// `code` with its jump targets found. A delegation (EIP-7702) is one by its form, in whatever fork it was written. Before
/// Prague `BlockState::code_by_hash` gives it as plain code.
pub fn analysed(code: Bytes) -> Bytecode {
    match Bytecode::new_raw_checked(code.clone()) {
        Ok(bytecode) => bytecode,
        Err(_) => Bytecode::new_legacy(code),
    }
}

/// About how many bytes `code` takes with its jump targets.
pub fn code_bytes(code: &Bytecode) -> usize {
    code.original_byte_slice().len() * 5 / 4 + 64
}

/// The content of `mutex`. No panic can leave a cache in a state that matters: at worst an entry is missing.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use pyo3::types::PyDict;

    /// A reader of `nodes` that remembers none.
    pub fn reader_of(nodes: &[(B256, Vec<u8>)]) -> NodeReader {
        Python::initialize();
        Python::attach(|py| {
            let stored = PyDict::new(py);
            for (hash, node) in nodes {
                stored.set_item(PyBytes::new(py, hash.as_slice()), PyBytes::new(py, node)).unwrap();
            }
            NodeReader::new(stored.getattr("__getitem__").unwrap().unbind(), 0)
        })
    }

    #[test]
    fn the_cache_stays_within_its_bytes_and_keeps_what_is_used() {
        let mut cache = Generations::new(20 * (ENTRY_BYTES + 32));
        let used = B256::with_last_byte(255);
        cache.keep(used, Bytes::from(vec![7; 32]), 32);
        for number in 0..200u8 {
            cache.keep(B256::with_last_byte(number), Bytes::from(vec![number; 32]), 32);
            assert!(cache.get(&used, |bytes| bytes.len()).is_some());
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert!(cache.get(&B256::with_last_byte(0), |bytes| bytes.len()).is_none());
    }
}
