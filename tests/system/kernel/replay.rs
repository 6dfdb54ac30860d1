//! The pretended kernel of `fsched-core` answers like the real one: one script of operations on both, every number, every text.

use fsched_core::allocator::resctrl::fake::{FakeBandwidth, FakeKernel, FakeMachine, FakeMonitoring};
use fsched_core::allocator::resctrl::replay::{Answer, Operation, replay};
use fsched_core::allocator::resctrl::{Directory, ResctrlFs};
use fsched_core::cache::DomainId;
use fsched_core::host::resctrl::Offer;
use fsched_http::machine::parse_cpu_list;

use super::RESCTRL;

/// How many operations are made up beside those that are written down.
const RANDOM: usize = 600;

/// The machine at hand, to be pretended.
fn machine(kernel: &Directory) -> FakeMachine {
    let offer = Offer::read(&|path| kernel.read(path)).expect("the kernel makes sense");
    let cache = offer.cache.expect("caches can be divided");
    let schemata = kernel.read("schemata").expect("there are schemata");
    let line = schemata.lines().find(|line| line.trim_start().starts_with("L3")).expect("a line of the L3");
    let values = line.split_once(':').expect("a line has a name").1;
    let domain = |value: &str| value.split_once('=').expect("a value has a domain").0.trim().parse();
    let cpus = parse_cpu_list(kernel.read("cpus_list").expect("there are CPUs").trim());
    FakeMachine {
        ways: u32::from(cache.all.ways().get()),
        min_bits: cache.min_bits,
        sparse: !cache.contiguous,
        shareable: cache.shareable,
        closids: usize::from(cache.classes) * if cache.code_and_data { 2 } else { 1 },
        domains: values
            .split(';')
            .map(|value| DomainId(domain(value).expect("a domain is a number")))
            .collect(),
        cpus: u16::try_from(cpus.expect("a list of CPUs").len()).expect("they are few"),
        cdp: cache.code_and_data,
        cdp_capable: true,
        bandwidth: offer.bandwidth.map(|found| FakeBandwidth {
            closids: usize::from(found.classes),
            least: found.least,
            granularity: found.step,
            whole: 100,
        }),
        monitoring: offer.monitoring.map(|found| FakeMonitoring {
            rmids: usize::try_from(found.groups).expect("they are few"),
            traffic: found.events.iter().any(|event| event == "mbm_total_bytes"),
        }),
        old_kernel: kernel.read("info/L3/sparse_masks").is_err()
            && kernel.read("info/L3DATA/sparse_masks").is_err(),
        monitor_only: false,
    }
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

fn list(path: &str) -> Operation {
    Operation::List(path.to_owned())
}

fn write(path: &str, text: &str) -> Operation {
    Operation::Write { path: path.to_owned(), text: text.to_owned() }
}

/// What is written down: the kernel's files, and every mistake that we know of.
fn script(machine: &FakeMachine) -> Vec<Operation> {
    let lines: &[&str] = if machine.cdp { &["L3DATA", "L3CODE"] } else { &["L3"] };
    let mut script =
        vec![list(""), list("info"), read("schemata"), read("mode"), read("cpus"), read("cpus_list")];
    for resource in ["L3", "L3CODE", "L3DATA", "MB", "L3_MON"] {
        for file in [
            "cbm_mask",
            "min_cbm_bits",
            "num_closids",
            "shareable_bits",
            "sparse_masks",
            "num_rmids",
            "mon_features",
        ] {
            script.push(read(&format!("info/{resource}/{file}")));
        }
        for file in ["min_bandwidth", "bandwidth_gran", "delay_linear"] {
            script.push(read(&format!("info/{resource}/{file}")));
        }
    }
    script.extend([make("a"), make("a"), read("a/schemata"), read("a/mode"), read("a/tasks"), list("a")]);
    for name in [
        "info",
        "a/sub",
        "schemata",
        "x\ny",
        "nowhere/sub",
        &"n".repeat(255),
        &"n".repeat(256),
        "a b",
        "naïve",
    ] {
        script.push(make(name));
    }
    for name in ["info", "a/tasks", "schemata", "nosuch", &"n".repeat(255), &"n".repeat(256), "a b", "naïve"]
    {
        script.push(remove(name));
    }
    for line in lines.iter().copied().chain(["L3", "L2", "L4", "MB", "l3"]) {
        for rest in [
            ":0=0\n",
            ":0=1\n",
            ":0=3\n",
            ":0=5\n",
            ":0=f0f\n",
            ":0=f\n",
            ":0=00000f\n",
            ":0=0x3f;1=0X3f\n",
            ":0=fffff\n",
            ":0=1fffff\n",
            ":0=100000000\n",
            ":0=ffffffff\n",
            ":0=-1\n",
            ":0=zz\n",
            ":0=\n",
            ":0\n",
            ":\n",
            "\n",
            ":x=f\n",
            ":7=f\n",
            ":0=f;0=ff\n",
            ":0=7;9=7\n",
            ":0=7;1=7;9=7\n",
            ":0=f;1=5\n",
            ":0=3;\n",
            ": 0=7\n",
            ":0= 7\n",
            ":*=3\n",
            ":0=50\n",
            ":0=55\n",
            ":0=9\n",
            ":0=10\n",
            ":0=100\n",
            ":0=101\n",
            ":0=x\n",
            ":0=ff",
            ":0=f\n\n",
            ":0=7 \n",
        ] {
            script.push(write("a/schemata", &format!("{line}{rest}")));
            script.push(read("a/schemata"));
        }
        script.push(write("a/schemata", &format!(" {line} :0=7\n")));
        script.push(write("a/schemata", &format!("{line}:0=30\n{line}:1=c\n")));
        script.push(write("a/schemata", &format!("{line}:0=30\n{line}:0=c\n")));
        script.push(write("a/schemata", &format!("{line}:0=30\nL4:1=3\n")));
        script.push(read("a/schemata"));
    }
    for text in ["\n", "", "no such thing", "no such thing\n"] {
        script.push(write("a/schemata", text));
        script.push(write("a/mode", text));
    }
    for text in ["1", "1\n", "4000000\n", "abc\n", "-5\n", "1,1\n", "1 1\n", "", "\n", "2147483648\n", "0\n"]
    {
        script.push(write("a/tasks", text));
    }
    script.extend([write("tasks", "0\n"), write("tasks", "1\n"), read("a/tasks")]);
    for text in ["1\n", "2\n", "0\n", "zz\n"] {
        script.extend([write("a/cpus", text), read("a/cpus"), read("cpus"), read("cpus_list")]);
    }
    for text in ["0\n", "99\n", "0-1\n", "x\n", "\n"] {
        script.extend([write("a/cpus_list", text), read("a/cpus_list"), read("cpus_list"), read("a/cpus")]);
    }
    script.extend([
        remove("a"),
        list(""),
        read("schemata"),
        write("a/schemata", "L3:0=f\n"),
        read("a/schemata"),
    ]);
    // Who is alone with what; then more groups than there are classes.
    script.extend([make("a"), make("b")]);
    let mode = |group: &str, mode: &str| write(&format!("{group}mode"), &format!("{mode}\n"));
    let mask = |group: &str, bits: &str| {
        let of_line = |line: &&str| {
            let domains: Vec<String> =
                machine.domains.iter().map(|domain| format!("{domain}={bits}")).collect();
            format!("{line}:{}\n", domains.join(";"))
        };
        write(&format!("{group}schemata"), &lines.iter().map(of_line).collect::<String>())
    };
    script.extend([
        mode("a/", "exclusive"),
        mask("", "3f0"),
        mask("b/", "3c0"),
        mask("a/", "f"),
        mode("a/", "exclusive"),
        read("a/mode"),
        mask("b/", "3ff"),
        mask("b/", "ff0"),
        mask("b/", "3f0"),
        mask("a/", "1f"),
        mode("a/", "exclusive"),
        mode("a/", "pseudo-locksetup"),
        mode("b/", "bogus"),
        mode("", "exclusive"),
        make("c"),
        read("c/schemata"),
        mask("c/", "30"),
        mask("", "c0"),
        mask("b/", "300"),
        mode("b/", "exclusive"),
        mode("c/", "exclusive"),
        read("c/mode"),
        make("d"),
        read("d/schemata"),
        mode("a/", "shareable"),
        mode("b/", "shareable"),
        mode("c/", "shareable"),
    ]);
    script.extend(["a", "b", "c", "d"].map(remove));
    script.extend((0..20).map(|number| make(&format!("g{number}"))));
    script.extend((0..20).rev().map(|number| remove(&format!("g{number}"))));
    script.push(list(""));
    script
}

/// What nobody wrote down: groups come and go, and get masks that may or may not be legal.
fn made_up(machine: &FakeMachine) -> Vec<Operation> {
    // A linear congruential generator (Knuth's MMIX), so that every run does the same.
    let mut state = 20_261_125_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let lines: &[&str] = if machine.cdp { &["L3DATA", "L3CODE"] } else { &["L3", "L3", "MB"] };
    let mut script = Vec::new();
    for _ in 0..RANDOM {
        let group = format!("g{}", random(5));
        let line = lines[random(lines.len())];
        script.push(match random(10) {
            0 => make(&group),
            1 => remove(&group),
            2 => write(&format!("{group}/mode"), ["exclusive\n", "shareable\n"][random(2)]),
            3 => read(&format!("{group}/schemata")),
            _ => {
                let mask = |random: &mut dyn FnMut(usize) -> usize| {
                    let ways = 1 + random(5);
                    let run = ((1_u64 << ways) - 1) << random(usize::try_from(machine.ways).expect("few"));
                    if random(8) == 0 { run | 1 } else { run }
                };
                let mut values = Vec::new();
                for domain in &machine.domains {
                    if random(3) > 0 {
                        values.push(format!("{domain}={:x}", mask(&mut random)));
                    }
                }
                write(&format!("{group}/schemata"), &format!("{line}:{}\n", values.join(";")))
            }
        });
    }
    script.extend((0..5).map(|number| remove(&format!("g{number}"))));
    script
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn the_pretended_kernel_answers_like_the_real_one() {
    let kernel = Directory::kernel(RESCTRL);
    let machine = machine(&kernel);
    let fake = FakeKernel::new(machine.clone());
    fake.start_task(1, true);
    let script = [script(&machine), made_up(&machine)].concat();
    let (real, pretended) = (replay(&kernel, &script), replay(&fake, &script));
    let differ: Vec<(usize, &Operation, &Answer, &Answer)> = script
        .iter()
        .enumerate()
        .map(|(number, operation)| (number, operation, &real[number], &pretended[number]))
        .filter(|(_, _, real, pretended)| real != pretended)
        .collect();
    for (number, operation, real, pretended) in differ.iter().take(40) {
        println!("{number}: {operation:?}\n  kernel    {real:?}\n  pretended {pretended:?}");
    }
    assert!(differ.is_empty(), "{} of {} answers differ on {machine:?}", differ.len(), script.len());
    println!("{} answers are the same", script.len());
}
