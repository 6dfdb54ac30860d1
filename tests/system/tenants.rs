//! Tenants: whoever shows a token with a name.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Api, Function, MASTER, Server, WORKER, all_of, fsched, wait_until};

const PLATFORM: &str = "secret-of-the-platform";
const BLUE: &str = "secret-of-blue-7d1f";
const RED: &str = "secret-of-red-90c2";

/// A folder with a configuration that knows the tenants blue and red.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{secret}\n")).expect("a file");
        path.display().to_string()
    };
    let (platform, blue, red) = (file("platform", PLATFORM), file("blue", BLUE), file("red", RED));
    let text = format!("token_file = {platform:?}\ntokens = {{ blue = {blue:?}, red = {red:?} }}\n");
    fs::write(folder.path().join("master.toml"), text).expect("a file");
    folder
}

fn master(folder: &Path) -> Server {
    let (config, data) = (folder.join("master.toml"), folder.join("master"));
    let (config, data) = (config.display().to_string(), data.display().to_string());
    let words = ["--config", &config, "--listen", "127.0.0.1:0", "--data-dir", &data, "--log", "trace"];
    Server::start(MASTER, folder, "master", &words, &[])
}

fn worker(folder: &Path, name: &str, master: &Api, secret: &str) -> Server {
    let state = folder.join(name).display().to_string();
    let words =
        ["--listen", "127.0.0.1:0", "--master", &master.url(), "--state-dir", &state, "--log", "trace"];
    Server::start(WORKER, folder, name, &words, &[("FSCHED_TOKEN", secret)])
}

fn wait_for_the_worker(api: &Api) {
    wait_until("the worker is there", || {
        (api.get("/cluster/workers").ok()["workers"][0]["state"] == "alive").then_some(())
    });
}

/// Whose invocations somebody sees, newest first.
fn tenants_seen(api: &Api) -> Vec<String> {
    let rows = api.get("/invocations").ok();
    let tenants = rows["invocations"].as_array().expect("a list").iter().map(|row| row["tenant"].clone());
    tenants.map(|tenant| tenant.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn two_tenants_share_a_platform_and_see_their_own() {
    let folder = folder();
    let mut running = master(folder.path());
    let worker = worker(folder.path(), "worker", &running.api, PLATFORM);
    let secrets = [PLATFORM, BLUE, RED];
    let [platform, blue, red] = secrets.map(|secret| running.api.with_token(secret));
    wait_for_the_worker(&platform);
    blue.push(&Function::script("f", "echo done $FSCHED_INVOCATION\n")).ok();
    // Both at once.
    let asked = json!({"function_name": "f"});
    let both = [&blue, &red].map(|api| api.post_later("/submit", asked.clone()));
    let ids = both.map(|answer| answer.join().expect("it ends").ok()["invocation_id"].clone());
    platform.post("/submit", &asked).ok();
    assert_eq!(tenants_seen(&blue), ["blue"]);
    assert_eq!(tenants_seen(&red), ["red"]);
    let mut all = tenants_seen(&platform);
    all.sort();
    assert_eq!(all, ["blue", "default", "red"]);
    let path = |id: &Value| format!("/invocations/{}", id.as_str().expect("an id"));
    blue.get(&path(&ids[0])).ok();
    blue.get(&path(&ids[1])).refused(404, "unknown_invocation");
    red.delete("/functions/f").refused(403, "forbidden");
    red.push(&Function::script("f", "echo mine\n")).refused(403, "forbidden");
    blue.get("/metrics").refused(403, "forbidden");
    wait_until("both logs say whose it is", || {
        [&running, &worker].iter().all(|server| server.log().contains("tenant=blue")).then_some(())
    });

    // What was accepted is still theirs after a crash.
    running.kill();
    running = master(folder.path());
    let [platform, blue] = [PLATFORM, BLUE].map(|secret| running.api.with_token(secret));
    assert_eq!(tenants_seen(&blue), ["blue"]);
    assert_eq!(platform.get("/functions/f").ok()["tenant"], "blue");

    let listed = |token: &str, more: &[&str]| {
        let words = [&["--token-file", token, "invocations", "list"], more].concat();
        let done = fsched(folder.path(), Some(&running.api.url()), &words);
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    };
    assert!(listed("platform", &[]).contains("red"));
    assert!(!listed("platform", &["--tenant", "blue"]).contains("red"));
    assert!(listed("blue", &[]).contains("blue") && !listed("blue", &[]).contains("red"));
    let processes = all_of(folder.path()).concat();
    let logs = [running.log(), worker.log()].concat();
    for secret in secrets {
        assert!(!logs.contains(secret) && !processes.contains(secret), "{secret} is to be seen");
    }
}

#[test]
fn a_tenant_cannot_be_a_worker_or_order_one_about() {
    let folder = folder();
    let master = master(folder.path());
    let platform = master.api.with_token(PLATFORM);
    let impostor = worker(folder.path(), "impostor", &master.api, BLUE);
    wait_until("the master has refused it", || impostor.log().contains("forbidden").then_some(()));
    let host = json!({"host": impostor.api.url()});
    master.api.with_token(BLUE).post("/cluster/worker/add", &host).refused(403, "forbidden");
    platform.post("/cluster/worker/add", &host).refused(500, "worker_unresponsive");
    assert_eq!(platform.get("/cluster/workers").ok()["workers"], json!([]));
    let worker = worker(folder.path(), "worker", &master.api, PLATFORM);
    wait_for_the_worker(&platform);
    let protocol = [("x-fsched-protocol", "1")];
    let order = worker.api.with_token(BLUE);
    order.send("POST", "/worker/orders", &protocol, b"{}").refused(401, "unauthorized");
    order.send("GET", "/worker/heartbeat", &protocol, b"").refused(401, "unauthorized");
}
