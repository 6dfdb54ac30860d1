//! The machine is what the suite asked for: resctrl is the kernel's, and does what we build on.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{RESCTRL, class_of};

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn what_a_thread_of_a_class_starts_is_born_in_it() {
    assert_eq!(rustix::fs::statfs(RESCTRL).expect("resctrl is there").f_type, 0x0765_5821);
    let group = Path::new(RESCTRL).join("bench");
    fs::create_dir(&group).expect("a class is free");
    let child = std::thread::spawn(move || {
        fs::write(group.join("tasks"), "0").expect("a thread may join");
        let child = Command::new("sleep").arg("60").spawn().expect("sleep can be started");
        assert_eq!(class_of("thread-self"), "bench");
        child
    });
    let mut child = child.join().expect("the thread ends well");
    assert_eq!(class_of(&child.id().to_string()), "bench");
    assert_eq!(class_of("thread-self"), "");
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    fs::remove_dir(Path::new(RESCTRL).join("bench")).expect("a class can be given back");
}
