//! Where the crate says that something is wrong: records that wait, records that were lost,
//! calls that had no effect. Never more than one line per topic in ten seconds, as the same cause
//! tends to strike thousands of records at once.

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
        Self::new(Box::new(|line| eprintln!("tachograph: {line}")))
    }

    /// Says it, unless the topic was heard a moment ago. `line` runs only when it is said.
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
        let line = line();
        if withheld == 0 {
            (self.sink)(&line);
        } else {
            (self.sink)(&format!("{line} ({withheld} similar before)"));
        }
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
}
