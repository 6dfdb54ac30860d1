//! The predictor is trained on what the platform has seen, in a process beside.

use std::collections::BTreeSet;
use std::path::Path;

use fsched_core::predictor::engine::model::Model;
use serde_json::{Value, json};

use crate::harness::{Cluster, Function, Plan, all_of, wait_until};

/// A file in the master's working directory, the test's folder.
const UNTAUGHT: &str = "untaught.safetensors";

/// Looks all the time, and learns little at once.
const EAGER: &[(&str, &str)] = &[
    ("FSCHED_MASTER_TRAINING", "true"),
    ("FSCHED_MASTER_TRAINING_EVERY", "50ms"),
    ("FSCHED_MASTER_TRAINING_FUNCTIONS", "12"),
    ("FSCHED_MASTER_TRAINING_EPOCHS", "1"),
    ("FSCHED_MASTER_CONFIG", "untaught.toml"),
];

/// Never done within its time.
const HASTY: &[(&str, &str)] = &[
    ("FSCHED_MASTER_TRAINING", "true"),
    ("FSCHED_MASTER_TRAINING_EVERY", "50ms"),
    ("FSCHED_MASTER_TRAINING_FUNCTIONS", "12"),
    ("FSCHED_MASTER_TRAINING_EPOCHS", "10000"),
    ("FSCHED_MASTER_TRAINING_LIMIT", "300ms"),
];

/// Long enough to be ended by others.
const SLOW: &[(&str, &str)] = &[
    ("FSCHED_MASTER_TRAINING", "true"),
    ("FSCHED_MASTER_TRAINING_EVERY", "50ms"),
    ("FSCHED_MASTER_TRAINING_FUNCTIONS", "12"),
    ("FSCHED_MASTER_TRAINING_EPOCHS", "10000"),
];

/// A master that has to learn, its first model being good for nothing.
fn master(environment: &'static [(&'static str, &'static str)]) -> Cluster {
    Cluster::start_with(Plan { workers: 0, master: environment, ..Plan::default() }, |folder: &Path| {
        let mut model = Model::pretrained();
        model.networks.iter_mut().flat_map(|network| &mut network.last).for_each(|weight| *weight = 0.0);
        std::fs::write(folder.join(UNTAUGHT), model.write()).expect("a model");
        let config = format!("predictor = {{ kind = \"mlp\", model = \"{UNTAUGHT}\" }}");
        std::fs::write(folder.join("untaught.toml"), config).expect("a file");
    })
}

/// Functions whose time triples where a working set, which grows with the input, does not fit.
fn teach(cluster: &Cluster) {
    for number in 1..=24u64 {
        let name = format!("f{number}");
        cluster.push(&Function::script(&name, "true"));
        for input_size in [1000u64, 2000, 4000] {
            let fits = (input_size * (number % 5 + 1)).div_ceil(1000).min(19);
            let points: Vec<Value> = [1, fits.max(2) - 1, fits.max(2), 20]
                .into_iter()
                .collect::<BTreeSet<u64>>()
                .into_iter()
                .map(|mib| {
                    let factor = if mib < fits { 3.0 } else { 1.0 };
                    json!({"cache_bytes": mib << 20, "seconds": factor * input_size as f64 / 1000.0,
                        "miss_bytes": (factor as u64) << 20, "accesses": 10_000_000})
                })
                .collect();
            let body = json!({"input_size": input_size, "points": points});
            cluster.api().post(&format!("/functions/{name}/profile"), &body).ok();
        }
    }
}

fn trainings(cluster: &Cluster, result: &str) -> bool {
    let text = cluster.api().get("/metrics").text();
    let name = format!("fsched_predictor_trainings_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).is_some_and(|count| count != "0")
}

fn at_work(cluster: &Cluster) -> bool {
    all_of(cluster.folder()).iter().any(|line| line.contains("--train-for-master"))
}

fn curves(cluster: &Cluster) -> Vec<Value> {
    let curve = |size| cluster.api().get(&format!("/functions/f3/curve?input_size={size}")).ok();
    [500, 1500, 3000, 9000].map(curve).to_vec()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "training takes minutes where it is not optimised: .ci/run")]
fn what_was_learnt_beside_is_used_and_survives_a_restart() {
    let mut cluster = master(EAGER);
    teach(&cluster);
    let before = curves(&cluster);
    wait_until("a better model is adopted", || trainings(&cluster, "adopted").then_some(()));
    wait_until("the child has ended", || (!at_work(&cluster)).then_some(()));
    let learnt = curves(&cluster);
    assert_ne!(before, learnt);
    cluster.kill_master();
    cluster.start_master();
    assert_eq!(curves(&cluster), learnt, "a restarted master predicts what the stopped one did");
    // A damaged model is left aside, and the master starts.
    cluster.kill_master();
    std::fs::write(cluster.data_dir().join("models/current.safetensors"), "nothing").expect("a file");
    cluster.start_master();
    assert_eq!(curves(&cluster), before, "what it was configured with is left");
}

#[test]
fn a_training_that_takes_too_long_is_ended_and_changes_nothing() {
    let cluster = master(HASTY);
    teach(&cluster);
    let before = curves(&cluster);
    wait_until("it has failed", || trainings(&cluster, "failed").then_some(()));
    wait_until("the child is gone", || (!at_work(&cluster)).then_some(()));
    assert_eq!(curves(&cluster), before);
}

#[test]
fn a_training_ends_with_its_master_however_that_ends() {
    for kill in [false, true] {
        let mut cluster = master(SLOW);
        teach(&cluster);
        wait_until("it is at work", || at_work(&cluster).then_some(()));
        if kill {
            cluster.kill_master();
        } else {
            let master = cluster.master.take().expect("it is there");
            assert!(master.terminate().success());
        }
        wait_until("the child is gone", || (!at_work(&cluster)).then_some(()));
    }
}
