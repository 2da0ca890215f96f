//! What a collector tries at each start, with its own rights, on the bucket that its evidence is in.

use serde_json::Value;

use crate::scene::Archived;

#[test]
fn a_start_tries_the_fence_and_changes_nothing_beyond_its_probes() {
    let records = Archived::shared().bucket.records();
    let probes: Vec<Value> =
        records.iter().map(|record| record.body()).filter(|body| body["action_type"] == "archive.probe").collect();
    assert_eq!(probes.len(), 1, "one a start");
    let checks = probes[0]["details"]["checks"].as_array().expect("checks");
    let outcome = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.and_then(|check| check["outcome"].as_str())
    };
    for fence in ["a second conditional create is refused", "of conditional creates at the same time one succeeds"] {
        assert_eq!(outcome(fence), Some("proven"), "{fence}: {checks:#?}");
    }
    // An interrupted trial would leave what is kept here without versions.
    assert_eq!(outcome("versioning can't be suspended"), None, "{checks:#?}");
}
