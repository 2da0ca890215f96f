//! Format, clippy, rustdoc, the oldest compiler, supply chain. Warnings are errors.

use anyhow::Result;

use crate::deny;
use crate::oldest;
use crate::place::Place;
use crate::process;
use crate::tally::Tally;

/// All lints, one after another, however many fail.
pub(crate) fn run(place: &Place, tally: &mut Tally) -> Result<()> {
    format(place, tally)?;
    one_clippy_file(place, tally)?;
    clippy(place, tally)?;
    rustdoc(place, tally)?;
    lone_verifier(place, tally)?;
    oldest::run(place, tally)?;
    match deny::ensure(place) {
        Ok(program) => deny::run(place, &program, tally)?,
        Err(error) => tally.fail(format!("cargo deny: {error:#}")),
    }
    Ok(())
}

fn format(place: &Place, tally: &mut Tally) -> Result<()> {
    let ok = process::run(&mut place.cargo(&["fmt", "--all", "--check"]))?;
    tally.check(ok, "format: `cargo fmt --all` mends it");
    Ok(())
}

fn clippy(place: &Place, tally: &mut Tally) -> Result<()> {
    // The feature brings in the fuzzing entry point, which ordinary builds leave out.
    let mut command =
        place.cargo(&["clippy", "--workspace", "--all-targets", "--features", "tachograph-fuzz/libfuzzer"]);
    let ok = process::run(command.args(["--", "-D", "warnings"]))?;
    tally.check(ok, "clippy: what it said stands above");
    Ok(())
}

fn rustdoc(place: &Place, tally: &mut Tally) -> Result<()> {
    let mut command = place.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    let ok = process::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    tally.check(ok, "rustdoc: what it said stands above");
    Ok(())
}

/// `tachograph-verify` promises to link nothing of the collector and nothing of a network.
fn lone_verifier(place: &Place, tally: &mut Tally) -> Result<()> {
    let mut command =
        place.cargo(&["tree", "--package", "tachograph-verifier", "--edges", "normal", "--prefix", "none"]);
    let tree = process::capture(&mut command)?;
    let forbidden = ["tachograph-collector", "aws-", "hyper", "tokio", "tonic", "ureq", "rustls "];
    let found: Vec<&str> =
        tree.stdout.lines().filter(|line| forbidden.iter().any(|name| line.starts_with(name))).collect();
    let what = format!("the verifier links what it promises not to: {}", found.join(", "));
    tally.check(tree.success && tree.stdout.contains("tachograph-ledger") && found.is_empty(), &what);
    Ok(())
}

/// A nested `clippy.toml` silently replaces the root's for its folder, and with it every ban.
fn one_clippy_file(place: &Place, tally: &mut Tally) -> Result<()> {
    let root = place.source("clippy.toml");
    let mut nested = place.find_sources(&|name| name == "clippy.toml" || name == ".clippy.toml")?;
    nested.retain(|path| *path != root);
    let names: Vec<_> = nested.iter().map(|path| path.display().to_string()).collect();
    tally.check(
        nested.is_empty(),
        &format!("{} replaces the root's clippy.toml: move its content there", names.join(", ")),
    );
    Ok(())
}
