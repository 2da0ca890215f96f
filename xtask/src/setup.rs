//! Gets what the tests need onto the machine.
//!
//! Invariants: one set-up at a time per target directory (a lock file); what is already there is not fetched again;
//! system packages are installed only by root on a machine with apt, and otherwise named.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::{deny, go, process, python};

/// `cargo xtask setup`.
pub(crate) fn run(place: &Place) -> Result<bool> {
    println!("python     {}", python::ensure(place)?.display());
    for program in go::PROGRAMS {
        println!("{:10} {}", program.name, go::ensure(place, program)?.display());
    }
    println!("tlogcheck  {}", go::ensure_tlogcheck(place)?.display());
    println!("cargo-deny {}", deny::ensure(place)?.display());
    println!("c++        {}", ensure_compiler()?.display());
    println!("openssl    {}", ensure_openssl()?.display());
    println!("softhsm    {}", ensure_softhsm()?.display());
    Ok(true)
}

/// A variable that tests read, and the program that it names, or why there is none.
pub(crate) type Named = (&'static str, Result<PathBuf>);

/// Gets every program that tests start beside those of the workspace.
pub(crate) fn programs(place: &Place) -> Vec<Named> {
    let servers = go::PROGRAMS.into_iter().map(|program| (program.variable, go::ensure(place, program)));
    let tlogcheck = (go::TLOGCHECK, go::ensure_tlogcheck(place));
    let softhsm = (SOFTHSM, ensure_softhsm());
    [(python::VARIABLE, python::ensure(place)), tlogcheck, softhsm].into_iter().chain(servers).collect()
}

/// Holds off other set-ups in the same target directory until it is dropped.
pub(crate) fn lock(place: &Place) -> Result<File> {
    std::fs::create_dir_all(place.own("")).with_context(|| format!("can't create {}", place.own("").display()))?;
    let path = place.own("lock");
    let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    file.lock().with_context(|| format!("can't lock {}", path.display()))?;
    Ok(file)
}

/// The C++ compiler, which libFuzzer is built with.
pub(crate) fn ensure_compiler() -> Result<PathBuf> {
    if let Some(compiler) = compiler() {
        return Ok(compiler);
    }
    install_package("g++", "a C++ compiler (the fuzz targets link libFuzzer)")?;
    compiler().context("g++ was installed, but neither c++ nor g++ is on the PATH")
}

/// OpenSSL, version 3: the time-stamp authority of the tests, and the stranger of docs/verifying.md.
pub(crate) fn ensure_openssl() -> Result<PathBuf> {
    if process::find_program("openssl").is_none() {
        install_package("openssl", "OpenSSL (tests of signatures and time stamps)")?;
    }
    let path = process::find_program("openssl").context("openssl was installed, but is not on the PATH")?;
    let version = process::capture(Command::new(&path).arg("version"))?.stdout;
    let major = version.split(' ').nth(1).and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < 3) {
        bail!(
            "{} is {:?}; OpenSSL 3.0 or newer is needed for tests of signatures and time stamps",
            path.display(),
            version.trim()
        );
    }
    Ok(path)
}

/// The variable that tells the tests where SoftHSM's module is.
const SOFTHSM: &str = "TACHOGRAPH_TEST_SOFTHSM";

/// SoftHSM 2, a PKCS#11 token in software, with the tools that make tokens and keys; gives the path of its module.
pub(crate) fn ensure_softhsm() -> Result<PathBuf> {
    for (tool, package) in [("softhsm2-util", "softhsm2"), ("pkcs11-tool", "opensc")] {
        if process::find_program(tool).is_none() {
            install_package(package, &format!("{tool} (tests of keys in PKCS#11 tokens)"))?;
        }
    }
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib"];
    let module = folders.into_iter().map(|folder| PathBuf::from(folder).join("softhsm/libsofthsm2.so"));
    module
        .into_iter()
        .find(|path| path.is_file())
        .context("SoftHSM is installed, but there is no softhsm/libsofthsm2.so")
}

fn compiler() -> Option<PathBuf> {
    let named = std::env::var("CXX").ok().filter(|name| !name.is_empty());
    [named.as_deref().unwrap_or("c++"), "g++", "clang++"].into_iter().find_map(process::find_program)
}

/// Installs a Debian package if this process may, and otherwise says which command does.
pub(crate) fn install_package(package: &str, what_for: &str) -> Result<()> {
    let remedy = format!("{what_for} is missing; install it, on Debian and Ubuntu with `apt-get install -y {package}`");
    if process::find_program("apt-get").is_none() || !is_root() {
        bail!("{remedy}");
    }
    println!("{what_for} is missing; installing {package}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command)
    };
    // A fresh image has no package lists; a failed update still leaves the lists that it had.
    if !apt(&["update", "-qq"])? {
        println!("apt-get update failed; trying with the package lists that are here");
    }
    if !apt(&["install", "-y", "--no-install-recommends", package])? {
        bail!("{remedy} (this was tried just now and failed)");
    }
    Ok(())
}

fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u")).is_ok_and(|answer| answer.stdout.trim() == "0")
}
