//! What is so only on a kernel with resctrl: run by `.ci/vm`, in a machine emulated in software (`tests/vm/`), as root, one test at
//! a time. Each module says which machine it is for; elsewhere its tests are ignored.
//!
//! | module | machine | what is held |
//! | --- | --- | --- |
//! | [`bench`] | any | the machine is what the suite asked for: resctrl is the kernel's, and does what we build on |
//! | [`doctor`] | Intel's, AMD's | `fsched doctor` is right, and the commands that it shows help |
//! | [`replay`] | any | the pretended kernel of `fsched-core` answers like the real one |
//! | [`allocator`] | any | what is on disk is what the allocator's ledger says |
//! | [`split`] | any | the masks are those that the exact split gives |
//! | [`whole`] | Intel's, AMD's | functions and all of their tree run in the class they were promised; nothing is left over |
//! | [`pqos`] | Intel's | beside `pqos -I`, nothing of ours and nothing of its own changes |
//! | [`function`] | | the function that these run |

mod allocator;
mod bench;
mod doctor;
mod function;
mod pqos;
mod replay;
mod split;
mod whole;

use std::path::Path;

/// Where the kernel shows resctrl.
const RESCTRL: &str = "/sys/fs/resctrl";

/// The class of a task as the kernel tells it: the name of its control group, empty for the default group.
fn class_of(process: &str) -> String {
    let file = Path::new("/proc").join(process).join("cpu_resctrl_groups");
    let text = std::fs::read_to_string(file).expect("the kernel tells the class of a task");
    let class = text.lines().find_map(|line| line.strip_prefix("res:")).expect("a line with the class");
    class.trim_matches('/').to_owned()
}
