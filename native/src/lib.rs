//! The native execution engine of lacnode: revm behind lacnode's own tries, receipts and bounds.
//!
//! Python decides which engine executes what (`lacnode/evm/native_engine.py`). Nothing here opens a database or a file;
//! the clock is read only to ask the budget in time.

pub mod block;
pub mod keccak;
#[cfg(target_arch = "x86_64")]
mod keccak_avx512;
pub mod machine;
pub mod nodes;
pub mod parallel;
#[cfg(test)]
mod random_inputs;
pub mod receipt;
pub mod rlp;
pub mod state;
pub mod stop;
pub mod trace;
pub mod trace_changes;
pub mod trace_costs;
pub mod trace_python;
pub mod transaction;
pub mod trie;

use pyo3::prelude::*;

/// What the Python side and this library say to each other. Both must name the same number.
pub const INTERFACE: u32 = 2;

/// The module as Python imports it.
#[pymodule]
fn lacnode_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    stop::note_panics();
    module.add("INTERFACE", INTERFACE)?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("NativeError", py.get_type::<stop::NativeError>())?;
    module.add("UnsupportedError", py.get_type::<stop::UnsupportedError>())?;
    module.add("PanicError", py.get_type::<stop::PanicError>())?;
    module.add("RefusedError", py.get_type::<stop::RefusedError>())?;
    module.add("TooLargeError", py.get_type::<stop::TooLargeError>())?;
    module.add_class::<block::NodeCache>()?;
    module.add_class::<block::Block>()?;
    module.add_class::<trace_python::Trace>()?;
    module.add_function(wrap_pyfunction!(block::recover_senders, module)?)?;
    module.add_function(wrap_pyfunction!(block::ordered_root, module)?)?;
    Ok(())
}
