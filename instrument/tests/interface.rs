//! The public interface of the crate `tachograph`, item by item, against `public-interface.txt`.
//!
//! Applications link that crate, so a change of what they can name must be seen by whoever reviews it. The list is made from
//! rustdoc's JSON by the crate `public-api`. Only a nightly compiler gives that JSON officially; the pinned one gives it too once
//! `RUSTC_BOOTSTRAP` is set, which a wrapper does for rustdoc alone, so that no dependency is built anew for this test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const RENEW: &str = "TACHOGRAPH_RENEW_INTERFACE";

const WRAPPER: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec \"${TACHOGRAPH_TEST_RUSTDOC:-rustdoc}\" \"$@\"\n";

/// rustdoc's JSON of the crate with all its features.
fn rustdoc_json() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let wrapper = temporary.join("rustdoc-json");
    fs::write(&wrapper, WRAPPER).expect("the wrapper can be written");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("the wrapper can be made executable");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["rustdoc", "--quiet", "--package", "tachograph", "--lib", "--all-features", "--"]);
    command.args(["-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"]);
    if let Some(rustdoc) = std::env::var_os("RUSTDOC") {
        command.env("TACHOGRAPH_TEST_RUSTDOC", rustdoc);
    }
    let done = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTDOC", &wrapper)
        .output()
        .expect("cargo can be started");
    assert!(done.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&done.stderr));
    temporary.parent().expect("the target directory is above").join("doc/tachograph.json")
}

/// Every item that another crate can name, a line each. Left out are traits that the compiler or a blanket gives to every type.
fn interface() -> Vec<String> {
    let json = rustdoc_json();
    let built =
        public_api::Builder::from_rustdoc_json(&json).omit_blanket_impls(true).omit_auto_trait_impls(true).build();
    let built = built.unwrap_or_else(|error| {
        panic!(
            "{}: {error}\nif the compiler in rust-toolchain.toml was changed, `public-api` in the root Cargo.toml must read its JSON",
            json.display()
        )
    });
    built.items().map(ToString::to_string).collect()
}

/// What one has and the other has not.
fn difference(old: &[String], new: &[String]) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    let gone = old.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}

#[test]
fn the_public_interface_is_the_one_that_was_reviewed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("public-interface.txt");
    let new = interface();
    if std::env::var_os(RENEW).is_some() {
        fs::write(&file, new.join("\n") + "\n").expect("the list can be written");
        println!("{}: {} items", file.display(), new.len());
        return;
    }
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let old: Vec<String> = text.lines().map(str::to_owned).collect();
    let changes = difference(&old, &new);
    assert!(
        changes.is_empty() && old.len() == new.len(),
        "what applications can name of the crate `tachograph` has changed:\n{}\nif that is meant, renew the list and commit it:\n    {RENEW}=1 cargo test -p tachograph --test interface",
        changes.join("\n")
    );
}

#[test]
fn a_change_is_told_line_by_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(difference(&lines("a\nb\nc"), &lines("a\nc\nd")), ["- b", "+ d"]);
    assert!(difference(&lines("a"), &lines("a")).is_empty());
}
