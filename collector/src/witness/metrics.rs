//! What is counted of witnesses.

use crate::observe::{Counter, Gauge, Page};

/// Counters of all witnesses that are asked.
#[derive(Debug)]
pub struct WitnessMetrics {
    /// Records under the newest checkpoint that the quorum cosigned, as far as this process knows.
    pub witnessed: Gauge,
    /// Refusals that mean a fork or a rollback. Anything but 0 is an alarm.
    pub forks: Counter,
    /// Since when the newest checkpoint lacks its quorum, nanoseconds since 1970; 0 if it has it.
    unwitnessed_since: Gauge,
    witnesses: Vec<OfWitness>,
}

#[derive(Debug)]
struct OfWitness {
    name: String,
    failures: Counter,
    /// Since when it has not cosigned the newest checkpoint, nanoseconds since 1970; 0 if it has.
    behind_since: Gauge,
}

impl WitnessMetrics {
    /// For witnesses of these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let witness = |name| OfWitness { name, failures: Counter::default(), behind_since: Gauge::default() };
        Self {
            witnessed: Gauge::default(),
            forks: Counter::default(),
            unwitnessed_since: Gauge::default(),
            witnesses: names.into_iter().map(witness).collect(),
        }
    }

    /// There is a newer checkpoint: whoever was not behind is from now on.
    pub fn behind(&self, now_nanos: u64) {
        let gauges = self.witnesses.iter().map(|witness| &witness.behind_since).chain([&self.unwitnessed_since]);
        gauges.filter(|since| since.get() == 0).for_each(|since| since.set(now_nanos));
    }

    /// The newest checkpoint has its quorum.
    pub(super) fn witnessed(&self, size: u64) {
        self.witnessed.set(size);
        self.unwitnessed_since.set(0);
    }

    /// A witness cosigned the newest checkpoint.
    pub(super) fn cosigned(&self, at: usize) {
        self.witnesses[at].behind_since.set(0);
    }

    /// A witness did not, or not with all of its keys.
    pub(super) fn failed(&self, at: usize) {
        self.witnesses[at].failures.add(1);
    }

    pub(crate) fn render(&self, page: &mut Page, now_nanos: u64) {
        let age = |since: u64| match since {
            0 => "0.000".to_owned(),
            since => format!("{:.3}", now_nanos.saturating_sub(since) as f64 / 1e9),
        };
        page.single(
            "tachograph_witnessed_records",
            "gauge",
            "Records under the newest checkpoint that enough witnesses cosigned.",
            self.witnessed.get(),
        );
        page.single(
            "tachograph_witnessed_lag_seconds",
            "gauge",
            "How long the newest checkpoint has lacked its witnesses.",
            age(self.unwitnessed_since.get()),
        );
        page.single(
            "tachograph_witness_forks_total",
            "counter",
            "Refusals of witnesses that mean a fork or a rollback. Anything but 0 is an alarm.",
            self.forks.get(),
        );
        page.family(
            "tachograph_witness_lag_seconds",
            "gauge",
            "How long a witness has not cosigned the newest checkpoint.",
        );
        for witness in &self.witnesses {
            page.labelled("witness", &witness.name, age(witness.behind_since.get()));
        }
        page.family(
            "tachograph_witness_failures_total",
            "counter",
            "Requests to a witness that brought no cosignature, or not one of each of its keys.",
        );
        for witness in &self.witnesses {
            page.labelled("witness", &witness.name, witness.failures.get());
        }
    }
}
