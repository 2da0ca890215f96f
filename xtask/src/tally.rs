//! Counts what passed and what failed over all parts, and says it at the end.

/// The sum over all parts of a run.
#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    notes: Vec<String>,
}

impl Tally {
    /// Adds checks that passed.
    pub(crate) fn pass(&mut self, count: u64) {
        self.passed += count;
    }

    /// Adds one check that failed, with what to do about it.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failed += 1;
        self.failures.push(what.into());
    }

    /// Adds one check that passed or failed.
    pub(crate) fn check(&mut self, ok: bool, what: &str) {
        if ok {
            self.pass(1);
        } else {
            self.fail(what);
        }
    }

    /// Something the reader must know that is neither passed nor failed, such as a check that could not be made.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        println!("note: {what}");
        self.notes.push(what);
    }

    /// Prints what failed, what was noted, and the closing line; true if nothing failed.
    pub(crate) fn close(&self) -> bool {
        println!("\n{}", self.summary());
        self.failed == 0
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            text.push_str(&format!("failed: {failure}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.push_str(&format!("{} passed, {} failed", self.passed, self.failed));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_closing_line_is_the_last_and_plain() {
        let mut tally = Tally::default();
        tally.pass(41);
        tally.check(true, "not said");
        tally.fail("clippy");
        tally.note("advisories were not checked");
        assert_eq!(tally.summary(), "failed: clippy\nnote: advisories were not checked\n42 passed, 1 failed");
        assert!(!tally.close());
    }
}
