//! MAC keys that a ledger publishes: without any escrow they check the MACs of their epochs, and a false one is found.

mod sample;

use std::sync::{Arc, OnceLock};

use sample::{Ledger, MAC_KEY, START, Sample};
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings};
use tachograph_exporters::verify::{Axis, MAC_PUBLISHED, Options, RECORDER_PRODUCER, Report, Verdict, verify};
use tachograph_ledger::{EPOCH_BITS, MacKey, MacScheme, Sealer, sha256};
use tachograph_record::{Decimal, EventId, Hex, Json, Kind, Record, Text, Time};

const EPOCH: u64 = 1 << EPOCH_BITS;
/// All of the first epoch, and some of the second.
const RECORDS: u64 = EPOCH + 10;

/// Made once: they are many.
fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut ledger = Ledger::new();
        (0..RECORDS).map(|_| ledger.generation(String::new(), String::new(), |_| {})).collect()
    })
}

fn mac_key() -> MacKey {
    MacKey::initial(MacScheme::V2, MAC_KEY)
}

fn published() -> [u8; 32] {
    *mac_key().publishable().unwrap().expose()
}

/// The ledger behind its first `size` records.
fn ledger_at(size: u64) -> Ledger {
    let mut ledger = Ledger::new();
    let prev = samples()[size as usize - 1].hash;
    ledger.sealer = Sealer::resume(&ledger.key.public(), size, prev, mac_key()).unwrap();
    ledger.now = START + 30_000 * size;
    ledger
}

fn statement(ledger: &mut Ledger, producer: &'static str, details: &str) -> Sample {
    let time = Time::from_unix_nanos(ledger.now).unwrap();
    let index = ledger.sealer.next_index();
    let mut record = Record::new(EventId::v7(time, sha256(&index.to_be_bytes()).as_bytes()), time, Kind::Lifecycle);
    record.action_type = Some(Text::from(MAC_PUBLISHED));
    record.details = Some(Json::trusted(details.to_owned()));
    record.producer = Some(Text::from(producer));
    record.producer_epoch = Some(Text::from("e"));
    record.producer_seq = Decimal::new(index);
    ledger.seal(&record)
}

