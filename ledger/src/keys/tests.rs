use super::*;
use crate::chain::{Entry, Sealer};
use crate::hash::Hash;
use crate::mac::{MacKey, MacScheme};
use crate::note::{SigningKey, sign_note};
use crate::tree::{inclusion_proof, root_of};

const NAME: &str = "acme.example/ai-audit";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(NAME).unwrap(), [seed; 32])
}

/// A ledger whose first key is `key(1)`.
struct Ledger {
    sealer: Sealer,
    leaves: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
}

impl Ledger {
    fn new() -> Self {
        let sealer = Sealer::new(&key(1).public(), MacKey::initial(MacScheme::V2, [3; 32])).unwrap();
        Self { sealer, leaves: Vec::new(), bodies: Vec::new() }
    }

    fn seal(&mut self, body: String, producer: &str) -> u64 {
        let mut leaf = Vec::new();
        let entry = Entry {
            body_len: body.len() as u64,
            body_sha256: sha256(body.as_bytes()),
            event_time: 1,
            kind: "lifecycle",
            producer: Some(producer),
            producer_epoch: None,
            producer_seq: None,
            sealed_at: 1,
            span_id: None,
            trace_id: None,
        };
        let sealed = self.sealer.seal(entry, &mut leaf).unwrap();
        self.leaves.push(leaf);
        self.bodies.push(body.into_bytes());
        sealed.index
    }

    fn say(&mut self, action: &str, key: &SigningKey) -> u64 {
        self.seal(said(action, &key.public().to_line()), RECORDER)
    }

