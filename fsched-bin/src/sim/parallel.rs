//! Many simulations at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::progress;

/// How many threads work on a plan: as many as asked for, else one for each CPU, and no more than it has parts.
pub(super) fn threads(jobs: Option<usize>, parts: usize) -> usize {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    jobs.unwrap_or(available).clamp(1, parts.max(1))
}

/// Does every part of a plan; what comes of them, in the plan's order. Nothing is begun after an error.
///
/// # Errors
/// The first in the plan's order, of those that were begun.
pub(super) fn each<P: Sync, T: Send>(
    plan: &[P],
    threads: usize,
    doing: &'static str,
    work: impl Fn(&P) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let bar = progress::bar(plan.len() as u64);
    bar.set_message(doing);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, anyhow::Result<T>)>> = Mutex::default();
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = plan.get(at) else { return };
            let result = work(part);
            bar.inc(1);
            if result.is_err() {
                next.store(plan.len(), Ordering::Relaxed);
            }
            done.lock().expect("nobody panics with it").push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(run);
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().expect("nobody panicked with it");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_plans_order_and_the_first_error_is_told() {
        let plan: Vec<u32> = (0..100).collect();
        let squares = each(&plan, 4, "", |n| Ok(n * n)).unwrap();
        assert!(squares.iter().zip(&plan).all(|(square, n)| *square == n * n) && squares.len() == 100);
        let failed = each(&plan, 1, "", |n| if *n == 3 { anyhow::bail!("at {n}") } else { Ok(()) });
        assert_eq!(failed.unwrap_err().to_string(), "at 3");
        assert_eq!(each(&Vec::<u32>::new(), threads(None, 0), "", |n| Ok(*n)).unwrap(), Vec::<u32>::new());
    }
}
