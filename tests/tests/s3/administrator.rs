//! An administrator with every right: the store refuses what it can, and what it can't refuse is found out.

use tachograph_exporters::verify::Axis;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::command::Verified;
use tachograph_tests::home::Home;

use crate::scene::{Archived, SERVER, expect_verified, key, said};

const FOLDERS: [&str; 5] = ["leaves/", "records/", "commit/", "checkpoint/", "ledger.json"];

fn verify(bucket: &Bucket, home: &Home) -> Verified {
    bucket.verify(&["--key", &key(home)])
}

/// Exit code 1, the axis storage failed with a finding about `path`, and the others verified all the same.
#[track_caller]
fn expect_found(verified: &Verified, path: &str, words: &str) {
    assert_eq!(verified.code, 1, "{path}: {}", said(verified));
    assert_eq!(verified.verdict(Axis::Storage), "fail", "{path}: {}", said(verified));
    let findings = verified.report["findings"].as_array().cloned().unwrap_or_default();
    let found = findings.iter().any(|finding| {
        finding["axis"] == "storage"
            && finding["object"] == path
            && finding["what"].as_str().is_some_and(|what| what.contains(words))
    });
    assert!(found, "no finding about {path} with {words:?} in {}", said(verified));
}

#[track_caller]
fn expect_rest_verified(verified: &Verified) {
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(verified.verdict(axis), "pass", "{axis:?}: {}", said(verified));
    }
}

#[test]
fn a_locked_version_is_neither_deleted_nor_released_earlier() {
    let Archived { home, bucket } = Archived::shared();
    for folder in FOLDERS {
        let path = bucket.newest(folder);
        for bypass in [false, true] {
            let refused = bucket.delete_version(&path, bypass).expect_err(&path);
            assert!(refused.contains("AccessDenied") || refused.contains("WORM"), "{path}: {refused}");
            for (mode, until) in [(Mode::Compliance, soon()), (Mode::Governance, soon()), (Mode::Governance, far())] {
                let refused = bucket.retain(&path, mode, until, bypass).expect_err(&path);
                assert!(refused.contains("AccessDenied") || refused.contains("WORM"), "{path}: {refused}");
            }
        }
    }
    let gone = bucket.ask(|client, bucket| async move { client.delete_bucket().bucket(bucket).send().await.map(drop) });
    assert!(gone.is_err(), "a bucket with objects in it was deleted");
    expect_verified(home, bucket);
}

fn soon() -> u64 {
    now() + 60
}

fn far() -> u64 {
    now() + 3_650 * 86_400
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn a_delete_marker_is_reported_and_hides_nothing_from_the_auditor() {
    let Archived { home, bucket } = Archived::shared();
    for folder in FOLDERS {
        let replica = bucket.replicate(&SERVER, |_| false);
        let path = replica.newest(folder);
        replica.hide(&path);
        assert!(!replica.paths().contains(&path), "it is hidden from readers that list");
        let verified = verify(&replica, home);
        expect_found(&verified, &path, "delete marker");
        expect_rest_verified(&verified);
    }
}

#[test]
fn a_version_in_front_is_reported_and_not_taken_for_the_evidence() {
    let Archived { home, bucket } = Archived::shared();
    for folder in FOLDERS {
        let replica = bucket.replicate(&SERVER, |_| false);
        let path = replica.newest(folder);
        replica.write(&path, b"forged");
        let verified = verify(&replica, home);
        expect_found(&verified, &path, "further version");
        expect_rest_verified(&verified);
    }
}

/// Mode governance can be lifted by who has the right: what is gone then is missed.
#[test]
fn what_was_removed_with_bypass_is_missed() {
    let archived = Archived::new(Mode::Governance);
    let locked = archived.bucket.newest("records/");
    assert!(archived.bucket.delete_version(&locked, false).is_err(), "without the bypass it is locked");
    for folder in ["leaves/", "records/", "commit/"] {
        let replica = archived.bucket.replicate(&SERVER, |_| false);
        let path = replica.newest(folder);
        replica.delete_version(&path, true).unwrap();
        let verified = verify(&replica, &archived.home);
        assert_eq!(verified.code, 1, "{}", said(&verified));
        // The newest commit takes its records with it: they are under a checkpoint that nothing explains.
        let axes: &[Axis] = if folder == "commit/" { &[Axis::Coverage] } else { &[Axis::Integrity, Axis::Storage] };
        for axis in axes {
            assert_eq!(verified.verdict(*axis), "fail", "{path}, {axis:?}: {}", said(&verified));
        }
    }
    // A lock that was shortened: the commit signs another date.
    let path = archived.bucket.newest("leaves/");
    archived.bucket.retain(&path, Mode::Governance, soon(), true).unwrap();
    let verified = verify(&archived.bucket, &archived.home);
    expect_found(&verified, &path, "its commit signs");
    expect_rest_verified(&verified);
    // Nor does the collector go on and let its journal go, as if that were archived.
    archived.home.refused().expect(2, &[&path, "must be locked in mode governance"]);
}

#[test]
fn a_start_sees_what_is_hidden_and_writes_nothing_in_front_of_the_identity() {
    let Archived { home, bucket } = Archived::new(Mode::Governance);
    bucket.hide(&bucket.newest("leaves/"));
    bucket.hide(&bucket.newest("commit/"));
    home.start().stop();
    bucket.hide("ledger.json");
    home.refused().expect(2, &["ledger.json", "a delete marker hides it", "--version-id"]);
    assert!(!bucket.paths().contains(&"ledger.json".to_owned()), "another was written");
}

#[test]
fn a_stray_object_is_reported() {
    let Archived { home, bucket } = Archived::shared();
    let replica = bucket.replicate(&SERVER, |_| false);
    replica.write("notes.txt", b"nobody knows");
    let verified = verify(&replica, home);
    assert_eq!(verified.code, 0, "no part of the archive: {}", said(&verified));
    assert_eq!(verified.report["strangers"], serde_json::json!(["notes.txt"]), "{}", said(&verified));

    // One that queries would take for records is no harmless stranger.
    let path = replica.newest("records/").replace("class=", "class=x");
    replica.write(&path, &replica.read(&replica.newest("records/")));
    let verified = verify(&replica, home);
    assert_eq!((verified.code, verified.verdict(Axis::Integrity)), (1, "fail"), "{}", said(&verified));
    assert!(said(&verified).contains("slipped in"), "{}", said(&verified));
}
