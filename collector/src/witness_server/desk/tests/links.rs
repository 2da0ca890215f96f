//! Ledgers that change their key.

use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE, encode_link};
use tachograph_ledger::{Entry, MacKey, MacScheme, Sealer, TlogProof, inclusion_proof, leaf_hash};

use super::*;

const NAME: &str = "acme.example/rotated";
const TIME: &str = "1970-01-01T00:00:00.000000001Z";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(NAME).unwrap(), [seed; 32])
}

/// 20 records: record 7 announces key 2, record 13 retires key 1.
struct Rotated {
    leaves: Vec<Vec<u8>>,
    bodies: Vec<String>,
}

impl Rotated {
    fn new() -> Self {
        let mut sealer = Sealer::new(&key(1).public(), MacKey::initial(MacScheme::V2, [3; 32])).unwrap();
        let (mut leaves, mut bodies) = (Vec::new(), Vec::new());
        for index in 0..20 {
            let said = match index {
                7 => (KEY_ANNOUNCE, key(2)),
                13 => (KEY_RETIRE, key(1)),
                _ => ("collector.start", key(1)),
            };
            let members = format!(r#""event_id":"01a0c450-6c7b-7000-8000-{index:012}","timestamp":"{TIME}""#);
            let (action, vkey) = (said.0, said.1.public().to_line());
            let told = format!(r#""kind":"lifecycle","action_type":"{action}","details":{{"vkey":"{vkey}"}}"#);
            let body = format!(
                r#"{{"v":"1","salt":"{}","observed_at":"{TIME}",{members},{told},"producer":"tachograph-collector"}}"#,
                "00".repeat(16)
            );
            let mut leaf = Vec::new();
            let entry = Entry {
                body_len: body.len() as u64,
                body_sha256: sha256(body.as_bytes()),
                event_time: 1,
                kind: "lifecycle",
                producer: Some("tachograph-collector"),
                producer_epoch: None,
                producer_seq: None,
                sealed_at: 1,
                span_id: None,
                trace_id: None,
            };
            sealer.seal(entry, &mut leaf).unwrap();
            leaves.push(leaf);
            bodies.push(body);
        }
        Self { leaves, bodies }
    }

    fn hashes(&self, size: u64) -> Vec<Hash> {
        self.leaves[..size as usize].iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    fn checkpoint(&self, size: u64, seeds: &[u8]) -> String {
        let checkpoint = Checkpoint { origin: key(1).name().clone(), size, root: root_of(&self.hashes(size)) };
        let signers: Vec<Arc<dyn tachograph_ledger::Signer>> =
            seeds.iter().map(|seed| Arc::new(key(*seed)) as Arc<dyn tachograph_ledger::Signer>).collect();
        checkpoint.sign_by(&signers).unwrap()
    }

    fn request(&self, old: u64, new: u64, seeds: &[u8]) -> String {
        let proof = consistency_proof(&self.hashes(new), old, new).unwrap();
        AddCheckpoint { old, proof, checkpoint: &self.checkpoint(new, seeds) }.encode()
    }

    /// The link of a record over `size` records.
    fn link(&self, index: u64, size: u64, seeds: &[u8]) -> String {
        let hashes = inclusion_proof(&self.hashes(size), index, size).unwrap();
        let extra = Some(self.leaves[index as usize].clone());
        let proof = TlogProof { extra, index, hashes, checkpoint: self.checkpoint(size, seeds) };
        encode_link(self.bodies[index as usize].as_bytes(), &proof)
    }
}

/// A witness that follows it by its first key.
fn following() -> (Scene, Rotated) {
    let scene = Scene::new();
    assert!(scene.dir().add(&key(1).public()).unwrap());
    (scene, Rotated::new())
}

fn size_of(scene: &Scene) -> u64 {
    scene.dir().follows(&origin_hash(NAME)).unwrap().unwrap().size
}

#[test]
fn a_running_witness_takes_a_link_at_the_next_request() {
    let (scene, ledger) = following();
    let desk = scene.desk();
    assert_eq!(status(&desk, &ledger.request(0, 8, &[1])), 200);
    // It knows the first key alone, and both sign.
    assert_eq!(status(&desk, &ledger.request(8, 10, &[1, 2])), 200);
    assert!(scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap());
    assert!(!scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap());
    // From here on one of them is not enough.
    for one in [1, 2] {
        assert_eq!(status(&desk, &ledger.request(10, 12, &[one])), 403, "{one}");
    }
    assert_eq!(status(&desk, &ledger.request(10, 12, &[1, 2])), 200);
    assert!(scene.dir().link(&key(1).public(), ledger.link(13, 14, &[1, 2]).as_bytes()).unwrap());
    assert_eq!(status(&desk, &ledger.request(12, 14, &[1])), 403);
    assert_eq!(status(&desk, &ledger.request(12, 14, &[1, 2])), 200);
    assert_eq!(status(&desk, &ledger.request(14, 16, &[1])), 403);
    assert_eq!(status(&desk, &ledger.request(14, 16, &[2])), 200);
    assert_eq!(size_of(&scene), 16);
    assert_eq!(scene.counts(), (0, 0));
}

#[test]
fn a_witness_that_starts_after_a_link_goes_on() {
    let (scene, ledger) = following();
    // What it cosigned last has the old key's signature alone, or both, or the new one's: a start takes each as its own.
    assert_eq!(status(&scene.desk(), &ledger.request(0, 8, &[1])), 200);
    assert!(scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap());
    for (old, new, seeds, thief) in [(8, 10, &[1, 2][..], &[1][..]), (10, 14, &[1, 2], &[2]), (14, 16, &[2], &[1])] {
        let desk = scene.desk();
        assert_eq!((desk.count(), size_of(&scene)), (2, old));
        assert_eq!(status(&desk, &ledger.request(old, new, thief)), 403, "{new}");
        assert_eq!(status(&desk, &ledger.request(old, new, seeds)), 200, "{new}");
        if new == 14 {
            assert!(scene.dir().link(&key(1).public(), ledger.link(13, 14, &[1, 2]).as_bytes()).unwrap());
        }
    }
    assert_eq!(status(&scene.desk(), &ledger.request(16, 18, &[2])), 200);
}

/// The link is over the first checkpoint with its record. A witness that has seen an earlier one knows better.
#[test]
fn a_link_that_was_put_off_is_not_taken_by_who_saw_more() {
    let (scene, ledger) = following();
    assert_eq!(status(&scene.desk(), &ledger.request(0, 8, &[1])), 200);
    let late = ledger.link(7, 11, &[1]);
    let refused = scene.dir().link(&key(1).public(), late.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("somebody with the key before put it off"), "{refused}");
    // Nothing of it was kept.
    assert!(scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap());
}

/// A checkpoint of `size` records with a root of nothing, as somebody makes it who has these keys.
fn forged(size: u64, seeds: &[u8]) -> String {
    let mut ledger = Rotated::new();
    ledger.leaves[0] = b"another".to_vec();
    AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: &ledger.checkpoint(size, seeds) }.encode()
}

/// Below a link the keys before it are valid for ever: whoever has the first one, long retired, could make a new witness vouch for a
/// history of their own, which the ledger's own then does not continue.
#[test]
fn a_retired_key_has_nothing_cosigned_below_the_newest_link() {
    let (scene, ledger) = following();
    for link in [ledger.link(7, 8, &[1]), ledger.link(13, 14, &[1, 2])] {
        assert!(scene.dir().link(&key(1).public(), link.as_bytes()).unwrap());
    }
    let desk = scene.desk();
    for (size, seeds) in [(0, &[1][..]), (5, &[1]), (8, &[1]), (10, &[1, 2])] {
        let answer = desk.add_checkpoint(forged(size, seeds).as_bytes()).unwrap();
        // Of 8 records there is a link too, with another root.
        let expected = if size == 8 {
            (422, "change of keys in record 7")
        } else {
            (403, "change of keys in record 13 is over 14")
        };
        assert!(answer.status == expected.0 && answer.body.contains(expected.1), "{size}: {answer:?}");
        assert!(answer.body.len() <= 200, "the collector's log has it whole");
    }
    // Its own too: there the ledger is no more.
    assert_eq!(status(&desk, &ledger.request(0, 10, &[1, 2])), 403);
    assert_eq!((size_of(&scene), scene.counts()), (0, (1, 0)));
    // At the link's size its root is the only one; another is a fork, and kept.
    assert_eq!(status(&desk, &forged(14, &[1, 2])), 422);
    assert_eq!((size_of(&scene), scene.counts()), (0, (2, 0)));
    // The ledger's first contact with this witness: there, or behind it.
    assert_eq!(status(&desk, &ledger.request(0, 14, &[1, 2])), 200);
    assert_eq!(status(&desk, &ledger.request(14, 16, &[2])), 200);
    let (scene, _) = following();
    for link in [ledger.link(7, 8, &[1]), ledger.link(13, 14, &[1, 2])] {
        assert!(scene.dir().link(&key(1).public(), link.as_bytes()).unwrap());
    }
    assert_eq!(status(&scene.desk(), &ledger.request(0, 16, &[2])), 200);
}

/// The first checkpoint with the link's record in it is the link's: there is none between the two.
#[test]
fn a_running_witness_cosigns_nothing_between_a_link_s_record_and_its_checkpoint() {
    let (scene, ledger) = following();
    let desk = scene.desk();
    assert_eq!(status(&desk, &ledger.request(0, 6, &[1])), 200);
    assert!(scene.dir().link(&key(1).public(), ledger.link(7, 11, &[1]).as_bytes()).unwrap());
    for size in [6, 7, 8, 10] {
        let answer = desk.add_checkpoint(ledger.request(6, size, &[1]).as_bytes()).unwrap();
        assert!(answer.status == 403 && answer.body.contains("is over 11"), "{size}: {answer:?}");
    }
    // Who was rolled back to there is told where this witness stands.
    assert_eq!(status(&desk, &ledger.request(0, 4, &[1])), 409);
    assert_eq!(status(&desk, &ledger.request(6, 11, &[1])), 200);
    assert_eq!(status(&desk, &ledger.request(11, 13, &[1, 2])), 200);
    assert_eq!(scene.counts(), (0, 0));
}

#[test]
fn a_link_over_another_root_than_was_cosigned_is_not_taken() {
    let (scene, ledger) = following();
    assert_eq!(status(&scene.desk(), &forged(8, &[1])), 200);
    let refused = scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("over another root of 8 records"), "{refused}");
    assert_eq!(scene.dir().follows(&origin_hash(NAME)).unwrap().unwrap().keys.links().len(), 0);
}

/// A running witness never knows a ledger by its first key alone when its links were given with it.
#[test]
fn links_come_before_the_ledger_is_followed() {
    let (scene, ledger) = (Scene::new(), Rotated::new());
    let desk = scene.desk();
    assert!(scene.dir().link(&key(1).public(), ledger.link(7, 8, &[1]).as_bytes()).unwrap());
    assert_eq!(status(&desk, &forged(5, &[1])), 404);
    // Nor does a key of another make come between.
    assert!(scene.dir().add(&key(2).public()).is_err());
    assert!(scene.dir().add(&key(1).public()).unwrap());
    assert_eq!(status(&desk, &forged(5, &[1])), 403);
    assert!(matches!(
        scene.dir().link(&key(2).public(), ledger.link(7, 8, &[1]).as_bytes()),
        Err(WitnessDirError::OtherKey { .. })
    ));
}
