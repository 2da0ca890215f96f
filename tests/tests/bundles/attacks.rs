//! What Python's verifier finds false, ours must, on the same axes. The attacks are made by Python, from the format's page alone.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tachograph_exporters::bundle::check::{BundleReport, Options, check};
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::verify::{Axis, DEFAULT_REQUIRED, Verdict};
use tachograph_ledger::{Policy, VerifyingKey};
use tachograph_tests::programs;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/bundle-v1");
const WITNESS: &str = "from make_bundle import witness_vkey; print(witness_vkey())";

fn options(key: &str) -> Options {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let witness =
        programs::interpreter().args(["-B", "-c", WITNESS]).current_dir(golden).output().expect("Python runs");
    let witness = String::from_utf8(witness.stdout).expect("a key line");
    let policy = format!("witness w1 {}\nquorum w1\n", witness.trim());
    Options {
        key: Some(VerifyingKey::parse(key).expect("a key")),
        policy: Some(Policy::parse(policy.as_bytes()).expect("a policy")),
        ..Options::default()
    }
}

fn failing(report: &BundleReport) -> BTreeSet<String> {
    let fails = |axis: &Axis| report.verdict(*axis) == Verdict::Fail;
    Axis::ALL.into_iter().filter(fails).map(|axis| axis.as_str().to_owned()).collect()
}

#[test]
fn every_attack_fails_on_the_axes_on_which_python_fails_it() {
    let attacks = tempfile::tempdir().expect("a temporary directory");
    let made = programs::python("bundle_attacks.py").arg(attacks.path()).output().expect("Python runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let expected = std::fs::read(attacks.path().join("expected.json")).expect("written");
    let expected: Value = serde_json::from_slice(&expected).expect("JSON");
    let options = options(expected["key"].as_str().expect("a key"));
    let attacked = expected["fails"].as_object().expect("attacks");
    assert!(attacked.len() > 40);
    let mut wrong = Vec::new();
    for (name, axes) in attacked {
        let axes: BTreeSet<String> =
            axes.as_array().unwrap().iter().map(|axis| axis.as_str().unwrap().to_owned()).collect();
        let files = Files::read(&attacks.path().join(name)).expect("a folder");
        let report = check(&files, name, &options);
        // Where the checkpoint is no note at all Python fails whatever it can't look at, and we leave that INCOMPLETE.
        let is_same = match name.as_str() {
            "not-a-note" => !failing(&report).is_empty() && failing(&report).is_subset(&axes),
            _ => failing(&report) == axes,
        };
        if !is_same || report.exit_code(DEFAULT_REQUIRED) != 1 {
            wrong.push(format!("{name}: Python fails {axes:?}, we {:?}: {}", failing(&report), report.to_json()));
        }
    }
    for (name, verdict) in expected["completeness"].as_object().expect("bundles") {
        let report = check(&Files::read(&attacks.path().join(name)).expect("a folder"), name, &options);
        let ours = serde_json::to_value(report.verdict(Axis::Completeness)).expect("a word");
        if ours != *verdict {
            wrong.push(format!("{name}: Python says {verdict} of completeness, we {ours}: {}", report.to_json()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_golden_bundle_is_good_and_no_file_of_it_can_be_changed() {
    let golden = Files::read(Path::new(GOLDEN)).expect("the golden bundle");
    let key = String::from_utf8(golden.get("ledger.vkey").expect("a key").to_vec()).expect("a line");
    let options = options(&key);
    let report = check(&golden, GOLDEN, &options);
    assert_eq!(
        (report.exit_code(DEFAULT_REQUIRED), report.verdict(Axis::NonEquivocation)),
        (0, Verdict::Pass),
        "{report:#?}"
    );
    let paths: Vec<String> = golden.iter().map(|(path, _)| path.to_owned()).collect();
    for path in paths {
        let bytes = golden.get(&path).unwrap_or_default().to_vec();
        let is_evidence = path.starts_with("proofs/")
            || ["checkpoint", "witnessed", "records.jsonl", "ledger.vkey", "bundle.json"].contains(&path.as_str());
        for at in (0..bytes.len()).step_by((bytes.len() / 60).max(1)) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let mut files = golden.clone();
            files.insert(path.clone(), changed);
            // Damage on the way, which the manifest finds.
            assert_eq!(check(&files, &path, &options).exit_code(DEFAULT_REQUIRED), 1, "{path} at {at}");
            if is_evidence && path != "bundle.json" {
                // And a forger who makes the manifest anew.
                files.seal();
                let report = check(&files, &path, &options);
                assert_ne!(
                    report.exit_code(&[Axis::Integrity, Axis::Authenticity, Axis::Coverage, Axis::NonEquivocation]),
                    0,
                    "{path} at {at}"
                );
            }
        }
        let mut files = Files::default();
        golden.iter().filter(|(other, _)| *other != path).for_each(|(path, bytes)| files.insert(path, bytes));
        assert_eq!(check(&files, &path, &options).exit_code(DEFAULT_REQUIRED), 1, "without {path}");
    }
}
