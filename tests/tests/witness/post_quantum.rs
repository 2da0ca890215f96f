//! A witness with a second key, ML-DSA-44.

use std::fs;

use tachograph_exporters::verify::Axis;
use tachograph_ledger::{WitnessVerifyingKey, parse_note};
use tachograph_tests::command::tachograph;
use tachograph_tests::home::LEDGER;

use crate::scene::{Scene, reasons};

#[test]
fn a_witness_that_gets_a_second_key_goes_on_with_both() {
    let mut scene = Scene::new("post_quantum");
    let collector = scene.home.start();
    scene.send(&collector, 25);
    scene.wait_witnessed(&collector);
    let first = collector.metric("tachograph_archived_records") as u64;
    collector.stop();

    // Not while it runs, and once.
    let dir = scene.witnesses[0].directory().to_owned();
    tachograph(&[&"witness", &"post-quantum", &dir]).expect(2, &["stop it first", "is in use by another process"]);
    let second = scene.witnesses[0].give_second_key();
    scene.witnesses[0].kill();
    let again = tachograph(&[&"witness", &"post-quantum", &dir]);
    again.expect(0, &[]);
    assert!(again.stdout.contains("has a second key already") && again.stdout.contains(&second), "{}", again.stdout);
    scene.witnesses[0].restart();
    let listed = scene.witnesses[0].list();
    assert_eq!(listed["post_quantum_vkey"], second.as_str());
    // What it had cosigned with one key it goes on from.
    assert!(listed["ledgers"][0]["records"].as_u64().unwrap() >= first);

    let keys = format!("witness second {second} http://{}\n", scene.witnesses[0].address);
    let quorum = format!("{keys}group both all w1 second\ngroup few 2 both w2 w3\nquorum few\n");
    fs::write(scene.policy(), scene.policy_of(&quorum)).unwrap();
    scene.witnesses[2].kill();
    let collector = scene.home.start();
    scene.send(&collector, 25);
    scene.wait_witnessed(&collector);
    assert_eq!(collector.metric("tachograph_witness_lag_seconds{witness=\"w1.example\"}"), 0.0);
    let records = collector.metric("tachograph_archived_records") as u64;
    collector.stop();

    let path = scene.home.archive().join(format!("witnessed/{records:020}"));
    let note = fs::read(&path).unwrap();
    let key = WitnessVerifyingKey::parse(&second).unwrap();
    assert!(key.is_post_quantum() && key.cosigned(&parse_note(&note).unwrap()).unwrap().is_some());
    let served = scene.witnesses[0].checkpoint(LEDGER).body;
    assert!(key.cosigned(&parse_note(&served).unwrap()).unwrap().is_some());

    // Auditors: the same policy, one that asks for the second key alone, and one for a key that nobody has.
    let verified = scene.verify(&scene.home, &scene.policy());
    verified.expect_clean();
    assert!(reasons(&verified, "non_equivocation").contains("w1.example (ML-DSA-44)"));
    let alone = scene.write_policy("alone", &format!("{keys}quorum second\n"));
    scene.verify(&scene.home, &alone).expect_clean();
    let stranger = tachograph_ledger::WitnessSigningKey::ml_dsa_44(key.name().clone(), [1; 32]).public().to_line();
    let other = scene.write_policy("other", &format!("witness second {stranger}\nquorum second\n"));
    let verified = scene.verify(&scene.home, &other);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (2, "incomplete"), "{:#}", verified.report);

    // A signature that is false is a finding, though enough others are good.
    let text = String::from_utf8(note.clone()).unwrap();
    let line = text.lines().find(|line| line.len() > 3_000).expect("a line of ML-DSA-44");
    let forged =
        format!("{}{}{}", &line[..2_000], if line[2_000..].starts_with('A') { "B" } else { "A" }, &line[2_001..]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, text.replace(line, &forged)).unwrap();
    let verified = scene.verify(&scene.home, &scene.policy());
    assert_eq!((verified.code, verified.verdict(Axis::Authenticity)), (1, "fail"), "{:#}", verified.report);
}

#[test]
fn a_new_witness_can_have_both_keys_from_the_beginning() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("w");
    let init = tachograph(&[&"witness", &"init", &dir, &"--name", &"w.example", &"--post-quantum", &"--json"]);
    init.expect(0, &[]);
    let (first, second) = (init.json()["vkey"].clone(), init.json()["post_quantum_vkey"].clone());
    for (file, key) in [("witness.vkey", &first), ("witness-ml-dsa-44.vkey", &second)] {
        assert_eq!(fs::read_to_string(dir.join(file)).unwrap().trim(), key.as_str().unwrap());
    }
    let listed = tachograph(&[&"witness", &"list", &dir]);
    assert!(listed.stdout.contains(second.as_str().unwrap()), "{}", listed.stdout);
    // Without it there is none, and nothing speaks of one.
    let plain = tachograph(&[&"witness", &"init", &place.path().join("v"), &"--name", &"v.example", &"--json"]);
    assert_eq!(plain.json()["post_quantum_vkey"], serde_json::Value::Null);
}
