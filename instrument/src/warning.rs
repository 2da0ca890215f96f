//! Where the crate says that something is wrong: records that wait, records that were lost,
//! calls that had no effect. Never more than one line per topic in ten seconds, as the same cause
//! tends to strike thousands of records at once.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(10);

/// What a warning is about. Each topic has its own rhythm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Topic {
    Delivery,
    /// A folder of the spool that is another release's.
    Foreign,
    Loss,
    Misuse,
    Receipts,
    Spool,
    Unconfirmed,
}

const TOPICS: usize = Topic::Unconfirmed as usize + 1;

/// Takes a finished sentence.
pub(crate) type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Passes warnings on to the sink, at most one per topic in [`QUIET`].
pub(crate) struct Warnings {
    sink: Sink,
    topics: Mutex<[Heard; TOPICS]>,
}

#[derive(Clone, Copy, Default)]
struct Heard {
    last: Option<Instant>,
    withheld: u64,
}

impl Warnings {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, topics: Mutex::new([Heard::default(); TOPICS]) }
    }

    pub(crate) fn to_stderr() -> Self {
        // Not `eprintln!`, which panics where standard error is closed.
        Self::new(Box::new(|line| drop(writeln!(std::io::stderr(), "tachograph: {line}"))))
    }

    /// Says it, unless the topic was heard a moment ago. `line` runs only when it is said. A sink that panics harms neither the
    /// application's call nor the thread that delivers.
    pub(crate) fn say(&self, topic: Topic, line: impl FnOnce() -> String) {
        let withheld = {
            let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            let heard = &mut topics[topic as usize];
            if heard.last.is_some_and(|last| last.elapsed() < QUIET) {
                heard.withheld += 1;
                return;
            }
            heard.last = Some(Instant::now());
            std::mem::take(&mut heard.withheld)
        };
        let mut line = line();
        if withheld > 0 {
            line += &format!(" ({withheld} similar before)");
        }
        drop(catch_unwind(AssertUnwindSafe(|| (self.sink)(&line))));
    }
}

impl std::fmt::Debug for Warnings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Warnings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    #[test]
    fn one_line_a_topic_in_ten_seconds() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let warnings = Warnings::new(Box::new(move |line| {
            kept.lock().expect("lines").push(line.to_owned());
        }));
        for _ in 0..100 {
            warnings.say(Topic::Loss, || "lost".to_owned());
        }
        warnings.say(Topic::Delivery, || "late".to_owned());
        assert_eq!(*lines.lock().expect("lines"), ["lost", "late"]);
    }

    #[test]
    fn a_sink_that_panics_harms_nobody() {
        let warnings = Warnings::new(Box::new(|line| panic!("{line}")));
        warnings.say(Topic::Loss, || "lost".to_owned());
        warnings.say(Topic::Delivery, || "late".to_owned());
    }

    /// As where what reads the application's log has died.
    #[test]
    fn a_closed_standard_error_harms_nobody() {
        const CHILD: &str = "TACHOGRAPH_TEST_CLOSED_STDERR";
        if std::env::var_os(CHILD).is_some() {
            let mut line = String::new();
            // Until the other end is closed.
            std::io::stdin().read_line(&mut line).expect("a line");
            assert!(writeln!(std::io::stderr(), "still open").is_err());
            Warnings::to_stderr().say(Topic::Loss, || "lost".to_owned());
            return;
        }
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "warning::tests::a_closed_standard_error_harms_nobody", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        drop(child.stderr.take());
        child.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
        assert!(child.wait().expect("it ends").success());
    }
}
