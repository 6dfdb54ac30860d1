use super::*;
use crate::allocator::resctrl::replay::{Answer, Operation, replay};

fn write(path: &str, text: &str) -> Operation {
    Operation::Write { path: path.to_owned(), text: text.to_owned() }
}

fn make(path: &str) -> Operation {
    Operation::MakeGroup(path.to_owned())
}

fn remove(path: &str) -> Operation {
    Operation::RemoveGroup(path.to_owned())
}

fn read(path: &str) -> Operation {
    Operation::Read(path.to_owned())
}

fn intel() -> FakeKernel {
    FakeKernel::new(FakeMachine { domains: vec![DomainId(0), DomainId(1)], ..FakeMachine::intel() })
}

/// Number and text after each operation, on a kernel with the group `a`.
fn answers(kernel: &FakeKernel, script: &[Operation]) -> Vec<(i32, String)> {
    let line = |answer: Answer| (answer.errno.unwrap_or(0), answer.status.trim_end().to_owned());
    replay(kernel, script).into_iter().map(line).collect()
}

const OK: i32 = 0;
const EINVAL: i32 = libc::EINVAL;

/// Every row of the table in the kernel's transcript (6.12, 20 ways, two L3s).
#[test]
fn schemata_are_refused_with_the_kernels_numbers_and_texts() {
    let cases = [
        ("L3:0=0\n", EINVAL, "Mask out of range"),
        ("L3:0=1fffff\n", EINVAL, "Mask out of range"),
        ("L3:0=100000000\n", EINVAL, "Mask out of range"),
        ("L3:0=5\n", EINVAL, "The mask 5 has non-consecutive 1-bits"),
        ("L3:0=f0f\n", EINVAL, "The mask f0f has non-consecutive 1-bits"),
        ("L3:0=zz\n", EINVAL, "Non-hex character in the mask zz"),
        ("L3:0=-1\n", EINVAL, "Non-hex character in the mask -1"),
        ("L3:0=\n", EINVAL, "Non-hex character in the mask"),
        ("L3:0=f;0=ff\n", EINVAL, "Duplicate domain 0"),
        ("L3:0=30\nL3:0=c\n", EINVAL, "Duplicate domain 0"),
        ("L3:7=f\n", EINVAL, "ok"),
        ("L3:0=7;9=7\n", EINVAL, "ok"),
        ("L4:0=f\n", EINVAL, "Unknown or unsupported resource name 'L4'"),
        ("MB:0=50\n", EINVAL, "Unknown or unsupported resource name 'MB'"),
        ("l3:0=f\n", EINVAL, "Unknown or unsupported resource name 'l3'"),
        ("L3:0\n", EINVAL, "Missing '=' or non-numeric domain"),
        ("L3:x=f\n", EINVAL, "Missing '=' or non-numeric domain"),
        ("L3: 0=7\n", EINVAL, "Missing '=' or non-numeric domain"),
        ("L3:\n", EINVAL, "Missing 'L3' value"),
        ("L3\n", EINVAL, "Missing ':'"),
        ("\n", EINVAL, "Missing ':'"),
        ("L3:0=0x3f;1=0X3f\n", OK, "ok"),
        ("L3:0=3;\n", OK, "ok"),
        ("L3:0= 7\n", OK, "ok"),
        (" L3 :0=7\n", OK, "ok"),
        ("L3:0=f\n", OK, "ok"),
        // Stale: of the command before, which was fine.
        ("L3:0=ff", EINVAL, "ok"),
    ];
    let kernel = intel();
    kernel.make_group("a").unwrap();
    let script: Vec<Operation> = cases.iter().map(|case| write("a/schemata", case.0)).collect();
    for ((text, errno, status), answer) in cases.into_iter().zip(answers(&kernel, &script)) {
        assert_eq!(answer, (errno, status.to_owned()), "{text:?}");
    }
}

#[test]
fn one_write_is_all_or_nothing_and_leaves_other_domains_alone() {
    let kernel = intel();
    kernel.make_group("a").unwrap();
    assert!(kernel.write("a/schemata", "L3:0=30\nL4:1=3\n").is_err());
    assert_eq!(kernel.read("a/schemata").unwrap(), "    L3:0=fffff;1=fffff\n");
    kernel.write("a/schemata", "L3:0=30\nL3:1=c\n").unwrap();
    kernel.write("a/schemata", "L3:1=3\n").unwrap();
    assert_eq!(kernel.read("a/schemata").unwrap(), "    L3:0=00030;1=00003\n");
}

#[test]
fn few_bits_are_refused_where_more_are_needed() {
    let kernel = FakeKernel::new(FakeMachine { min_bits: 2, ..FakeMachine::intel() });
    let answer = answers(&kernel, &[write("schemata", "L3:0=1\n")]);
    assert_eq!(answer, [(EINVAL, "Need at least 2 bits in the mask".to_owned())]);
}

