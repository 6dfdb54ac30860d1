//! A function that says in which control groups it, its threads, its children and grandchildren are. It is one of the tests of this
//! very program, so that the machine needs no compiler.

use std::process::Command;

use super::{RESCTRL, class_of};

/// The command that runs it.
pub(super) fn command() -> String {
    let program = std::env::current_exe().expect("this program has a path");
    format!("{} --ignored --exact --nocapture kernel::function::says_where_it_is", program.display())
}

/// What it said.
#[derive(Debug)]
pub(super) struct Seen {
    /// The groups of itself, a thread, a child of that, and a grandchild.
    pub(super) groups: Vec<String>,
    /// The schemata of the first.
    pub(super) schemata: String,
}

impl Seen {
    #[track_caller]
    pub(super) fn parse(printed: &str) -> Self {
        let of = |word: &str| {
            let lines = printed.lines().filter_map(|line| line.split_once(word));
            lines.map(|(_, rest)| rest.trim().to_owned()).collect::<Vec<String>>()
        };
        let seen = Self { groups: of("is in "), schemata: of("has ").join("\n") + "\n" };
        assert_eq!(seen.groups.len(), 4, "{printed}");
        seen
    }
}

#[test]
#[ignore = "a function for the tests on a kernel with resctrl"]
fn says_where_it_is() {
    let own = class_of("self");
    println!("\nthe process is in {own}");
    let thread = std::thread::spawn(|| {
        println!("a thread is in {}", class_of("thread-self"));
        let script = "echo \"a child is in $(sed -n 's/^res://p' /proc/$$/cpu_resctrl_groups)\"; \
                      sh -c 'echo \"a grandchild is in $(sed -n s/^res://p /proc/$$/cpu_resctrl_groups)\"; true'; true";
        Command::new("sh").args(["-c", script]).status().expect("there is a shell")
    });
    assert!(thread.join().expect("the thread ends well").success());
    let schemata =
        std::fs::read_to_string(format!("{RESCTRL}/{own}/schemata")).expect("the group has schemata");
    schemata.lines().for_each(|line| println!("it has {}", line.trim()));
}
