//! A tree's tasks, moved to another class while they run and multiply.
//!
//! What a moved task starts is born in its new class. So when a pass over all tasks of the tree finds none that was not
//! moved before, all are there: nobody is left whose children could be elsewhere.

use std::collections::HashSet;
use std::fs;
use std::io;

use rustix::process::{Pid, getpid};

/// Passes before we give up on a tree that grows faster than we move it.
const MAX_PASSES: u32 = 100;

/// Why a tree is not all in its new class.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrationError {
    /// The system refused a task.
    #[error("task {task} cannot be moved: {source}")]
    Refused { task: u32, source: io::Error },
    /// It never stood still.
    #[error("after {MAX_PASSES} passes there were still tasks that had not been moved")]
    Restless,
}

/// Hands every task of the processes to `to_class`, again and again, until a pass finds no new one. Tasks that are gone
/// meanwhile are left out.
pub(super) fn move_all(
    processes: impl Fn() -> Vec<Pid>,
    to_class: impl Fn(u32) -> io::Result<()>,
) -> Result<(), MigrationError> {
    let mut moved = HashSet::new();
    let mut refused = None;
    for _ in 0..MAX_PASSES {
        let before = moved.len();
        let ours = processes().into_iter().filter(|pid| *pid != getpid());
        for task in ours.flat_map(tasks_of) {
            if !moved.insert(task) {
                continue;
            }
            match to_class(task) {
                Err(source) if source.raw_os_error() != Some(libc::ESRCH) => {
                    refused.get_or_insert(MigrationError::Refused { task, source });
                }
                _ => {}
            }
        }
        if moved.len() == before {
            return refused.map_or(Ok(()), Err);
        }
    }
    Err(refused.unwrap_or(MigrationError::Restless))
}

/// The threads of a process, none where it is gone.
fn tasks_of(process: Pid) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid()));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Processes of this system that are not this one: any will do, for nothing is done to them.
    fn others() -> Vec<Pid> {
        super::super::identity::all_processes().into_iter().filter(|pid| *pid != getpid()).take(3).collect()
    }

    #[test]
    fn passes_go_on_until_one_finds_nobody_new() {
        let others = others();
        let pass = RefCell::new(0);
        let seen = RefCell::new(Vec::new());
        let processes = || {
            *pass.borrow_mut() += 1;
            others.iter().copied().take(*pass.borrow()).collect()
        };
        move_all(processes, |task| {
            seen.borrow_mut().push(task);
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        })
        .unwrap();
        assert!(*pass.borrow() >= others.len());
        let pids: Vec<u32> = others.iter().map(|pid| pid.as_raw_pid().unsigned_abs()).collect();
        assert!(pids.iter().all(|pid| !tasks_of(getpid()).contains(pid)));
        let mut tasks = seen.into_inner();
        let all = tasks.len();
        tasks.sort_unstable();
        tasks.dedup();
        assert_eq!(tasks.len(), all, "each task is moved once");
    }

    #[test]
    fn one_refusal_is_told_and_the_others_are_moved_all_the_same() {
        let me = std::process::id();
        let moved = RefCell::new(0);
        let answer = move_all(others, |_| {
            *moved.borrow_mut() += 1;
            Err(io::Error::from_raw_os_error(libc::EPERM))
        });
        if *moved.borrow() > 0 {
            assert!(matches!(answer, Err(MigrationError::Refused { task, .. }) if task != me));
        }
    }
}