#[test]
fn amd_takes_any_mask_also_none() {
    let kernel = FakeKernel::new(FakeMachine::amd());
    kernel.make_group("a").unwrap();
    for text in ["L3:0=f0f\n", "L3:0=0\n", "L3:3=8001\n"] {
        kernel.write("a/schemata", text).unwrap();
    }
    assert_eq!(kernel.read("a/schemata").unwrap(), "    L3:0=0000;1=ffff;2=ffff;3=8001\n");
}

#[test]
fn bandwidth_has_a_range_and_is_rounded_up() {
    let bandwidth = FakeBandwidth { closids: 8, least: 10, granularity: 10, whole: 100 };
    let kernel = FakeKernel::new(FakeMachine { bandwidth: Some(bandwidth), ..FakeMachine::intel() });
    let script =
        [write("schemata", "MB:0=5\n"), write("schemata", "MB:0=101\n"), write("schemata", "MB:0=55\n")];
    let out = |n| (EINVAL, format!("MB value {n} out of range [10,100]"));
    assert_eq!(answers(&kernel, &script), [out(5), out(101), (OK, "ok".to_owned())]);
    assert_eq!(kernel.read("schemata").unwrap(), "    MB:0= 60\n    L3:0=fffff\n");
    for number in 1..8 {
        kernel.make_group(&format!("g{number}")).unwrap();
    }
    let answer = answers(&kernel, &[make("g8")]);
    assert_eq!(answer, [(libc::ENOSPC, "Out of CLOSIDs".to_owned())], "fewer classes than the cache has");
}

#[test]
fn cdp_halves_the_classes_and_renames_the_lines() {
    let kernel = FakeKernel::new(FakeMachine { cdp: true, ..FakeMachine::intel() });
    assert_eq!(kernel.read("info/L3CODE/num_closids").unwrap(), "8\n");
    kernel.make_group("a").unwrap();
    kernel.write("a/schemata", "L3CODE:0=3\n").unwrap();
    kernel.write("a/schemata", "L3DATA:0=c\n").unwrap();
    assert_eq!(kernel.read("a/schemata").unwrap(), "L3DATA:0=0000c\nL3CODE:0=00003\n");
    let answer = answers(&kernel, &[write("a/schemata", "L3:0=f\n")]);
    assert_eq!(answer, [(EINVAL, "Unknown or unsupported resource name 'L3'".to_owned())]);
}

#[test]
fn groups_are_few_and_their_names_are_taken_once() {
    let kernel = intel();
    let script: Vec<Operation> = (0..16).map(|n| make(&format!("g{n}"))).collect();
    let made = answers(&kernel, &script);
    assert!(made[..15].iter().all(|answer| answer.0 == OK));
    assert_eq!(made[15], (libc::ENOSPC, "Out of CLOSIDs".to_owned()));
    let script = [make("info"), make("g0"), make("g0/sub"), make("x\ny"), make("schemata"), make("no/sub")];
    let numbers: Vec<i32> = answers(&kernel, &script).into_iter().map(|answer| answer.0).collect();
    use libc::{EEXIST, ENOENT, EPERM};
    assert_eq!(numbers, [EEXIST, EEXIST, EPERM, EINVAL, EEXIST, ENOENT]);
    let script = [remove("info"), remove("g1/tasks"), remove("nosuch"), remove("g0")];
    let numbers: Vec<i32> = answers(&kernel, &script).into_iter().map(|answer| answer.0).collect();
    assert_eq!(numbers, [EPERM, libc::ENOTDIR, ENOENT, OK]);
}

#[test]
fn monitoring_ids_wait_in_limbo() {
    let monitoring = FakeMonitoring { rmids: 3, traffic: true };
    let kernel = FakeKernel::new(FakeMachine { monitoring: Some(monitoring), ..FakeMachine::intel() });
    let numbers =
        |script: &[Operation]| -> Vec<i32> { answers(&kernel, script).into_iter().map(|a| a.0).collect() };
    assert_eq!(numbers(&[make("a"), make("b"), make("c")]), [OK, OK, libc::ENOSPC]);
    assert_eq!(numbers(&[remove("b"), make("c")]), [OK, libc::EBUSY]);
    kernel.empty_limbo();
    assert_eq!(numbers(&[make("c")]), [OK]);
}

