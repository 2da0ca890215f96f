//! `tachograph demo`: the whole story in one command.

use tachograph_tests::{command, programs};

#[test]
fn the_demo_ends_well_and_shows_the_chain() {
    for name in ["image_service", "credit_decision", "trading_pipeline", "prompt_log"] {
        programs::example(name);
    }
    let root = tempfile::tempdir().expect("a temporary directory");
    let directory = root.path().join("demo");
    // Without cargo's variables it takes the examples as they were built, and builds nothing by itself.
    let mut demo = programs::command();
    demo.env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR").current_dir(root.path());
    let output = demo.arg("demo").arg("--dir").arg(&directory).output().expect("the demo can be started");
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}\n{complained}");
    assert!(told.contains("VERIFIED on every required axis."), "{told}");
    assert!(told.contains("read_parquet('"), "no DuckDB command in\n{told}");

    // The chain: four processes, each one step deeper than its cause.
    let chain = told.split("== Trace").nth(1).expect("the demo traces an event");
    let depths: Vec<usize> = chain.lines().filter_map(|line| line.find("└─")).collect();
    assert!(depths.len() >= 3, "fewer than four events in the chain:\n{chain}");
    assert!(depths.windows(2).any(|pair| pair[1] > pair[0]), "a chain gets deeper:\n{chain}");
    let services = ["market", "analysis", "decision", "execution"];
    let places: Vec<Option<usize>> = services.iter().map(|service| chain.find(service)).collect();
    assert!(places.iter().all(Option::is_some), "{services:?} at {places:?} in\n{chain}");

    // Evidence of it, which a program that is none of ours finds good too.
    let evidence = directory.join("evidence");
    assert!(told.contains("proven to be under the checkpoint"), "{told}");
    let script = evidence.join("verify.py");
    let mut checked = programs::interpreter();
    let checked =
        checked.arg(script).arg("--key").arg(directory.join("ledger/ledger.vkey")).output().expect("Python runs");
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));

    // What is left is a ledger that anybody can go on with.
    command::expect_verified(&directory.join("ledger"));
    // And nothing is ever written over.
    let again = command::tachograph(&[&"demo", &"--dir", &directory]);
    again.expect(2, &["exists", "--dir"]);
}
