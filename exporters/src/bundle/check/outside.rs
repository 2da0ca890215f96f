//! What parties outside say of a bundle's checkpoint: whoever remembered one, witnesses, time-stamp authorities.

use tachograph_ledger::{Checkpoint, KeyHistory, Policy, parse_note, sha256};

use super::records::Counted;
use super::{Check, Signed};
use crate::bundle::about::About;
use crate::bundle::{CHECKPOINT, NOT_AFTER, NOT_BEFORE, NOT_BEFORE_CHECKPOINT, WITNESSED};
use crate::timestamp::{self, Stamp, TimestampError};
use crate::verify::{Axis, accepts, tolerance};

impl Check<'_> {
    pub(super) fn compare_outside(&self, signed: Option<&Signed>, key: Option<&KeyHistory>) {
        let incomplete = |reason: String| self.collector.incomplete(Axis::NonEquivocation, reason);
        let Some((signed, key)) = signed.zip(key) else {
            return incomplete("there is no good checkpoint to compare".to_owned());
        };
        match &self.options.policy {
            Some(policy) if accepts(policy, key, self.collector) => self.witnesses(policy, &signed.note),
            Some(_) => {}
            None if self.options.checkpoints.is_empty() => {
                let hint = match self.files.get(WITNESSED) {
                    Some(_) => " (witnesses have cosigned it: give a policy)",
                    None => "",
                };
                incomplete(format!(
                    "no checkpoint from outside was given{hint}: whether others were shown the same history is not known"
                ));
            }
            None => {}
        }
        let mine = &signed.checkpoint;
        for (number, note) in self.options.checkpoints.iter().enumerate() {
            let opened = Checkpoint::open(note, key);
            if let Ok(other) = &opened {
                self.contradict(key, other.size, "somebody outside");
            }
            match opened {
                Ok(other) if other.size == mine.size && other.root == mine.root => self.collector.rests_on(
                    Axis::NonEquivocation,
                    format!("the checkpoint of {} records is the one that was remembered outside", mine.size),
                ),
                Ok(other) if other.size == mine.size => {
                    let what = format!(
                        "the bundle's checkpoint of {} records has root {}, one from outside has {}: there are two histories",
                        mine.size, mine.root, other.root
                    );
                    self.fail(Axis::NonEquivocation, CHECKPOINT, None, what);
                }
                Ok(other) => incomplete(format!(
                    "the checkpoint from outside is of {} records, the bundle's of {}: only the archive can show that one continues the other",
                    other.size, mine.size
                )),
                Err(error) => {
                    incomplete(format!("the checkpoint number {} that was given is of no use: {error}", number + 1));
                }
            }
        }
    }

    fn witnesses(&self, policy: &Policy, note: &[u8]) {
        let evaluated = parse_note(note).and_then(|note| policy.evaluate(&note));
        let found = match evaluated {
            Ok(found) => found,
            Err(error) => return self.fail(Axis::NonEquivocation, WITNESSED, None, error.to_string()),
        };
        let names: Vec<String> = found.cosigned.iter().map(|(witness, _)| witness.key.described()).collect();
        let said = format!(
            "{} of {} keys of witnesses cosigned the checkpoint ({}); the policy asks for {}",
            names.len(),
            policy.witnesses().len(),
            names.join(", "),
            policy.quorum()
        );
        match found.is_met {
            true => self.collector.rests_on(Axis::NonEquivocation, said),
            false => self.collector.incomplete(Axis::NonEquivocation, format!("UNWITNESSED: {said}")),
        }
    }

    pub(super) fn time(&self, about: &About, key: Option<&KeyHistory>, counted: &Counted) {
        let mut is_bounded = false;
        for (path, token) in self.files.iter().filter(|(path, _)| path.starts_with(NOT_AFTER)) {
            let Some(stamp) = self.stamp(path, token, self.file(CHECKPOINT)) else { continue };
            is_bounded = true;
            self.collector.rests_on(Axis::Time, format!("not later than {}, says {}", stamp.time, stamp.authority));
            let latest = stamp.time.unix_nanos().saturating_add(tolerance(&stamp));
            for (index, _) in counted.sealed.iter().filter(|(_, sealed_at)| *sealed_at > latest) {
                let what = format!("record {index} says that it was sealed after this time stamp, which covers it");
                self.fail(Axis::Time, path, Some(*index), what);
            }
        }
        if !is_bounded {
            self.collector.incomplete(Axis::Time, "no good time stamp says until when the records were there");
        }
        self.not_before(about, key, counted);
    }

    fn not_before(&self, about: &About, key: Option<&KeyHistory>, counted: &Counted) {
        let (token, data) = (self.files.get(NOT_BEFORE), self.files.get(NOT_BEFORE_CHECKPOINT));
        let (Some(token), Some(data), Some(anchor)) = (token, data, about.anchor) else {
            if token.is_some() || data.is_some() || about.anchor.is_some() {
                let what =
                    "token, its checkpoint and the record that holds its hash belong together: one of them is missing";
                self.fail(Axis::Time, NOT_BEFORE, about.anchor, what);
            }
            return self.collector.rests_on(Axis::Time, "nothing here says how much earlier they were sealed");
        };
        if counted.anchored != Some(sha256(token)) {
            let what = format!("record {anchor} does not hold the hash of this token");
            return self.fail(Axis::Time, NOT_BEFORE, Some(anchor), what);
        }
        let opened = key.map(|key| Checkpoint::open(data, key));
        if let (Some(Ok(checkpoint)), Some(key)) = (&opened, key) {
            self.contradict(key, checkpoint.size, "the bundle");
        }
        match opened {
            Some(Ok(checkpoint)) if checkpoint.size <= anchor => {}
            Some(Ok(_)) => {
                let what = "newer than the record that holds the token's hash";
                return self.fail(Axis::Time, NOT_BEFORE_CHECKPOINT, None, what);
            }
            Some(Err(error)) => return self.fail(Axis::Time, NOT_BEFORE_CHECKPOINT, None, error.to_string()),
            None => return,
        }
        let Some(stamp) = self.stamp(NOT_BEFORE, token, data) else { return };
        self.collector.rests_on(
            Axis::Time,
            format!("what stands behind record {anchor} was sealed after {}, says {}", stamp.time, stamp.authority),
        );
        let earliest = stamp.time.unix_nanos().saturating_sub(tolerance(&stamp));
        let early = |(index, sealed_at): &&(u64, u64)| *index > anchor && *sealed_at < earliest;
        for (index, _) in counted.sealed.iter().filter(early) {
            let what =
                format!("record {index} says that it was sealed before this time stamp, behind whose anchor it stands");
            self.fail(Axis::Time, NOT_BEFORE, Some(*index), what);
        }
    }

    /// What a token says, if it is good.
    fn stamp(&self, path: &str, token: &[u8], data: &[u8]) -> Option<Stamp> {
        match timestamp::verify(token, data, &self.options.timestamp_authorities) {
            Ok(stamp) if self.options.now.is_some_and(|now| now > stamp.expires) => {
                let reason = format!(
                    "the certificate of {path} has ended on {}: whoever has its old key could date back, and nothing in a bundle shows \
                     that the token is older than that end",
                    stamp.expires
                );
                self.collector.incomplete(Axis::Time, reason);
            }
            Ok(stamp) => return Some(stamp),
            Err(error @ (TimestampError::UnknownAuthority { .. } | TimestampError::Expired { .. })) => {
                self.collector.incomplete(Axis::Time, format!("{path} is {error}"));
            }
            Err(error) => self.fail(Axis::Time, path, None, error.to_string()),
        }
        None
    }
}
