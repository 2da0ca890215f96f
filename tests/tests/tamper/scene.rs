//! A copy of the ledger for one crime, and what the attacker can do to it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings};
use tachograph_exporters::verify::Axis;
use tachograph_ledger::{Commit, Entry, Leaf, LedgerName, MacKey, MacScheme, ObjectKind, Sealer, SigningKey, sha256};
use tachograph_record::Time;
use tachograph_tests::command::{Verified, verify};
use tachograph_tests::home::{Home, LEDGER};
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::receipts;
use tachograph_tests::seed::Random;
use tachograph_tests::tree::{self, replace};
use tachograph_verifier::escrow;

use crate::table::{Cell, Table};

/// Segments that are cut when the test wants one, not by age. Without streams, so that a forger who has the keys has only the chain to
/// seal anew.
const CONFIG: &str = "archive: {max_age: 50ms, max_bytes: 1MiB}\nstreams: {by: off}";
/// Where the senders' receipts lie. The collector knows nothing of the file.
const RECEIPTS: &str = "receipts.txt";
/// No segment is cut while the collector runs.
const NO_ARCHIVE: &str = "archive: {max_age: 1h, max_bytes: 64MiB}\nstreams: {by: off}";
/// Records sent before each wait for the archive.
const SEGMENTS: [usize; 4] = [120, 90, 60, 75];

/// A ledger that was stopped in good order: everything archived, in at least four segments. The senders' receipts are in the
/// file `receipts` of the data directory.
fn archived() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Home::new(CONFIG);
        let mut kept = String::new();
        let events = Events::new(&mut Random::of_test("tamper"));
        let collector = home.start();
        for count in SEGMENTS {
            let (ids, spans) = events.generations(count);
            let answer = receipts::export(collector.http, "/v1/traces", &otlp::request(spans));
            assert_eq!(answer.status, 200);
            kept += &receipts::lines(answer.header("tachograph-receipt").unwrap(), &ids);
            collector.wait_archived();
        }
        collector.stop();
        fs::write(home.data().join(RECEIPTS), kept).unwrap();
        home
    })
}

/// The same ledger after another life that SIGKILL ended: its newest records are in the journal only.
fn with_tail() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = archived().copy();
        let mut kept = fs::read_to_string(home.data().join(RECEIPTS)).unwrap();
        home.configure(NO_ARCHIVE);
        let events = Events::new(&mut Random::of_test("tamper, tail"));
        let collector = home.start();
        for _ in 0..3 {
            let (ids, spans) = events.generations(40);
            let answer = receipts::export(collector.http, "/v1/traces", &otlp::request(spans));
            assert_eq!(answer.status, 200);
            kept += &receipts::lines(answer.header("tachograph-receipt").unwrap(), &ids);
        }
        fs::write(home.data().join(RECEIPTS), kept).unwrap();
        // A quiet moment, after which damage to the last frame can't be taken for a torn write.
        std::thread::sleep(Duration::from_millis(2_500));
        collector.kill();
        home
    })
}

/// Who signs what the attacker made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signer {
    /// Nobody: the old signature stands under the new text.
    Nobody,
    /// The attacker, with a key of his own in the ledger's name.
    Attacker,
    /// A thief of the ledger's key.
    Thief,
}

/// One copy of the ledger.
pub(crate) struct Scene {
    pub(crate) home: Home,
}

impl Scene {
    pub(crate) fn archived() -> Self {
        Self { home: archived().copy() }
    }

    pub(crate) fn with_tail() -> Self {
        Self { home: with_tail().copy() }
    }

    pub(crate) fn in_archive(&self, path: &str) -> PathBuf {
        self.home.archive().join(path)
    }

    /// The paths of all commits, or all checkpoints, in order.
    pub(crate) fn notes(&self, folder: &str) -> Vec<PathBuf> {
        let files = tree::files(&self.in_archive(folder));
        assert!(files.len() >= SEGMENTS.len(), "the ledger has too few segments for these tests: {files:?}");
        files
    }

