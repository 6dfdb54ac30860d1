//! What the operating system says of this process.

/// CPU time of this thread so far, seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts CPU time");
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds on a CPU come first") / 1e9
}

/// The most memory this process had so far, MiB.
pub(crate) fn most_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux counts memory");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.expect("the most resident memory is there") / 1024.0
}
