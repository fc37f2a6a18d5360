//! Working on all cores, where that is possible: a forked process has none of its parent's threads, and would wait for
//! them for ever.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

/// The process that started the threads; 0 before there are any.
static OWNER: AtomicU32 = AtomicU32::new(0);

fn has_threads() -> bool {
    let own = process::id();
    match OWNER.compare_exchange(0, own, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => true,
        Err(owner) => owner == own,
    }
}

/// `work` on each of `items`, in their order, on all cores.
pub fn map<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync + Send) -> Vec<O> {
    if items.len() > 1 && has_threads() {
        items.into_par_iter().map(work).collect()
    } else {
        items.into_iter().map(work).collect()
    }
}

/// Both results, on two cores.
pub fn both<L: Send, R: Send>(left: impl FnOnce() -> L + Send, right: impl FnOnce() -> R + Send) -> (L, R) {
    if has_threads() { rayon::join(left, right) } else { (left(), right()) }
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