    /// A segment by its number; from the end if negative.
    pub(crate) fn commit(&self, segment: isize) -> (PathBuf, Commit) {
        let paths = self.notes("commit");
        let at = segment.rem_euclid(paths.len() as isize) as usize;
        let commit = Commit::parse_unverified(&fs::read(&paths[at]).unwrap()).unwrap();
        (paths[at].clone(), commit)
    }

    /// The object of a segment.
    pub(crate) fn object(&self, segment: isize, leaves: bool) -> PathBuf {
        let (_, commit) = self.commit(segment);
        let object = commit.objects.iter().find(|object| (object.kind == ObjectKind::Leaves) == leaves).unwrap();
        self.in_archive(&object.path)
    }

    /// Changes an object's rows, stores it under the name that its new hash asks for, and mends the commit.
    pub(crate) fn rewrite(&self, segment: isize, leaves: bool, signer: Signer, edit: impl FnOnce(&mut Table)) {
        let path = self.object(segment, leaves);
        let mut table = Table::read(&path);
        edit(&mut table);
        let bytes = table.write();
        fs::remove_file(&path).unwrap();
        let hash = sha256(&bytes);
        let (commit_path, mut commit) = self.commit(segment);
        for object in commit.objects.iter_mut().filter(|object| (object.kind == ObjectKind::Leaves) == leaves) {
            let stem = object.path.rsplit_once('-').unwrap().0.to_owned();
            object.path = format!("{stem}-{}.parquet", &hash.to_hex()[..16]);
            object.sha256 = hash;
            object.size = bytes.len() as u64;
            replace(&self.in_archive(&object.path), &bytes);
        }
        let forged = self.sign(&commit_path, &commit, signer);
        replace(&commit_path, forged.as_bytes());
    }

    fn sign(&self, path: &Path, commit: &Commit, signer: Signer) -> String {
        match signer {
            Signer::Attacker => commit.sign(&attacker()).unwrap(),
            Signer::Thief => commit.sign(&self.stolen()).unwrap(),
            Signer::Nobody => {
                let old = fs::read_to_string(path).unwrap();
                let (_, signatures) = old.split_once("\n\n").unwrap();
                let forged = commit.sign(&attacker()).unwrap();
                let (text, _) = forged.split_once("\n\n").unwrap();
                format!("{text}\n\n{signatures}")
            }
        }
    }

    /// The ledger's own private key.
    pub(crate) fn stolen(&self) -> SigningKey {
        let line = fs::read_to_string(self.home.data().join("keys/signing.key")).unwrap();
        SigningKey::parse(line.trim_end()).unwrap()
    }