/// The part of the transcript about modes.
#[test]
fn exclusive_groups_keep_others_out() {
    let kernel = intel();
    for name in ["g0", "g1"] {
        kernel.make_group(name).unwrap();
    }
    let script = [
        write("g0/mode", "exclusive\n"),
        write("schemata", "L3:0=ffff0;1=ffff0\n"),
        write("g1/schemata", "L3:0=fff0;1=fff0\n"),
        write("g0/schemata", "L3:0=f;1=f\n"),
        write("g0/mode", "exclusive\n"),
        write("g1/schemata", "L3:0=ff\n"),
        write("g1/schemata", "L3:0=ff0\n"),
        write("g0/schemata", "L3:0=ff\n"),
        write("g0/mode", "bogus\n"),
        write("g1/mode", "pseudo-locksetup\n"),
        make("g2"),
        read("g2/schemata"),
    ];
    let answers = replay(&kernel, &script);
    let said: Vec<&str> = answers.iter().map(|answer| answer.status.trim_end()).collect();
    assert_eq!(said[0], "Schemata overlaps");
    assert_eq!(said[1..5], ["ok"; 4]);
    assert_eq!(said[5], "Overlaps with exclusive group");
    assert_eq!(said[7], "Overlaps with other group");
    assert_eq!(said[8..10], ["Unknown or unsupported mode", "Pseudo-locking not supported"]);
    assert_eq!(answers[11].text, "    L3:0=ffff0;1=ffff0\n", "all that is not exclusive");
    // All bits exclusive: no group more.
    for (path, text) in [
        ("g2/schemata", "L3:0=10;1=10\n"),
        ("schemata", "L3:0=20;1=20\n"),
        ("g1/schemata", "L3:0=fffc0;1=fffc0\n"),
        ("g1/mode", "exclusive\n"),
        ("g2/mode", "exclusive\n"),
        ("mode", "exclusive\n"),
    ] {
        kernel.write(path, text).unwrap();
    }
    let refused = replay(&kernel, &[make("g3")]).remove(0);
    assert_eq!(
        (refused.errno, refused.status.trim_end().lines().last()),
        (Some(libc::ENOSPC), Some("No space on L3:0"))
    );
}

#[test]
fn tasks_are_threads_that_exist_and_may_be_moved() {
    let kernel = intel();
    kernel.make_group("a").unwrap();
    kernel.start_task(7, true);
    kernel.start_task(8, false);
    let script = [
        write("a/tasks", "7\n"),
        write("a/tasks", "8"),
        write("a/tasks", "9\n"),
        write("a/tasks", "abc\n"),
        write("a/tasks", "-5\n"),
        write("a/tasks", "7,7\n"),
        write("a/tasks", "7 1\n"),
        write("a/tasks", ""),
    ];
    let expected = [
        (OK, "ok"),
        (libc::EPERM, "No permission to move task 8\nError while processing task 8"),
        (libc::ESRCH, "No task 9\nError while processing task 9"),
        (EINVAL, "Task list parsing error pid abc"),
        (EINVAL, "Invalid pid -5"),
        (OK, "ok"),
        (EINVAL, "Task list parsing error pid 7 1"),
        (OK, "ok"),
    ];
    assert_eq!(answers(&kernel, &script), expected.map(|(errno, text)| (errno, text.to_owned())));
    assert_eq!(kernel.read("a/tasks").unwrap(), "7\n");
    kernel.remove_group("a").unwrap();
    assert_eq!(kernel.read("tasks").unwrap(), "7\n8\n", "they fall back to the root");
}

#[test]
fn cpus_are_given_and_taken_back() {
    let kernel = intel();
    kernel.make_group("a").unwrap();
    kernel.write("a/cpus", "1\n").unwrap();
    assert_eq!((kernel.read("a/cpus").unwrap(), kernel.read("cpus").unwrap()), ("1\n".into(), "e\n".into()));
    assert_eq!(kernel.read("cpus_list").unwrap(), "1-3\n");
    let script = [write("a/cpus_list", "99\n"), write("a/cpus", "zz\n"), write("a/cpus", "0\n")];
    let numbers: Vec<i32> = answers(&kernel, &script).into_iter().map(|answer| answer.0).collect();
    assert_eq!(numbers, [libc::ERANGE, EINVAL, OK]);
    assert_eq!(kernel.read("cpus").unwrap(), "f\n");
}

#[test]
fn ordered_failures_happen_as_often_as_ordered() {
    let kernel = intel();
    let fault = Fault {
        act: Act::Write,
        path: "schemata".into(),
        after: 1,
        times: 2,
        errno: libc::EIO,
        status: "something broke",
    };
    kernel.fail(fault);
    let script = vec![write("schemata", "L3:0=f\n"); 4];
    let numbers: Vec<i32> = answers(&kernel, &script).into_iter().map(|answer| answer.0).collect();
    assert_eq!(numbers, [OK, libc::EIO, libc::EIO, OK]);
    kernel.make_read_only();
    assert_eq!(answers(&kernel, &[make("a")])[0].0, libc::EROFS);
    kernel.recover();
    kernel.contend(0x600);
    kernel.write("schemata", "L3:0=400\n").unwrap();
    assert_eq!(kernel.mask("", DomainId(0)), Some(0x600));
}

#[test]
fn a_host_that_only_monitors_has_no_schemata() {
    let monitoring = Some(FakeMonitoring { rmids: 8, traffic: false });
    let kernel = FakeKernel::new(FakeMachine { monitor_only: true, monitoring, ..FakeMachine::intel() });
    assert!(kernel.read("schemata").is_err());
    assert_eq!(answers(&kernel, &[make("a")])[0].0, libc::EPERM);
    assert_eq!(kernel.read("mon_data/mon_L3_00/llc_occupancy").unwrap(), "0\n");
}
