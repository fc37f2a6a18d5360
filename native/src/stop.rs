//! Why an execution ends before it is finished, or does not begin.

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, create_exception};
use revm_database_interface::DBErrorMarker;

create_exception!(
    lacnode_native,
    NativeError,
    PyRuntimeError,
    "The native engine cannot say what this execution gives. Another engine can."
);
create_exception!(
    lacnode_native,
    UnsupportedError,
    NativeError,
    "The execution needs a rule that the native engine does not have."
);
create_exception!(lacnode_native, PanicError, NativeError, "The native engine has a fault: it panicked.");
create_exception!(
    lacnode_native,
    RefusedError,
    NativeError,
    "A transaction cannot be executed; the first argument is revm's name for the reason."
);
create_exception!(
    lacnode_native,
    TooLargeError,
    NativeError,
    "The execution needs more memory, writes more logs, or has a longer trace than it may; the argument is `memory`, `logs`, `steps` or `bytes`."
);

/// Where the last panic was.
static PANICKED_AT: Mutex<String> = Mutex::new(String::new());

/// Keep the place of a panic for its exception, in place of a line on standard error: a caller could repeat the call that
/// panics without end, and Python's log has bounds.
pub fn note_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// Run `work`. A panic in it becomes a `PanicError`. PyO3 would make an exception of it that no `except Exception` catches,
/// and that ends the process.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
}

fn panicked(payload: &(dyn Any + Send)) -> PyErr {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let place = PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    PanicError::new_err(format!("{text} ({place})"))
}

/// Why the execution cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// A callback into Python raised: the budget is used up, or a trie node is missing.
    Raised(PyErr),
    /// The native engine has not this rule.
    Unsupported(&'static str),
    /// The transaction is not valid; revm's name for the reason.
    Refused(String),
    /// More memory than the execution may have.
    TooMuchMemory,
    /// More of a trace than may be recorded; the argument is `steps` or `bytes`.
    TraceTooLarge(&'static str),
    /// More bytes of logs than the execution may write.
    TooManyLogs,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Raised(error) => write!(formatter, "{error}"),
            Stop::Unsupported(what) => write!(formatter, "{what}"),
            Stop::Refused(reason) => write!(formatter, "{reason}"),
            Stop::TooMuchMemory => formatter.write_str("too much memory"),
            Stop::TraceTooLarge(what) => write!(formatter, "too many {what}"),
            Stop::TooManyLogs => formatter.write_str("too many logs"),
        }
    }
}

impl std::error::Error for Stop {}

impl DBErrorMarker for Stop {}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Stop::Raised(error)
    }
}

impl From<Stop> for PyErr {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Raised(error) => error,
            Stop::Unsupported(what) => UnsupportedError::new_err(what),
            Stop::Refused(reason) => RefusedError::new_err(reason),
            Stop::TooMuchMemory => TooLargeError::new_err("memory"),
            Stop::TraceTooLarge(what) => TooLargeError::new_err(what),
            Stop::TooManyLogs => TooLargeError::new_err("logs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyo3::Python;

    #[test]
    fn a_panic_is_an_error_that_names_its_place() {
        note_panics();
        Python::initialize();
        let none: Vec<u8> = Vec::new();
        let error = guarded(|| Ok(none[none.len()])).unwrap_err();
        Python::attach(|py| {
            assert!(error.is_instance_of::<NativeError>(py));
            assert!(error.to_string().contains("stop.rs:"), "{error}");
        });
    }
}
