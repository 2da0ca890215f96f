//! What the kernel says of a process.

use std::fmt::Display;

/// CPU seconds used so far: user and system, all threads. `process` is an id, or `self`.
pub(crate) fn cpu_seconds(process: impl Display) -> f64 {
    ticks(process, [11, 12])
}

/// A line of `/proc/<pid>/status`, in MB.
pub(crate) fn memory_mb(process: impl Display, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// CPU seconds of the children that have ended and were waited for: user and system.
pub(crate) fn children_cpu_seconds() -> f64 {
    ticks("self", [13, 14])
}

/// The sum of two fields of `/proc/<pid>/stat`, counted behind the name, in seconds.
fn ticks(process: impl Display, fields: [usize; 2]) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let values: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| values.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    fields.map(ticks).iter().sum::<f64>() / 100.0
}
