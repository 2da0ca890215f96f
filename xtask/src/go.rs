//! Real S3 servers for the tests, built from the Go module proxy into `<target>/xtask/go/bin`: processes of their own, no part of the product.
//!
//! Invariant: a program's stamp is removed before it is built and written after, and holds its pin, so a program whose building was
//! interrupted, or whose pin changed, is built again.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process;
use crate::setup;

/// A program with a `main` package.
pub(crate) struct Program {
    /// What it is called.
    pub(crate) name: &'static str,
    package: &'static str,
    version: &'static str,
    /// The variable that tells the tests where it is.
    pub(crate) variable: &'static str,
}

/// Object Lock and conditional writes as Amazon's S3 has them.
const MINIO: Program = Program {
    name: "minio",
    package: "github.com/minio/minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
    variable: "TACHOGRAPH_TEST_MINIO",
};

/// A store whose locks can be shortened, which `tachograph bucket doctor` must find out.
const VERSITYGW: Program = Program {
    name: "versitygw",
    package: "github.com/versity/versitygw/cmd/versitygw",
    version: "v1.7.0",
    variable: "TACHOGRAPH_TEST_VERSITYGW",
};

/// All of them.
pub(crate) const PROGRAMS: [&Program; 2] = [&MINIO, &VERSITYGW];

/// The oldest Go that builds them all, by their go.mod.
const OLDEST: (u32, u32) = (1, 25);

/// Builds a program if it is not there yet; gives its path.
pub(crate) fn ensure(place: &Place, program: &Program) -> Result<PathBuf> {
    let _lock = setup::lock(place)?;
    let folder = place.own("go");
    let bin = folder.join("bin");
    let built = bin.join(program.name);
    let pin = format!("{}@{}", program.package, program.version);
    let stamp = folder.join(format!("{}.made-from", program.name));
    if built.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == pin) {
        return Ok(built);
    }
    check_version(program.name)?;
    std::fs::create_dir_all(&bin).with_context(|| format!("can't create {}", bin.display()))?;
    if stamp.exists() {
        std::fs::remove_file(&stamp).with_context(|| format!("can't remove {}", stamp.display()))?;
    }
    let mut install = Command::new("go");
    // Away from any go.mod or go.work of whoever calls, which would change what is built.
    install.args(["install", "-trimpath", &pin]).current_dir(&folder).env("GOBIN", &bin).env("GOWORK", "off");
    if !process::run(&mut install)? {
        bail!("go can't install {pin}; what it said stands above (is the module proxy reachable?)");
    }
    if !built.is_file() {
        bail!("go installed {pin}, but there is no {}: is GOOS or GOARCH set?", built.display());
    }
    std::fs::write(&stamp, pin).with_context(|| format!("can't write {}", stamp.display()))?;
    Ok(built)
}

/// The variable that tells the tests where `tlogcheck` is.
pub(crate) const TLOGCHECK: &str = "TACHOGRAPH_TEST_TLOGCHECK";

/// Builds `tests/go/tlogcheck`, which reads an exported ledger with Go's own transparency-log packages. Go itself knows what has changed.
pub(crate) fn ensure_tlogcheck(place: &Place) -> Result<PathBuf> {
    let _lock = setup::lock(place)?;
    check_version("tlogcheck")?;
    let built = place.own("go").join("bin").join("tlogcheck");
    let mut build = Command::new("go");
    build.args(["build", "-trimpath", "-o"]).arg(&built).arg(".");
    build.current_dir(place.source("tests/go/tlogcheck")).env("GOWORK", "off").env("GOFLAGS", "-mod=readonly");
    if !process::run(&mut build)? {
        bail!("go can't build tests/go/tlogcheck; what it said stands above (is the module proxy reachable?)");
    }
    Ok(built)
}

/// Go itself is not installed by us: the one that Debian 12 and Ubuntu 24.04 bring is too old.
fn check_version(name: &str) -> Result<()> {
    let (major, minor) = OLDEST;
    let remedy = format!(
        "{} is built with Go {major}.{minor} or newer: install it from go.dev or a newer distribution, and put it first on the PATH",
        name
    );
    // Where no module is, so that `go` speaks of itself and fetches no other version.
    let mut command = Command::new("go");
    command.args(["env", "GOVERSION"]).current_dir("/").env("GOTOOLCHAIN", "local");
    let answer = process::capture(&mut command).ok().filter(|answer| answer.success);
    let Some(answer) = answer else { bail!("go is missing; {remedy}") };
    let version = answer.stdout.trim();
    match parse(version) {
        Some(found) if found < OLDEST => bail!("go is too old ({version}); {remedy}"),
        // A Go of somebody's own making says what it likes, and may well do.
        _ => Ok(()),
    }
}

/// Major and minor of what `go env GOVERSION` says, such as `go1.25.3`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("go")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let end = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, parse};

    #[test]
    fn versions_are_read_as_go_prints_them() {
        assert_eq!(parse("go1.25.3"), Some((1, 25)));
        assert_eq!(parse("go1.26rc1"), Some((1, 26)));
        assert_eq!(parse("go1.26 X:nodwarf5"), Some((1, 26)));
        assert_eq!(parse("devel go1.27-abcdef"), None);
        assert!(parse("go1.19.8").unwrap() < OLDEST && parse("go2.0").unwrap() > OLDEST);
    }
}
