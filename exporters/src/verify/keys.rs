//! The ledger's keys: from the one that the auditor trusts to those that signed.
//!
//! The archive brings the links between keys along, and each proves itself from the keys before it. What can be wrong beyond that: a link
//! that leads nowhere; one that was left out, which the record shows that should have it; and one whose tree is not this history's.

use std::collections::BTreeMap;

use tachograph_ledger::keys::{Link, MAX_LINKS};
use tachograph_ledger::{KeyChange, KeyHistory, LedgerName, VerifyingKey};

use super::checkpoints::Remembered;
use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::store::{Store, StoreError};
use crate::archive::{Identity, Links, paths};

/// What records say of keys: by index, in words, and of which ledger's, if they name one.
#[derive(Default)]
pub(crate) struct Said(BTreeMap<u64, (String, Option<LedgerName>)>);

impl Said {
    /// Takes what the recorder says in record `index`.
    pub(crate) fn hear(&mut self, index: u64, body: &[u8]) {
        let (what, of) = match KeyChange::of_body(body) {
            Ok(Some(KeyChange::Announce(key))) => (format!("announces the key {}", key.to_line()), Some(key)),
            Ok(Some(KeyChange::Retire(key))) => (format!("retires the key {}", key.to_line()), Some(key)),
            Ok(None) => return,
            Err(_) => ("speaks of a key that is none".to_owned(), None),
        };
        // A ledger can't have more links; one that lacks its link is reported all the same.
        if self.0.len() <= MAX_LINKS {
            self.0.insert(index, (what, of.map(|key| key.name().clone())));
        }
    }
}

/// Why a link is false beside a checkpoint of `size` records, which `by` has.
pub(crate) fn put_off(link: &Link, size: u64, by: &str) -> String {
    format!(
        "the link of record {} was signed over {} records, but {by} has a checkpoint of {size}: the collector signs it over the first checkpoint with that record, so that somebody with the keys before put it off, or signed that checkpoint afterwards",
        link.index, link.checkpoint.size
    )
}

/// The keys that an archive is judged by.
pub(crate) struct Trusted {
    links: Links,
    /// What the auditor gave, if it is not the ledger's first key, and how many records a tree has at least that it did not sign.
    later: Option<(VerifyingKey, u64)>,
}

/// Links that a checkpoint from elsewhere contradicts: their index, and why.
pub(crate) struct PutOff(Vec<(u64, String)>);

