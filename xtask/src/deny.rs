//! The supply chain: `cargo deny` against `deny.toml`, with a pinned version that is installed once
//! into `<target>/xtask/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::place::{self, Place};
use crate::process;
use crate::setup;
use crate::tally::Tally;

const VERSION: &str = "0.20.2";
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// Installs cargo-deny if it is not there yet; gives its path.
pub(crate) fn ensure(place: &Place) -> Result<PathBuf> {
    let _lock = setup::lock(place)?;
    let folder = place.own(&format!("tools/cargo-deny-{VERSION}"));
    let program = folder.join("bin").join("cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let build = place.own("tools/build");
    // It runs for a second and builds for minutes: little optimisation is the faster choice (80 s on two cores).
    let mut install = Command::new(place::cargo());
    install
        .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--no-default-features", "--root"])
        .arg(&folder)
        .current_dir(place.root())
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    if !process::run(&mut install)? {
        bail!("cargo-deny {VERSION} can't be installed; what cargo said stands above (is the registry reachable?)");
    }
    std::fs::remove_dir_all(&build).with_context(|| format!("can't remove {}", build.display()))?;
    Ok(program)
}

/// Licences, bans and sources always; advisories if their database can be fetched.
pub(crate) fn run(place: &Place, program: &Path, tally: &mut Tally) -> Result<()> {
    let remedy = "cargo deny: what it said stands above, the policy is deny.toml";
    let mut check = deny(place, program);
    check.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    tally.check(process::run(&mut check)?, remedy);

    if let Err(reason) = fetch_advisories(place, program) {
        tally.note(format!("advisories were NOT checked: their database can't be fetched ({reason})"));
        return Ok(());
    }
    let mut check = deny(place, program);
    tally.check(process::run(check.args(["check", "--disable-fetch", "advisories"]))?, remedy);
    Ok(())
}

fn fetch_advisories(place: &Place, program: &Path) -> Result<(), String> {
    let mut fetch = deny(place, program);
    // Without this, git would wait for somebody to type a password.
    fetch.args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    let answer = process::capture_within(&mut fetch, FETCH_LIMIT).map_err(|error| error.to_string())?;
    if answer.success {
        return Ok(());
    }
    let said = answer.stderr.lines().rev().find(|line| !line.trim().is_empty());
    Err(said.unwrap_or("no reason given").trim().to_owned())
}

fn deny(place: &Place, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--color", "never"]).current_dir(place.root()).env("CARGO", place::cargo());
    command
}
