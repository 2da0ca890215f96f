//! Printing: JSON or text, and logs.

use std::io::{IsTerminal, Write};

use tachograph_collector::config::Log;
use tracing_subscriber::EnvFilter;

/// Prints one JSON document on standard output. A reader that went away (`| head`) is no error.
pub(super) fn json(value: &serde_json::Value) {
    line(&format!("{value:#}"));
}

/// Prints a line on standard output.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Logs to standard error, as configured. `TACHOGRAPH_LOG` wins.
pub(super) fn start_logs(log: &Log) -> anyhow::Result<()> {
    let directives = std::env::var("TACHOGRAPH_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&directives).map_err(|e| {
        anyhow::anyhow!("log.level `{directives}`: {e}; use for example `info` or `tachograph_collector=debug`")
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A reader of the log that goes away must not stop the recorder: the subscriber would panic over its own failure.
    let logs = logs.log_internal_errors(false);
    if log.json {
        logs.json().init();
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// Prints an error and those of its causes that it does not tell itself.
pub(super) fn error(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let _ = writeln!(std::io::stderr(), "tachograph: {text}");
}
