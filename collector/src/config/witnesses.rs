//! What may stand below `witnesses` in the file.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use tachograph_ledger::Policy;
use tachograph_ledger::policy::MAX_POLICY_BYTES;

use super::quantity::Span;
use crate::outbound::Outbound;
use crate::witness::Witnesses;
use crate::witness::stage::{LONGEST_PAUSE, REQUEST_TIMEOUT};

const DEFAULT_EVERY: Duration = Duration::from_secs(10);
const LEAST_EVERY: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessesFile {
    policy: PathBuf,
    every: Option<Span>,
    authorities: Option<PathBuf>,
}

impl WitnessesFile {
    pub(super) fn check(self, problems: &mut Vec<String>) -> Option<Witnesses> {
        let before = problems.len();
        let every = self.every.map_or(DEFAULT_EVERY, |span| span.0);
        if !(LEAST_EVERY..=LONGEST_PAUSE).contains(&every) {
            problems.push(format!("witnesses.every is {every:?}; it can be 100ms to 5m"));
        }
        let outbound = Outbound::new(self.authorities.as_deref(), REQUEST_TIMEOUT)
            .map_err(|error| problems.push(format!("witnesses.authorities: {error}")));
        let policy = read(&self.policy).map_err(|problem| problems.push(format!("witnesses.policy: {problem}")));
        let witnesses = Witnesses { policy: policy.ok()?, every, outbound: outbound.ok()? };
        check_policy(&witnesses.policy, problems);
        (problems.len() == before).then_some(witnesses)
    }
}

/// A policy that can be met by asking.
fn check_policy(policy: &Policy, problems: &mut Vec<String>) {
    if !policy.asks_for_witnesses() {
        problems.push(
            "witnesses.policy asks for no witness (quorum none): name a quorum, or leave `witnesses` away".to_owned(),
        );
    }
    for witness in policy.witnesses() {
        let Some(url) = &witness.url else { continue };
        let good = url.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
        });
        if !good {
            problems.push(format!(
                "witnesses.policy: the URL of witness {} is none that begins with http:// or https:// and has no `?`",
                witness.name
            ));
        }
    }
    if !policy.is_met_by(|at| policy.witnesses()[at].url.is_some()) {
        problems.push(format!(
            "witnesses.policy: the quorum ({}) can't be met by the witnesses that have a URL: add theirs",
            policy.quorum()
        ));
    }
}

fn read(path: &Path) -> Result<Policy, String> {
    let named = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(|error| named(&error))?.is_file() {
        return Err(named(&"not a regular file"));
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| named(&error))?;
    file.take(MAX_POLICY_BYTES as u64 + 1).read_to_end(&mut text).map_err(|error| named(&error))?;
    Policy::parse(&text).map_err(|error| named(&error))
}
