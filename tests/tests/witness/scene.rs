//! A ledger that three witnesses follow, two of which are enough.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph_tests::collector::Collector;
use tachograph_tests::command::{self, Verified};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::witness::Witness;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) witnesses: Vec<Witness>,
    pub(crate) directory: tempfile::TempDir,
    events: Events,
}

impl Scene {
    pub(crate) fn new(test: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new("");
        let vkey = home.data().join("ledger.vkey");
        let start = |name: &&str| Witness::start(directory.path(), name, &[&vkey]);
        let witnesses: Vec<Witness> = ["w1", "w2", "w3"].iter().map(start).collect();
        let scene = Self { home, witnesses, directory, events: Events::new(&mut Random::of_test(test)) };
        fs::write(scene.policy(), scene.policy_of("group few 2 w1 w2 w3\nquorum few\n")).unwrap();
        scene.home.configure(&scene.config());
        scene
    }

    pub(crate) fn config(&self) -> String {
        format!("{SMALL}witnesses:\n  policy: {}\n  every: 200ms\n", self.policy().display())
    }

    /// Where the policy of the collector, and of the auditor who agrees with it, is.
    pub(crate) fn policy(&self) -> PathBuf {
        self.directory.path().join("policy")
    }

    pub(crate) fn policy_of(&self, quorum: &str) -> String {
        let ledger = fs::read_to_string(self.home.data().join("ledger.vkey")).unwrap();
        let witnesses: String = self.witnesses.iter().map(Witness::line).collect();
        format!("# of this test\nlog {ledger}{witnesses}{quorum}")
    }

    pub(crate) fn write_policy(&self, name: &str, quorum: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, self.policy_of(quorum)).unwrap();
        path
    }

    /// Sends some records and waits until they are archived.
    #[track_caller]
    pub(crate) fn send(&self, collector: &Collector, count: usize) {
        let answer = export(collector.http, "/v1/traces", &request(self.events.generations(count).1));
        assert_eq!(answer.status, 200, "{}", answer.text());
        collector.wait_archived();
    }

    /// Waits until all that is archived is witnessed.
    #[track_caller]
    pub(crate) fn wait_witnessed(&self, collector: &Collector) {
        collector.wait_until("witnessed", PATIENCE, |collector| {
            let archived = collector.metric("tachograph_archived_records");
            archived > 0.0 && collector.metric("tachograph_witnessed_records") == archived
        });
        assert_eq!(collector.metric("tachograph_witnessed_lag_seconds"), 0.0);
    }

    /// Verifies the archive of `home` as an auditor with the public key and a policy of his own would.
    pub(crate) fn verify(&self, home: &Home, policy: &Path) -> Verified {
        let key = home.data().join("ledger.vkey");
        let require = "integrity,authenticity,coverage,non_equivocation";
        command::verify(&home.archive(), &[&"--key", &key, &"--policy", &policy, &"--require", &require])
    }
}

/// Everything that the report says of an axis.
pub(crate) fn reasons(verified: &Verified, axis: &str) -> String {
    verified.report["axes"][axis]["reasons"].to_string()
}
