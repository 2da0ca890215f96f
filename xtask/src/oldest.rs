//! The oldest compiler that applications may have: what `instrument/Cargo.toml` states is what its code is checked with.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process;
use crate::setup;
use crate::tally::Tally;

/// Checks the crate that applications link with the compiler that its manifest names. What newer features of the standard library it
/// uses, behind features of its own too, clippy says (`incompatible_msrv`).
pub(crate) fn run(place: &Place, tally: &mut Tally) -> Result<()> {
    let manifest = place.source("instrument/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("can't read {}", manifest.display()))?;
    let version = stated(&text).context("instrument/Cargo.toml states no rust-version")?;
    if process::find_program("rustup").is_none() {
        tally.note(format!("Rust {version}, the oldest that applications may have, was NOT tried: there is no rustup"));
        return Ok(());
    }
    if let Err(error) = ensure(place, version) {
        tally.fail(format!("the oldest Rust: {error:#}"));
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check
        .args(["run", version, "cargo", "check", "--package", "tachograph", "--locked", "--quiet"])
        .current_dir(place.root())
        // Its own, or each of the two compilers would throw the other's work away.
        .env("CARGO_TARGET_DIR", place.own("oldest"))
        .env_remove("CARGO");
    tally.check(
        process::run(&mut check)?,
        &format!("Rust {version}, stated in instrument/Cargo.toml, does not build it: see above"),
    );
    Ok(())
}

/// Installs that toolchain if it is not there.
fn ensure(place: &Place, version: &str) -> Result<()> {
    let _lock = setup::lock(place)?;
    let there = process::capture(Command::new("rustup").args(["run", version, "rustc", "--version"]))?;
    if there.success {
        return Ok(());
    }
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", version, "--profile", "minimal", "--no-self-update"]);
    if !process::run(&mut install)? {
        bail!("Rust {version} can't be installed; what rustup said stands above (is static.rust-lang.org reachable?)");
    }
    Ok(())
}

fn stated(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""))?;
    line.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::stated;

    #[test]
    fn the_version_is_the_manifest_s() {
        assert_eq!(stated("[package]\nname = \"x\"\nrust-version = \"1.88\"\n"), Some("1.88"));
        assert_eq!(stated("[package]\nrust-version.workspace = true\n"), None);
    }
}