    /// Seals the whole history anew into an archive at `to`, with `edit` applied to each body: chain, tree, commits and
    /// checkpoints are whole in themselves.
    pub(crate) fn rechain(&self, to: &Path, key: SigningKey, mac_key: [u8; 32], edit: impl Fn(u64, &mut Vec<u8>)) {
        let key = Arc::new(key);
        let store: Arc<dyn Store> = Arc::new(DirectoryStore::writer(to, DirectorySettings::default()).unwrap());
        Archive::create(&*store, &key.public(), Time::default(), None).unwrap();
        let (mut archive, _) = Archive::open(store, key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
        let mut sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, mac_key)).unwrap();
        for number in 0..self.notes("commit").len() as isize {
            let mut leaves = Table::read(&self.object(number, true));
            let mut records = Table::read(&self.object(number, false));
            let mut segment = archive.begin().unwrap();
            for row in 0..leaves.rows.len() {
                let mut body = records.bytes(row, "body").clone();
                edit(sealer.next_index(), &mut body);
                let old = Leaf::parse(leaves.bytes(row, "leaf")).unwrap();
                let entry = Entry {
                    body_len: body.len() as u64,
                    body_sha256: sha256(&body),
                    event_time: old.event_time,
                    kind: old.kind,
                    producer: old.producer,
                    producer_epoch: old.producer_epoch,
                    producer_seq: old.producer_seq,
                    sealed_at: old.sealed_at,
                    span_id: old.span_id,
                    trace_id: old.trace_id,
                };
                let mut leaf = Vec::new();
                let sealed = sealer.seal(entry, &mut leaf).unwrap();
                let row = Row { index: sealed.index, leaf: &leaf, hash: &sealed.hash, mac: &sealed.mac, body: &body };
                segment.push(row, &OneClass).unwrap();
            }
            archive.append(segment).unwrap();
        }
    }

    /// Puts the archive at `forged` in the place of this one.
    pub(crate) fn replace_archive(&self, forged: &Path) {
        fs::remove_dir_all(self.home.archive()).unwrap();
        tree::copy(forged, &self.home.archive());
    }

    /// What an auditor sees who has the archive, the public key, and the escrowed MAC key from elsewhere.
    pub(crate) fn verify_archive(&self, more: &[&dyn AsRef<OsStr>]) -> Verified {
        let (key, mac_key) = (archived().data().join("ledger.vkey"), archived().data().join("mac-escrow.key"));
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--key", &key, &"--mac-key", &mac_key];
        arguments.extend(more);
        verify(&self.home.archive(), &arguments)
    }

    /// The same with the checkpoint that he noted when the ledger was whole.
    pub(crate) fn verify_with_checkpoint(&self) -> Verified {
        let checkpoint = archived().data().join("checkpoint");
        self.verify_archive(&[&"--checkpoint", &checkpoint])
    }

    /// What an auditor sees who was given the senders' receipts.
    pub(crate) fn verify_with_receipts(&self) -> Verified {
        self.verify_archive(&[&"--receipts", &self.receipts()])
    }

    /// The receipts that the senders kept.
    pub(crate) fn receipts(&self) -> PathBuf {
        self.home.data().join(RECEIPTS)
    }

    /// The escrowed MAC key, which is in other hands.
    pub(crate) fn escrowed_mac_key(&self) -> [u8; 32] {
        let name = LedgerName::parse(LEDGER).unwrap();
        *escrow::read(&self.home.data().join("mac-escrow.key"), &name).unwrap().expose()
    }

    /// What the operator sees who has the data directory.
    pub(crate) fn verify_data_dir(&self) -> Verified {
        verify(&self.home.data(), &[])
    }
}

/// The attacker's own key, in the ledger's name.
pub(crate) fn attacker() -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(LEDGER).unwrap(), [66; 32])
}

/// Exit code 1, each axis failed, and at least one finding that names it.
#[track_caller]
pub(crate) fn expect_tampered(verified: &Verified, axes: &[Axis], case: &str) {
    assert_eq!(verified.code, 1, "{case}: not found\n{}{:#}", verified.stderr, verified.report);
    for axis in axes {
        assert_eq!(verified.verdict(*axis), "fail", "{case}: {axis:?}\n{:#}", verified.report);
        let findings = verified.report["findings"].as_array().cloned().unwrap_or_default();
        assert!(findings.iter().any(|finding| finding["axis"] == axis.as_str()), "{case}: {axis:?} without a finding");
    }
}

/// Another value of the same length in a body: one letter of the prompt.
pub(crate) fn change_prompt(body: &mut [u8]) {
    let at = body.windows(11).position(|window| window == b"\"prompt\":\"D").unwrap() + 10;
    body[at] = b'd';
}

/// The number of a row whose record has a prompt.
pub(crate) fn row_with_prompt(table: &mut Table) -> usize {
    let rows = 5..table.rows.len();
    rows.into_iter().find(|row| table.bytes(*row, "body").windows(9).any(|window| window == b"\"prompt\":")).unwrap()
}

/// Sets a text column.
pub(crate) fn text(text: &str) -> Cell {
    Cell::Bytes(text.as_bytes().to_vec())
}
