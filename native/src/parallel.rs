//! Working on all cores, where that is possible: a forked process has none of its parent's threads, and would wait for
//! them for ever.

use std::process;
use std::sync::OnceLock;
use std::thread::available_parallelism;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads at most. Each needs a stack, and a process with a bound on its memory must have it.
const MAX_THREADS: usize = 16;

/// The process that started the threads, and the threads; None where they could not be started.
static THREADS: OnceLock<(u32, Option<ThreadPool>)> = OnceLock::new();

/// The threads of this process.
fn threads() -> Option<&'static ThreadPool> {
    let (owner, pool) =
        THREADS.get_or_init(|| (process::id(), pool_of(available_parallelism().map_or(1, usize::from))));
    pool.as_ref().filter(|_| *owner == process::id())
}

/// `count` threads, but at most `MAX_THREADS`; None if the machine refuses one. rayon's own threads would panic then, in
/// every execution.
fn pool_of(count: usize) -> Option<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(count.min(MAX_THREADS)).build().ok()
}

/// `work` on each of `items`, in their order, on all cores.
pub fn map<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync + Send) -> Vec<O> {
    match threads() {
        Some(threads) if items.len() > 1 => threads.install(|| items.into_par_iter().map(work).collect()),
        _ => items.into_iter().map(work).collect(),
    }
}

/// Both results, on two cores.
pub fn both<L: Send, R: Send>(left: impl FnOnce() -> L + Send, right: impl FnOnce() -> R + Send) -> (L, R) {
    match threads() {
        Some(threads) => threads.join(left, right),
        None => (left(), right()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        assert_eq!(map((0..1_000).collect(), |number: u32| number * 2), (0..1_000).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(both(|| 1, || 2), (1, 2));
    }
}