    fn fill(&mut self, count: usize) {
        for _ in 0..count {
            self.seal(r#"{"kind":"lifecycle"}"#.to_owned(), "svc");
        }
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    /// The checkpoint over all of it.
    fn checkpoint(&self, signers: &[&SigningKey]) -> String {
        let checkpoint =
            Checkpoint { origin: LedgerName::parse(NAME).unwrap(), size: self.size(), root: root_of(&self.hashes()) };
        signed(&checkpoint, signers)
    }

    fn link(&self, index: u64, signers: &[&SigningKey]) -> String {
        let hashes = inclusion_proof(&self.hashes(), index, self.size()).unwrap();
        let extra = Some(self.leaves[index as usize].clone());
        let proof = TlogProof { extra, index, hashes, checkpoint: self.checkpoint(signers) };
        encode_link(&self.bodies[index as usize], &proof)
    }
}

fn said(action: &str, vkey: &str) -> String {
    let (salt, time) = ("00".repeat(16), "1970-01-01T00:00:00.000000001Z");
    let members =
        format!(r#""event_id":"01a0c450-6c7b-7000-8000-000000000001","timestamp":"{time}","kind":"lifecycle""#);
    let said = format!(r#""action_type":"{action}","details":{{"vkey":"{vkey}"}},"producer":"{RECORDER}""#);
    format!(r#"{{"v":"1","salt":"{salt}","observed_at":"{time}",{members},{said}}}"#)
}

fn signed(checkpoint: &Checkpoint, signers: &[&SigningKey]) -> String {
    let notes = signers.iter().map(|key| checkpoint.sign(*key).unwrap());
    notes.reduce(|note, next| note + next.rsplit_once("\n\n").unwrap().1).unwrap()
}

fn at(size: u64) -> Checkpoint {
    Checkpoint { origin: LedgerName::parse(NAME).unwrap(), size, root: sha256(b"root") }
}

#[track_caller]
fn opens(history: &KeyHistory, size: u64, signers: &[&SigningKey], good: bool) {
    let opened = Checkpoint::open(signed(&at(size), signers).as_bytes(), history);
    assert_eq!(opened.is_ok(), good, "{size}: {opened:?}");
}

/// Rotated from key 1 to key 2: announced in record 3 (under 5 records), key 1 retired in record 8 (under 10).
fn rotated() -> (Ledger, KeyHistory, [String; 2]) {
    let mut ledger = Ledger::new();
    let mut history = KeyHistory::new(key(1).public());
    ledger.fill(3);
    let announced = ledger.say(KEY_ANNOUNCE, &key(2));
    ledger.fill(1);
    let first = ledger.link(announced, &[&key(1)]);
    assert_eq!(history.extend(announced, first.as_bytes()).unwrap().change, KeyChange::Announce(key(2).public()));
    ledger.fill(3);
    let retired = ledger.say(KEY_RETIRE, &key(1));
    ledger.fill(1);
    let second = ledger.link(retired, &[&key(1), &key(2)]);
    assert_eq!(history.extend(retired, second.as_bytes()).unwrap().change, KeyChange::Retire(key(1).public()));
    (ledger, history, [first, second])
}

#[test]
fn each_key_signs_in_its_time_and_both_in_between() {
    let (_, history, _) = rotated();
    let (old, new) = (key(1), key(2));
    for (size, signers, good) in [
        (5, vec![&old], true),
        (5, vec![&new], false),
        (6, vec![&old, &new], true),
        (6, vec![&new, &old], true),
        (6, vec![&old], false),
        (6, vec![&new], false),
        (10, vec![&old, &new], true),
        (10, vec![&new], false),
        (11, vec![&new], true),
        (11, vec![&old, &new], true),
        (11, vec![&old], false),
        (u64::MAX, vec![&new], true),
    ] {
        opens(&history, size, &signers, good);
    }
    assert_eq!(history.present().collect::<Vec<_>>(), [&new.public()]);
    assert_eq!(history.keys().count(), 2);
    assert_eq!(history.valid_above(&old.public()), Some(0));
    assert_eq!(history.valid_above(&new.public()), Some(5));
    assert_eq!(history.valid_above(&key(3).public()), None);
}

/// A link is over the first checkpoint that has its record, so that no other one lies between.
#[test]
fn a_checkpoint_between_a_record_and_its_link_contradicts_it() {
    let (_, history, _) = rotated();
    assert_eq!(
        history.links().iter().map(|link| (link.index, link.checkpoint.size)).collect::<Vec<_>>(),
        [(3, 5), (8, 10)]
    );
    for size in 0..12 {
        let contradicted = history.contradicted_by(size).map(|link| link.index);
        let expected = match size {
            4 => Some(3),
            9 => Some(8),
            _ => None,
        };
        assert_eq!(contradicted, expected, "{size}");
    }
}

#[test]
fn a_link_that_the_old_key_did_not_sign_leads_nowhere() {
    let mut ledger = Ledger::new();
    ledger.fill(2);
    let announced = ledger.say(KEY_ANNOUNCE, &key(66));
    let mut history = KeyHistory::new(key(1).public());
    let before = history.clone();
    // By whoever has only the key that he announces.
    for signers in [vec![key(66)], vec![key(66), key(65)]] {
        let link = ledger.link(announced, &signers.iter().collect::<Vec<_>>());
        assert!(matches!(history.extend(announced, link.as_bytes()), Err(LinkError::Unsigned(_))));
    }
    // With a line that claims to be the old key's.
    let link = ledger.link(announced, &[&key(66)]);
    let fake = sign_note("x\n", &key(1)).unwrap();
    let fake = format!("{link}{}", fake.rsplit_once("\n\n").unwrap().1);
    assert!(matches!(history.extend(announced, fake.as_bytes()), Err(LinkError::Unsigned(_))));
    assert_eq!(history, before);
}

#[test]
fn in_an_overlap_a_link_needs_both_keys() {
    let (ledger, _, [first, second]) = rotated();
    let mut history = KeyHistory::new(key(1).public());
    assert!(history.extend(8, second.as_bytes()).is_err(), "not before the link before");
    history.extend(3, first.as_bytes()).unwrap();
    for one in [key(1), key(2)] {
        assert!(matches!(history.extend(8, ledger.link(8, &[&one]).as_bytes()), Err(LinkError::Unsigned(_))));
    }
    history.extend(8, second.as_bytes()).unwrap();
    assert!(history.extend(8, second.as_bytes()).is_err(), "once");
}

#[test]
fn a_proof_counts_for_its_record_body_and_tree_alone() {
    let (ledger, _, [first, _]) = rotated();
    let refused = |index: u64, link: &str| KeyHistory::new(key(1).public()).extend(index, link.as_bytes()).unwrap_err();
    assert!(matches!(refused(4, &first), LinkError::Record { .. }), "another record");
    let body = STANDARD.encode(said(KEY_ANNOUNCE, &key(66).public().to_line()));
    let lines: Vec<&str> = first.splitn(3, '\n').collect();
    assert!(matches!(refused(3, &format!("{}\n{body}\n{}", lines[0], lines[2])), LinkError::Record { .. }), "a body");
    // A checkpoint of another tree, well signed.
    let (proof, _) = first.rsplit_once("\n\n").unwrap().0.rsplit_once("\n\n").unwrap();
    let other = format!("{proof}\n\n{}", signed(&at(5), &[&key(1)]));
    assert!(matches!(refused(3, &other), LinkError::Elsewhere(_)));
    for broken in ["", "tachograph.dev/key-link/v1\n", &first.replacen("v1", "v2", 1), &first[..first.len() / 2]] {
        assert!(KeyHistory::new(key(1).public()).extend(3, broken.as_bytes()).is_err());
    }
    assert!(matches!(refused(3, &"x".repeat(MAX_LINK_BYTES as usize + 1)), LinkError::Form(_)));
    // Of another ledger's record.
    let foreign = SigningKey::from_seed(LedgerName::parse("acme.example/other").unwrap(), [1; 32]);
    assert!(KeyHistory::new(foreign.public()).extend(3, ledger.link(3, &[&key(1)]).as_bytes()).is_err());
}

#[test]
fn only_the_recorder_itself_speaks_of_keys() {
    for (producer_of_leaf, body) in [
        ("svc", said(KEY_ANNOUNCE, &key(2).public().to_line())),
        (RECORDER, said(KEY_ANNOUNCE, &key(2).public().to_line()).replace(RECORDER, "svc")),
        (RECORDER, said("hold.add", &key(2).public().to_line())),
        (RECORDER, said(KEY_ANNOUNCE, "no key")),
        (RECORDER, said(KEY_ANNOUNCE, &format!(" {}", key(2).public().to_line()))),
    ] {
        let mut ledger = Ledger::new();
        let index = ledger.seal(body, producer_of_leaf);
        let link = ledger.link(index, &[&key(1)]);
        let refused = KeyHistory::new(key(1).public()).extend(index, link.as_bytes()).unwrap_err();
        assert!(matches!(refused, LinkError::Record { .. }), "{refused}");
    }
}

#[test]
fn a_ledger_has_one_key_or_two_and_none_twice() {
    let history = KeyHistory::new(key(1).public());
    let announce = |seed: u8| KeyChange::Announce(key(seed).public());
    let retire = |seed: u8| KeyChange::Retire(key(seed).public());
    assert_eq!(history.allows(&announce(2)), Ok(()));
    assert!(history.allows(&announce(1)).is_err());
    assert!(history.allows(&retire(1)).is_err(), "it would be left without any");
    let (ledger, rotated, [first, _]) = rotated();
    assert!(rotated.allows(&announce(1)).is_err(), "a retired key does not come back");
    assert!(rotated.allows(&retire(1)).is_err());
    let mut overlap = KeyHistory::new(key(1).public());
    overlap.extend(3, first.as_bytes()).unwrap();
    assert!(overlap.allows(&announce(3)).is_err(), "two sign already");
    // The new one turned out to be no good.
    assert_eq!(overlap.allows(&retire(2)), Ok(()));
    drop(ledger);
}

#[test]
fn a_change_must_lie_behind_the_link_before() {
    let mut ledger = Ledger::new();
    let announced = ledger.say(KEY_ANNOUNCE, &key(2));
    let retired = ledger.say(KEY_RETIRE, &key(1));
    let mut history = KeyHistory::new(key(1).public());
    history.extend(announced, ledger.link(announced, &[&key(1)]).as_bytes()).unwrap();
    ledger.fill(1);
    let link = ledger.link(retired, &[&key(1), &key(2)]);
    assert!(matches!(history.extend(retired, link.as_bytes()), Err(LinkError::Order { .. })));
}
