//! Any history, beside a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Look up and, unless it is a duplicate, seal: id, content.
    Seal(u64, u64),
    Commit,
    Rollback,
    Sync,
    Restart(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..24_u64, 0..3_u64).prop_map(|(id, content)| Step::Seal(id, content)),
        4 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Sync),
        1 => proptest::option::of(any::<u64>()).prop_map(Step::Restart),
    ]
}

fn id(of: u64) -> EventId {
    if of.is_multiple_of(3) { untimed(of) } else { timed(of) }
}

#[derive(Default)]
struct Model {
    /// All records sealed: id and content by index.
    sealed: BTreeMap<u64, (u64, u64)>,
    committed: u64,
}

impl Model {
    fn verdict(&self, id: u64, content: u64) -> Verdict {
        let of_id = || self.sealed.iter().filter(|(_, (known, _))| *known == id);
        let same = of_id().find(|(_, (_, known))| *known == content);
        match (same, of_id().next()) {
            (Some((index, _)), _) => Verdict::Duplicate { index: *index },
            (None, Some((first_index, _))) => Verdict::Conflict { first_index: *first_index },
            (None, None) => Verdict::New,
        }
    }

    fn rollback(&mut self) {
        self.sealed.retain(|index, _| *index < self.committed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_gives_the_verdicts_of_a_plain_map(steps in proptest::collection::vec(step(), 1..200)) {
        let disk = MemoryDisk::new();
        let mut dedup = open(&disk);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Seal(of, what) => {
                    let verdict = dedup.lookup(&id(of), &content(what)).unwrap();
                    prop_assert_eq!(verdict, model.verdict(of, what));
                    if !matches!(verdict, Verdict::Duplicate { .. }) {
                        let index = model.sealed.len() as u64;
                        dedup.insert(&id(of), &content(what), index, index).unwrap();
                        model.sealed.insert(index, (of, what));
                    }
                }
                Step::Commit => {
                    dedup.commit_staged();
                    dedup.flush().unwrap();
                    model.committed = model.sealed.len() as u64;
                }
                Step::Rollback => {
                    dedup.rollback_staged();
                    model.rollback();
                }
                Step::Sync => dedup.sync().unwrap(),
                Step::Restart(seed) => {
                    drop(dedup);
                    disk.crash(seed.map_or(Crash::Power, Crash::Torn));
                    dedup = open(&disk);
                    model.rollback();
                    let next = dedup.highest_index().map_or(0, |highest| highest + 1);
                    prop_assert!(next <= model.committed, "it is never ahead of the journal");
                    for (index, (of, what)) in model.sealed.range(next..) {
                        dedup.insert(&id(*of), &content(*what), *index, *index).unwrap();
                    }
                    dedup.commit_staged();
                    dedup.flush().unwrap();
                }
            }
            prop_assert_eq!(dedup.entries(), model.sealed.len() as u64);
        }
        for of in 0..24 {
            for what in 0..4 {
                prop_assert_eq!(dedup.lookup(&id(of), &content(what)).unwrap(), model.verdict(of, what));
            }
        }
    }
}
