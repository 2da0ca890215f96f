//! Real S3 servers under `tachograph bucket`: the one that keeps what it locks passes, each of the others is refused for just what it
//! does; and the policies that are printed give each role what it needs and no more.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tachograph_tests::command::Outcome;
use tachograph_tests::minio::Minio;
use tachograph_tests::programs;
use tachograph_tests::weak_store::WeakStore;

static MINIO: LazyLock<Minio> = LazyLock::new(Minio::start);

/// All that the doctor tries in mode compliance.
const CHECKS: [&str; 14] = [
    "a second conditional create is refused",
    "of conditional creates at the same time one succeeds",
    "the store keeps the SHA-256",
    "mode and date are as asked",
    "a body with another SHA-256 is refused",
    "a locked version can't be deleted",
    "a lock can't be shortened",
    "mode compliance can't be downgraded",
    "a lock can't be removed",
    "overwriting makes a new version, and the old one stays",
    "deleting without a version only hides",
    "versioning can't be suspended",
    "a locked version can't be deleted in a batch",
    "a version under legal hold can't be deleted",
];

/// `tachograph bucket …` on a bucket of a server, with an administrator's credentials.
fn bucket(command: &str, endpoint: &str, name: &str, more: &[&str]) -> Outcome {
    let mut tachograph = programs::command();
    tachograph.args(["bucket", command, "--bucket", &format!("s3://{name}/prod"), "--endpoint", endpoint]).args(more);
    run(tachograph.envs(Minio::environment()))
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn python(arguments: &[&str]) {
    let outcome = run(programs::python("stores.py").args(arguments).envs(Minio::environment()));
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// The checks with this outcome.
fn with(report: &Value, outcome: &str) -> BTreeSet<String> {
    let checks = report["checks"].as_array().unwrap_or_else(|| panic!("no checks in {report:#}"));
    let names = checks.iter().filter(|check| check["outcome"] == outcome).filter_map(|check| check["name"].as_str());
    names.map(str::to_owned).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const AT_ONCE: &str = "of conditional creates at the same time one succeeds";

/// The doctor refuses the store for these reasons and no other.
#[track_caller]
fn expect_unfit(endpoint: &str, reasons: &[&str]) {
    let outcome = bucket("doctor", endpoint, "unfit", &["--json"]);
    let report = outcome.json();
    assert_eq!(
        (outcome.code, &report["fit"], &report["mode"]),
        (2, &Value::Bool(false), &"compliance".into()),
        "{report:#}"
    );
    let mut refuted = with(&report, "refuted");
    if !reasons.contains(&AT_ONCE) {
        // versitygw looks and then writes: whether two get through is chance.
        refuted.remove(AT_ONCE);
    }
    assert_eq!(refuted, names(reasons), "{report:#}");
    assert_eq!(with(&report, "unproven"), names(&[]), "{report:#}");
    let told = bucket("doctor", endpoint, "unfit", &[]);
    assert!(told.code == 2 && told.stdout.contains("NOT FIT for an archive in mode compliance"), "{told:?}");
    for reason in reasons {
        assert!(told.stdout.contains(&format!("REFUTED   {reason}")), "{reason} is not in {}", told.stdout);
    }
}

#[test]
fn minio_is_fit_in_both_modes() {
    for mode in ["compliance", "governance"] {
        let name = format!("fit-{mode}");
        let made = bucket("init", &MINIO.endpoint(), &name, &["--mode", mode, "--json"]);
        made.expect(0, &[]);
        assert_eq!(made.json()["bucket"]["object_lock"], true, "{made:?}");
        // Twice: what the first left behind does not disturb the second.
        for _ in 0..2 {
            let outcome = bucket("doctor", &MINIO.endpoint(), &name, &["--mode", mode, "--json"]);
            let report = outcome.json();
            assert_eq!((outcome.code, &report["fit"]), (0, &Value::Bool(true)), "{report:#}");
            let tried = CHECKS.iter().filter(|name| {
                mode == "compliance"
                    || !["mode compliance can't be downgraded", "a lock can't be removed"].contains(name)
            });
            assert_eq!(with(&report, "proven"), tried.map(|name| (*name).to_owned()).collect(), "{report:#}");
            assert_eq!(report["checks"].as_array().map(Vec::len), Some(with(&report, "proven").len()), "{report:#}");
        }
    }
}

#[test]
fn a_default_retention_does_not_make_the_doctor_leave_locked_litter() {
    let endpoint = MINIO.endpoint();
    bucket("init", &endpoint, "by-default", &["--default-retention", "1", "--json"]).expect(0, &[]);
    let report = bucket("doctor", &endpoint, "by-default", &["--json"]).json();
    assert_eq!(with(&report, "proven"), names(&CHECKS), "{report:#}");
    assert_eq!(report["bucket"]["default_retention"], serde_json::json!(["compliance", 1]), "{report:#}");
    python(&["brief", &endpoint, "by-default"]);
}

#[test]
fn versitygw_is_refused() {
    let store = WeakStore::versitygw();
    bucket("init", &store.endpoint(), "unfit", &["--json"]).expect(0, &[]);
    // Once a version's own lock is over, it looks at nothing further: not at a legal hold, nor at the rest of a batch.
    expect_unfit(
        &store.endpoint(),
        &[
            "a lock can't be shortened",
            "a locked version can't be deleted in a batch",
            "a version under legal hold can't be deleted",
        ],
    );
}

#[test]
fn moto_is_refused() {
    let store = moto(&[]);
    expect_unfit(&store.endpoint(), &OF_MOTO);
}

/// What moto does not do, whatever it is told.
const OF_MOTO: [&str; 6] = [
    "the bucket's own words are S3's",
    "a body with another SHA-256 is refused",
    "a lock can't be shortened",
    "mode compliance can't be downgraded",
    "a lock can't be removed",
    "versioning can't be suspended",
];

/// moto with a bucket, deaf to some header fields.
fn moto(deaf_to: &'static [&'static str]) -> WeakStore {
    made(if deaf_to.is_empty() { WeakStore::moto() } else { WeakStore::deaf(deaf_to) })
}

/// moto with a bucket.
fn made(store: WeakStore) -> WeakStore {
    // It makes the bucket, and then can't read what is said of it.
    let outcome = bucket("init", &store.endpoint(), "unfit", &["--json"]);
    outcome.expect(2, &["bucket unfit answers s3:GetBucketVersioning with what is not S3's language"]);
    store
}

/// As Ceph's gateway 16 does it.
#[test]
fn a_store_that_overlooks_the_condition_is_refused() {
    let store = moto(&["if-none-match"]);
    let fence = ["a second conditional create is refused", AT_ONCE];
    expect_unfit(&store.endpoint(), &[&fence, &OF_MOTO[..]].concat());
}

/// It refuses a second create, but of several at once it takes all.
#[test]
fn a_store_that_looks_and_then_writes_is_refused() {
    let store = made(WeakStore::looks_first());
    let reasons = [&[AT_ONCE], &OF_MOTO[..]].concat();
    expect_unfit(&store.endpoint(), &reasons);
}

/// Suspended versioning would be no trial any more for what is kept there.
#[test]
fn on_a_bucket_in_use_versioning_is_not_tried() {
    let name = "versioning can't be suspended";
    let store = made(WeakStore::moto());
    let doctor = || bucket("doctor", &store.endpoint(), "unfit", &["--json"]).json();
    assert!(with(&doctor(), "refuted").contains(name), "moto suspends it");
    python(&["put", &store.endpoint(), "unfit", "other/commit/1"]);
    let report = doctor();
    assert!(with(&report, "unproven").contains(name), "{report:#}");
}

#[test]
fn a_store_that_overlooks_the_lock_is_refused() {
    let store = moto(&["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"]);
    let reasons = [
        &[
            "mode and date are as asked",
            "a locked version can't be deleted",
            "a locked version can't be deleted in a batch",
        ],
        &OF_MOTO[..],
    ]
    .concat();
    expect_unfit(&store.endpoint(), &reasons);
}

#[test]
fn a_bucket_without_object_lock_is_refused() {
    let endpoint = MINIO.endpoint();
    python(&["plain", &endpoint, "without-lock"]);
    let outcome = bucket("doctor", &endpoint, "without-lock", &["--json"]);
    let report = outcome.json();
    assert_eq!((outcome.code, &report["fit"]), (2, &Value::Bool(false)), "{report:#}");
    assert_eq!(report["bucket"]["object_lock"], false, "{report:#}");
    let init = bucket("init", &endpoint, "without-lock", &["--json"]);
    assert_eq!((init.code, &init.json()["bucket"]["object_lock"]), (2, &Value::Bool(false)), "{init:?}");
    let told = bucket("doctor", &endpoint, "without-lock", &[]);
    assert!(told.stdout.contains("REFUTED   Object Lock is on"), "{told:?}");
    bucket("doctor", &endpoint, "not-there", &[])
        .expect(2, &["there is no bucket not-there", "tachograph bucket init"]);
}

/// What the caller may not set is not set, and says so to scripts too; what the store has no setting for is another matter.
#[test]
fn init_fails_for_want_of_a_right_and_says_which() {
    let endpoint = MINIO.endpoint();
    let init = |caller: &[(String, String)], more: &[&str]| {
        let mut tachograph = programs::command();
        tachograph.args(["bucket", "init", "--bucket", "s3://rights/prod", "--endpoint", &endpoint]).args(more);
        run(tachograph.envs(Minio::environment()).envs(caller.iter().map(|(name, value)| (name, value))))
    };
    let told = init(&[], &[]);
    told.expect(0, &[]);
    for none in ["none public access block", "none encryption"] {
        assert!(told.stdout.contains(&format!("{none}: this store has no such setting")), "{told:?}");
    }
    assert_eq!(told.stdout.matches(". Instead: ").count(), 2, "{told:?}");

    let printed = run(programs::python("stores.py")
        .args(["without", &endpoint, "s3:PutEncryptionConfiguration"])
        .envs(Minio::environment()));
    let caller: Vec<(String, String)> =
        serde_json::from_str(&printed.stdout).unwrap_or_else(|e| panic!("{e}: {printed:?}"));
    let told = init(&caller, &[]);
    assert_eq!(told.code, 2, "{told:?}");
    assert!(told.stdout.contains("NOT  encryption: missing permission s3:PutEncryptionConfiguration"), "{told:?}");
    let report = init(&caller, &["--json"]).json();
    let outcomes: Vec<&Value> =
        report["steps"].as_array().expect("steps").iter().map(|step| &step["outcome"]).collect();
    assert_eq!(outcomes, ["done", "no_such_setting", "failed"]);
}

#[test]
fn each_role_may_do_what_it_needs_and_no_more() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let printed = bucket("policies", &MINIO.endpoint(), "roles", &["--json"]);
    printed.expect(0, &[]);
    let file = directory.path().join("policies.json");
    std::fs::write(&file, &printed.stdout).expect("the policies");
    python(&["roles", &MINIO.endpoint(), &file.display().to_string()]);
}
