//! How far a verification is.

use indicatif::{ProgressBar, ProgressStyle};
use tachograph_exporters::verify::Progress;

/// A progress bar, if a terminal is there.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// Shown or not.
    pub fn new(shown: bool) -> Self {
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("verifying {bar:40} {pos}/{len} records, {per_sec}, {eta} left");
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())) }
    }

    /// Takes it off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&self, records: u64) {
        self.bar.set_length(records);
    }

    fn advance(&self, records: u64, _body_bytes: u64) {
        self.bar.inc(records);
    }
}
