//! The table of attacks in docs/verifying.md names tests: each must be there.

use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// All Rust sources below the folders with tests of attacks.
fn sources() -> String {
    let folders = ["tests/tests", "exporters/tests", "collector/src", "collector/tests", "ledger/src"];
    let files = folders.iter().flat_map(|folder| tachograph_tests::tree::files(&Path::new(ROOT).join(folder)));
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| fs::read_to_string(path).expect("a source file")).collect()
}

#[test]
fn every_attack_of_the_table_has_its_test() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/verifying.md")).expect("the page");
    let table =
        page.split("### Which attack shows where").nth(1).and_then(|rest| rest.split("\n\n").nth(2)).expect("a table");
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert!(rows.len() >= 12, "{table}");
    let sources = sources();
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().expect("a last column");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test in {row}");
        for name in names {
            assert!(sources.contains(&format!("#[test]\nfn {name}(")), "there is no test {name}");
        }
    }
}
