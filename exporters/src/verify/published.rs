//! MAC keys that the ledger publishes: with them everybody checks the MACs of epochs that are over.
//!
//! A key stands in a record behind its epoch, and bodies are checked by other threads than leaves; so the MACs of published epochs are
//! checked in a second walk, along two columns of the leaves alone. A key proves itself: it fits the MACs or it does not. What a good one
//! shows is that whoever published it had it when the records were sealed, and not more: from its publication on anybody can make such
//! MACs, so they say nothing against what came later.

use std::collections::BTreeMap;

use serde::Deserialize;
use tachograph_ledger::{Commit, EpochKey, Hash, LedgerName, Object, ObjectKind, epoch_of, indexes_of};
use tachograph_record::Hex;

use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::paths;
use crate::archive::reader::{LeavesObject, ReadError};
use crate::archive::store::Store;

/// Action of the record that publishes the MAC key of an epoch that is over.
pub const MAC_PUBLISHED: &str = "mac.published";

/// Different keys for one epoch that are looked at: one of two is false, whatever more there are.
const MAX_KEYS: usize = 2;

/// The keys, by epoch.
#[derive(Default)]
pub(crate) struct Published(BTreeMap<u64, Vec<Key>>);

struct Key {
    key: EpochKey,
    /// The first record that publishes it.
    by: u64,
    good: u64,
    bad: u64,
    /// Where the first MAC stands that it does not fit.
    first_bad: Option<(String, u64, u64)>,
}

#[derive(Deserialize)]
struct Details {
    epoch: String,
    first: String,
    key: String,
    last: String,
    ledger: String,
    scheme: String,
}

impl Published {
    /// Takes what record `index` of a ledger of `size` says.
    pub(crate) fn hear(&mut self, index: u64, details: &str, ledger: &LedgerName, size: u64, collector: &Collector) {
        let fail = |what: String| {
            collector.fail(Axis::Authenticity, Finding { index: Some(index), ..Finding::of_object("leaves", what) });
        };
        let Ok(details) = serde_json::from_str::<Details>(details) else {
            return fail("publishes a MAC key, but not in the form of such a statement".to_owned());
        };
        // Among what was sealed anew here may be what another ledger said of its own MACs.
        if details.ledger != ledger.as_str() {
            return;
        }
        if details.scheme != "2" {
            let reason =
                format!("record {index} publishes a MAC key of scheme {:?}, which is not known here", details.scheme);
            return collector.incomplete(Axis::Authenticity, reason);
        }
        let epoch = details.epoch.parse().ok().filter(|epoch: &u64| epoch.to_string() == details.epoch);
        let indexes = epoch.and_then(indexes_of);
        let stated = indexes.map(|(first, last)| (first.to_string(), last.to_string()));
        let (Some(epoch), Some((_, last)), Some(Hex(key))) = (epoch, indexes, Hex::<32>::parse(&details.key)) else {
            return fail("publishes a MAC key, but for no epoch that there is".to_owned());
        };
        if stated != Some((details.first, details.last)) {
            return fail(format!("publishes a MAC key of epoch {epoch}, but for other records than that epoch's"));
        }
        if index <= last || last >= size {
            return fail(format!(
                "publishes the MAC key of epoch {epoch} before that was over: whoever read it could make MACs of records up to {last}"
            ));
        }
        let keys = self.0.entry(epoch).or_default();
        if let Some(known) = keys.iter_mut().find(|known| *known.key.expose() == key) {
            known.by = known.by.min(index);
        } else if keys.len() < MAX_KEYS {
            keys.push(Key { key: EpochKey::at(epoch, key), by: index, good: 0, bad: 0, first_bad: None });
        }
    }

    /// Checks the MACs of all published epochs. Gives how many epochs those are, and the MACs that were found good.
    pub(crate) fn check(
        mut self,
        store: &dyn Store,
        history: &History,
        ledger: &LedgerName,
        escrowed: bool,
        collector: &Collector,
    ) -> (u64, u64) {
        for commit in &history.commits {
            self.check_segment(store, commit, ledger, collector);
        }
        let (mut epochs, mut macs) = (0, 0);
        for (epoch, keys) in &self.0 {
            epochs += 1;
            macs += keys.iter().map(|key| key.good).max().unwrap_or(0);
            keys.iter().for_each(|key| key.judge(*epoch, collector));
        }
        let rest = history.size() - macs;
        let said = match (escrowed, macs) {
            (true, 0) => "the records' MACs were checked too".to_owned(),
            (true, _) => format!(
                "the records' MACs were checked too, those of {macs} also with the keys that the ledger publishes"
            ),
            (false, 0) => {
                "the records' MACs were not checked, since no MAC key was given; the signed commits cover them"
                    .to_owned()
            }
            (false, _) => format!(
                "the MACs of {macs} records, in {epochs} epochs whose keys the ledger publishes, were checked with those; those of the other {rest} \
                 were not, since no MAC key was given; the signed commits cover them"
            ),
        };
        collector.rests_on(Axis::Authenticity, said);
        (epochs, macs)
    }

    fn check_segment(&mut self, store: &dyn Store, commit: &Commit, ledger: &LedgerName, collector: &Collector) {
        let epochs = epoch_of(commit.first)..=epoch_of(commit.end() - 1);
        if self.0.range(epochs).next().is_none() {
            return;
        }
        let leaves = commit.objects.iter().find(|object| object.kind == ObjectKind::Leaves);
        let Some(object) = leaves else { return };
        // What is wrong with the object was said when it was walked; here it must not be passed over in silence.
        if let Err(error) = self.check_object(store, commit, object, ledger) {
            collector.incomplete(Axis::Authenticity, format!("the MACs in {} were not checked: {error}", object.path));
        }
    }

    fn check_object(
        &mut self,
        store: &dyn Store,
        commit: &Commit,
        object: &Object,
        ledger: &LedgerName,
    ) -> Result<(), ReadError> {
        let leaves = LeavesObject::open(store, object)?;
        let mut row = 0;
        for group in 0..leaves.group_count() {
            for (hash, mac) in leaves.macs(group)? {
                let index = commit.first + row;
                let keys = self.0.get_mut(&epoch_of(index));
                keys.into_iter().flatten().for_each(|key| key.take(ledger, &object.path, row, index, &hash, &mac));
                row += 1;
            }
        }
        Ok(())
    }
}

impl Key {
    fn take(&mut self, ledger: &LedgerName, path: &str, row: u64, index: u64, hash: &Hash, mac: &[u8; 32]) {
        if self.key.verify(ledger, index, hash, mac).is_ok() {
            self.good += 1;
        } else {
            self.bad += 1;
            self.first_bad.get_or_insert_with(|| (path.to_owned(), row, index));
        }
    }

    fn judge(&self, epoch: u64, collector: &Collector) {
        let Self { by, good, bad, .. } = self;
        let Some((path, row, index)) = &self.first_bad else { return };
        let what = if *good == 0 {
            format!(
                "the MAC key that record {by} publishes for epoch {epoch} fits none of its MACs: it is not the one that they were made with"
            )
        } else {
            format!(
                "the MAC does not fit the key that record {by} publishes for epoch {epoch}, as {good} others do: the record was not sealed by the holder of that key \
                 ({bad} such in this epoch)"
            )
        };
        let finding = match good {
            0 => Finding { index: Some(*by), ..Finding::of_object(paths::LEAVES, what) },
            _ => Finding::of_row(path, *row, *index, what),
        };
        collector.fail(Axis::Authenticity, finding);
    }
}