fn details(epoch: u64, key: [u8; 32]) -> String {
    let (first, last) = (epoch * EPOCH, epoch * EPOCH + EPOCH - 1);
    let (key, ledger) = (Hex(key), Ledger::new().key.public().name().clone());
    format!(r#"{{"epoch":"{epoch}","first":"{first}","key":"{key}","last":"{last}","ledger":"{ledger}","scheme":"2"}}"#)
}

/// Archives the first `size` records and those behind, one of them with another MAC, and verifies with the public key alone.
fn verified(size: u64, behind: &[Sample], forged: Option<u64>, mac_key: Option<MacKey>) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
    let key = Ledger::new().key;
    Archive::create(&*store, &key.public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
    let (mut archive, _) = Archive::open(store, Arc::clone(&key) as _, Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    let all: Vec<&Sample> = samples()[..size as usize].iter().chain(behind).collect();
    for run in all.chunks(50_000) {
        let mut segment = archive.begin().unwrap();
        for s in run {
            let mac = if forged == Some(s.index) { [1; 32] } else { s.mac };
            let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &mac, body: &s.body };
            segment.push(row, &OneClass).unwrap();
        }
        archive.append(segment).unwrap();
    }
    let options = Options { key: Some(key.public()), mac_key, threads: 2, ..Options::default() };
    verify(&DirectoryStore::reader(directory.path()).unwrap(), options).unwrap()
}

#[track_caller]
fn fails(report: &Report, words: &str) {
    assert_eq!(report.verdict(Axis::Authenticity), Verdict::Fail, "{}", report.to_json());
    let said = report.findings.iter().any(|finding| finding.what.contains(words));
    assert!(said, "nothing says {words:?}: {}", report.to_json());
}

#[test]
fn a_published_key_checks_the_macs_of_its_epoch_without_any_escrow() {
    let mut ledger = ledger_at(RECORDS);
    // Twice, as a crash would have it.
    let said = [0, 1].map(|_| statement(&mut ledger, RECORDER_PRODUCER, &details(0, published())));
    for mac_key in [None, Some(mac_key())] {
        let report = verified(RECORDS, &said, None, mac_key);
        assert_eq!(report.verdict(Axis::Authenticity), Verdict::Pass, "{}", report.to_json());
        assert_eq!((report.published_mac_epochs, report.published_macs), (1, EPOCH));
        let reasons = &report.axes[&Axis::Authenticity].reasons;
        assert!(reasons.iter().any(|reason| reason.contains(&EPOCH.to_string())), "{reasons:?}");
    }
}

#[test]
fn a_record_that_was_sealed_without_the_key_is_found_once_that_is_published() {
    let said = statement(&mut ledger_at(RECORDS), RECORDER_PRODUCER, &details(0, published()));
    let report = verified(RECORDS, &[said], Some(60_000), None);
    fails(&report, "the MAC does not fit the key that record 65546 publishes for epoch 0");
    let finding = &report.findings[0];
    assert_eq!((finding.index, finding.row), (Some(60_000), Some(10_000)));
    // Nobody publishes anything of the second epoch: its MACs are for the escrowed key.
    let report = verified(RECORDS, &[], Some(EPOCH + 3), None);
    assert_eq!((report.verdict(Axis::Authenticity), report.published_macs), (Verdict::Pass, 0));
    fails(&verified(RECORDS, &[], Some(EPOCH + 3), Some(mac_key())), "does not match");
}

#[test]
fn a_published_key_that_does_not_fit_is_found() {
    let bad = [
        (details(0, [9; 32]), "fits none of its MACs"),
        // The key that evolves, which would give all later ones away, is not what MACs are made with.
        (details(0, MAC_KEY), "fits none of its MACs"),
        (details(0, published()).replace("65535", "65534"), "for other records than that epoch's"),
        (details(1, published()), "before that was over"),
        (
            details(1, published()).replace(r#""epoch":"1""#, r#""epoch":"70368744177664""#),
            "for no epoch that there is",
        ),
        ("{}".to_owned(), "not in the form"),
    ];
    for (details, words) in bad {
        let said = statement(&mut ledger_at(RECORDS), RECORDER_PRODUCER, &details);
        fails(&verified(RECORDS, &[said], None, None), words);
    }
    // Beside the right one.
    let mut ledger = ledger_at(RECORDS);
    let said = [published(), [9; 32]].map(|key| statement(&mut ledger, RECORDER_PRODUCER, &details(0, key)));
    fails(&verified(RECORDS, &said, None, None), "fits none of its MACs");
}

#[test]
fn a_key_that_is_published_before_its_epoch_is_over_is_found() {
    let mut ledger = ledger_at(EPOCH - 1);
    let said = statement(&mut ledger, RECORDER_PRODUCER, &details(0, published()));
    let behind: Vec<Sample> = std::iter::once(said).chain((0..3).map(|_| ledger.next())).collect();
    fails(&verified(EPOCH - 1, &behind, None, None), "before that was over");
}

#[test]
fn what_others_than_the_recorder_say_of_keys_is_of_no_account() {
    let said = statement(&mut ledger_at(RECORDS), "somebody", &details(0, [9; 32]));
    let report = verified(RECORDS, &[said], None, None);
    assert_eq!((report.verdict(Axis::Authenticity), report.published_macs), (Verdict::Pass, 0), "{}", report.to_json());
}

#[test]
fn what_another_ledger_published_before_it_was_sealed_anew_here_is_of_no_account() {
    let mut ledger = ledger_at(RECORDS);
    let name = ledger.key.public().name().to_string();
    let of_another = |details: String| details.replace(&format!(r#""{name}""#), r#""fenced/ledger""#);
    let said = [details(0, [9; 32]), details(1, [9; 32])].map(|details| {
        let details = of_another(details);
        assert!(details.contains("fenced/ledger"));
        statement(&mut ledger, RECORDER_PRODUCER, &details)
    });
    let report = verified(RECORDS, &said, None, None);
    assert_eq!((report.verdict(Axis::Authenticity), report.published_macs), (Verdict::Pass, 0), "{}", report.to_json());
}

#[test]
fn a_key_of_a_scheme_of_later_releases_is_not_passed_over() {
    let details = details(0, published()).replace(r#""scheme":"2""#, r#""scheme":"3""#);
    let said = statement(&mut ledger_at(RECORDS), RECORDER_PRODUCER, &details);
    assert_eq!(verified(RECORDS, &[said], None, None).verdict(Axis::Authenticity), Verdict::Incomplete);
}
