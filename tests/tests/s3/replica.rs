//! A second bucket that replication fills: it verifies by itself, and tells what has not arrived.

use std::path::Path;

use tachograph_exporters::verify::Axis;

use crate::scene::{Archived, SERVER, key, said};

#[test]
fn a_complete_replica_passes_with_the_primary_s_checkpoint() {
    let archived = Archived::shared();
    let replica = archived.bucket.replicate(&SERVER, |_| false);
    let checkpoint = archived.home.data().join("checkpoint");
    let verified = replica.verify(&["--key", &key(&archived.home), "--checkpoint", text(&checkpoint)]);
    verified.expect_clean();
    for axis in [Axis::NonEquivocation, Axis::Storage] {
        assert_eq!(verified.verdict(axis), "pass", "{}", said(&verified));
    }
}

/// The newest segment is not there yet, in any part or in some.
#[test]
fn what_has_not_arrived_is_named() {
    let archived = Archived::shared();
    let (checkpoint, key) = (archived.home.data().join("checkpoint"), key(&archived.home));
    let commit = archived.bucket.newest("commit/");
    let first = commit.trim_start_matches("commit/").to_owned();
    let newest = archived.bucket.newest("checkpoint/");
    let of_segment = |path: &str| path.contains(&first) && !path.starts_with("checkpoint/") || path == newest;

    // All of it: in itself the replica is whole, but not what the primary's checkpoint covers.
    let replica = archived.bucket.replicate(&SERVER, of_segment);
    let verified = replica.verify(&["--key", &key, "--checkpoint", text(&checkpoint)]);
    assert_eq!(verified.code, 1, "{}", said(&verified));
    assert!(["fail"].contains(&verified.verdict(Axis::Coverage)) || verified.verdict(Axis::NonEquivocation) == "fail");
    assert_eq!(replica.verify(&["--key", &key]).code, 0);

    // Its objects without the commit, and the commit without its objects.
    let without_commit = archived.bucket.replicate(&SERVER, |path| path == commit || path == newest);
    let verified = without_commit.verify(&["--key", &key]);
    assert_eq!(verified.verdict(Axis::Coverage), "incomplete", "{}", said(&verified));
    for folder in ["leaves/", "records/"] {
        let missing: Vec<String> = archived
            .bucket
            .paths()
            .into_iter()
            .filter(|path| path.starts_with(folder) && path.contains(&first))
            .collect();
        let partial = archived.bucket.replicate(&SERVER, |path| missing.iter().any(|gone| gone == path));
        let verified = partial.verify(&["--key", &key]);
        assert_eq!(verified.code, 1, "{}", said(&verified));
        assert_eq!(verified.verdict(Axis::Storage), "fail", "{}", said(&verified));
        for path in &missing {
            assert!(said(&verified).contains(path), "{path} is not named in {}", said(&verified));
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