impl Trusted {
    /// From the key that was `given`, or else the one that the archive names; `None` if there is neither.
    pub(crate) fn read(
        store: &dyn Store,
        given: Option<&VerifyingKey>,
        identity: Option<&Identity>,
        collector: &Collector,
    ) -> Result<Option<Self>, StoreError> {
        let Some(first) = identity.map(|identity| &identity.vkey).or(given) else { return Ok(None) };
        let mut links = Links::read(store, first.clone())?;
        let mut later = None;
        match (given, identity) {
            (None, _) => {
                let reason = "the key came from the archive itself, where a forger would put his own: pass the ledger's key from another source";
                collector.incomplete(Axis::Authenticity, reason);
            }
            (Some(key), Some(identity)) if key != first => match links.history.valid_above(key) {
                Some(above) => later = Some((key.clone(), above)),
                None => {
                    if let Err(error) = identity.clone().check_key(key) {
                        collector.fail(Axis::Authenticity, Finding::of_object(paths::LEDGER, error.to_string()));
                    }
                    links = Links::read(store, key.clone())?;
                }
            },
            (Some(_), _) => {}
        }
        for (path, what) in &links.bad {
            collector.fail(Axis::Authenticity, Finding::of_object(path, what.clone()));
        }
        Ok(Some(Self { links, later }))
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &KeyHistory {
        &self.links.history
    }

    /// The one that all rests on.
    pub(crate) fn root(&self) -> &VerifyingKey {
        self.later.as_ref().map_or(self.keys().first(), |(key, _)| key)
    }

    /// Holds the links against what was seen of the ledger elsewhere.
    pub(crate) fn compare_outside(&self, outside: &Remembered) -> PutOff {
        let contradicted = outside.iter().filter_map(|(size, seen)| {
            let (link, seen) = self.keys().contradicted_by(*size).zip(seen.first())?;
            Some((link.index, put_off(link, *size, seen.by)))
        });
        PutOff(contradicted.collect())
    }

    /// Says what follows from links and records. All bodies must have been heard, and checkpoints over `covered` records have been found good.
    pub(crate) fn judge(&self, said: &Said, history: &History, covered: u64, put_off: &PutOff, collector: &Collector) {
        for (index, link) in &self.links.good {
            self.compare(*index, link.checkpoint.size, link.checkpoint.root, history, collector);
        }
        let newest = history.commits.last().map_or(0, |commit| commit.first);
        // What `reseal` brought along of another ledger's keys is of no account here: nothing can follow from it.
        let is_ours = |of: &Option<LedgerName>| of.as_ref().is_none_or(|name| name == self.keys().first().name());
        let unlinked = said.0.iter().filter(|(index, (_, of))| !self.links.good.contains_key(index) && is_ours(of));
        for (index, (what, _)) in unlinked {
            let path = paths::key_link(*index);
            if *index >= newest {
                let reason = format!(
                    "record {index} {what}, and is not linked yet: the collector does so before its next commit"
                );
                collector.incomplete(Axis::Authenticity, reason);
            } else {
                let what = format!(
                    "record {index} {what}, but this link to it is missing or leads nowhere: it was withheld, or the record is not one that the keys before allow"
                );
                collector.fail(Axis::Authenticity, Finding { index: Some(*index), ..Finding::of_object(path, what) });
            }
        }
        let is_vouched_for = self.later.as_ref().is_some_and(|(_, above)| covered > *above);
        for (index, what) in &put_off.0 {
            // The key that the auditor trusts signed all of this: what those before it could still sign is of no account.
            if is_vouched_for {
                collector.rests_on(Axis::Authenticity, format!("the key that was given vouches for all; {what}"));
            } else {
                let path = paths::key_link(*index);
                let finding = Finding { index: Some(*index), ..Finding::of_object(path, what.clone()) };
                collector.fail(Axis::Authenticity, finding);
            }
        }
        if let Some((key, above)) = &self.later
            && !is_vouched_for
        {
            let reason = format!(
                "the key that was given ({}) signs trees of more than {above} records, and no such checkpoint is here: nothing shows yet that this is its ledger",
                key.to_line()
            );
            collector.incomplete(Axis::Authenticity, reason);
        }
        let count = self.keys().keys().count();
        if count > 1 {
            let reason = format!(
                "the ledger has had {count} keys, each linked to the one before by records that the keys before signed"
            );
            collector.rests_on(Axis::Authenticity, reason);
        }
    }

    /// Whether the tree of a link is one of this history. Its keys signed it, so that another one is a fork.
    fn compare(&self, index: u64, size: u64, root: tachograph_ledger::Hash, history: &History, collector: &Collector) {
        let path = paths::key_link(index);
        let fail = |axis, what: String| {
            collector.fail(axis, Finding { index: Some(index), ..Finding::of_object(&path, what) });
        };
        match history.ending_at(size) {
            // With an earlier key alone somebody could else put off the moment from which the later one must sign too.
            Some(commit) if commit.root == root && commit.first > index => fail(
                Axis::Authenticity,
                format!(
                    "the link was signed over {size} records, behind the commit that holds record {index}: the collector signs it over that one, and from there on the new key must sign, or the old one not"
                ),
            ),
            Some(commit) if commit.root == root => {}
            Some(commit) => fail(
                Axis::NonEquivocation,
                format!(
                    "a fork: the link was signed over {size} records with root {root}, but the commit that ends there has {}",
                    commit.root
                ),
            ),
            None => fail(Axis::Integrity, format!("the link was signed over {size} records, and no commit ends there")),
        }
    }
}
