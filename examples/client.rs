//! A client of the REST API: pushes a function, benchmarks it, and runs it.
//!
//! `cargo run -p fsched-examples --example client http://127.0.0.1:8080`

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// Counts to its last argument, the input size.
const SCRIPT: &str = "i=0\nwhile [ $i -lt \"$1\" ]; do i=$((i + 1)); done\necho counted to $i\n";

fn main() -> Result<()> {
    let base =
        std::env::args().nth(1).context("tell me where the platform is, such as http://127.0.0.1:8080")?;
    actix_rt::System::new().block_on(count_elsewhere(base.trim_end_matches('/')))
}

async fn count_elsewhere(base: &str) -> Result<()> {
    let form = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"count.sh\"\r\n\
         Content-Type: text/x-shellscript\r\n\r\n{SCRIPT}\r\n--cut--\r\n"
    );
    let pushed = post(base, "controller/task/new", "multipart/form-data; boundary=cut", form).await?;
    println!("pushed as {}", pushed["task_id"]);

    let request = |size: u64| json!({"command": "sh", "task_id": pushed["task_id"], "input_size": size});
    let run = async |what: &str, size| post(base, what, "application/json", request(size).to_string()).await;

    let benchmarked = run("controller/task/benchmark", 10_000).await?;
    println!("{}: {}", benchmarked["message"], benchmarked["exec_time"]["time"]);

    for size in [10_000, 20_000] {
        let ran = run("controller/task/run", size).await?;
        let result = &ran["result"];
        println!("{}: {} in {}", ran["mode"], result["stdout"], result["execution_time"]);
    }
    Ok(())
}

async fn post(base: &str, path: &str, content_type: &str, body: String) -> Result<Value> {
    // A run takes as long as it takes: the platform has its own limits.
    let client = awc::Client::builder().timeout(Duration::from_secs(600)).finish();
    let request = client.post(format!("{base}/{path}")).content_type(content_type);
    let mut response = request.send_body(body).await.map_err(|e| anyhow!("{base} does not answer: {e}"))?;
    let answer: Value = response.json().await.map_err(|e| anyhow!("{base} answered something else: {e}"))?;
    if !response.status().is_success() {
        bail!("{}: {}", response.status(), answer["message"]);
    }
    Ok(answer)
}
