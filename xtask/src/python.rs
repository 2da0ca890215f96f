//! The Python environment of the tests: `<target>/xtask/python`, with exactly what `tests/python/requirements.txt` pins.
//!
//! Invariant: the stamp file is written last and holds what the environment was made from, so an environment whose
//! making was interrupted, or whose requirements or interpreter changed, is made again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::{self, Watch};
use crate::setup;
use crate::tally::Tally;

/// The variable that tells the tests where the environment's interpreter is.
pub(crate) const VARIABLE: &str = "TACHOGRAPH_TEST_PYTHON";

const REQUIREMENTS: &str = "tests/python/requirements.txt";
const TESTS: &str = "tests/python";

/// What the pinned packages need, and what makes an environment.
const PROBE: &str = "import sys, venv, ensurepip; assert sys.version_info >= (3, 10), 'too old'; print(sys.version)";

/// Makes the environment if it is not there yet; gives the path of its interpreter.
pub(crate) fn ensure(place: &Place) -> Result<PathBuf> {
    let _lock = setup::lock(place)?;
    let folder = place.own("python");
    let interpreter = folder.join("bin").join("python");
    let requirements = place.source(REQUIREMENTS);
    let pins = std::fs::read_to_string(&requirements).with_context(|| format!("can't read {REQUIREMENTS}"))?;
    let wanted = format!("{}\n{pins}", base_version()?);
    let stamp = folder.join("made-from");
    if interpreter.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(interpreter);
    }
    make(&folder, &interpreter, &requirements)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("can't write {}", stamp.display()))?;
    Ok(interpreter)
}

/// The version of the machine's own Python, which is installed if it is missing.
fn base_version() -> Result<String> {
    if let Some(version) = probe() {
        return Ok(version);
    }
    if let Some(old) = too_old() {
        bail!("python3 is {old}, the pinned packages need 3.10 or newer: put a newer python3 first on the PATH");
    }
    setup::install_package("python3-venv", "Python 3 with its venv module")?;
    probe().context("python3-venv was installed, but `python3 -c 'import venv, ensurepip'` still fails")
}

fn probe() -> Option<String> {
    let answer = process::capture(Command::new("python3").args(["-c", PROBE])).ok()?;
    answer.success.then(|| answer.stdout.trim().to_owned())
}

fn too_old() -> Option<String> {
    let script = "import sys; print(*sys.version_info[:2], sep='.'); sys.exit(sys.version_info >= (3, 10))";
    let answer = process::capture(Command::new("python3").args(["-c", script])).ok()?;
    answer.success.then(|| answer.stdout.trim().to_owned())
}

fn make(folder: &Path, interpreter: &Path, requirements: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    if !process::run(Command::new("python3").args(["-m", "venv"]).arg(folder))? {
        bail!("python3 can't make an environment in {}; what it said stands above", folder.display());
    }
    // Wheels only: building such a package from source would take an hour and a C++ toolchain.
    let mut pip = Command::new(interpreter);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
    ]);
    if !process::run(pip.arg("--requirement").arg(requirements))? {
        bail!("pip can't install {REQUIREMENTS}; what it said stands above (is the package index reachable?)");
    }
    Ok(())
}

/// Runs `tests/python/test_*.py` and counts what they report.
pub(crate) fn test(place: &Place, interpreter: &Path, tally: &mut Tally) -> Result<()> {
    let mut command = Command::new(interpreter);
    command
        .args(["-B", "-m", "unittest", "discover", "--verbose", "--start-directory", TESTS])
        .current_dir(place.root())
        .env(VARIABLE, interpreter);
    let mut counts = Counts::default();
    let success = process::watch(&mut command, Watch::Stderr, |line| counts.read(line))?;
    tally.pass(counts.ran.saturating_sub(counts.skipped + counts.failures.len() as u64));
    let found_failures = !counts.failures.is_empty();
    for failure in counts.failures {
        tally.fail(format!("python: {failure}"));
    }
    if counts.skipped > 0 {
        tally.note(format!("{} Python tests were skipped", counts.skipped));
    }
    if counts.ran == 0 || success == found_failures {
        tally.fail(format!("python: the tests in {TESTS} did not run to their end"));
    }
    Ok(())
}

/// What `unittest` prints, read line by line.
#[derive(Default)]
struct Counts {
    ran: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Counts {
    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Ran ") {
            self.ran = rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        } else if let Some(name) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
            self.failures.push(name.to_owned());
        } else if let Some((_, rest)) = line.split_once("skipped=") {
            self.skipped = rest.trim_end_matches(')').split(',').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn counts_are_read_from_what_unittest_prints() {
        let mut counts = Counts::default();
        for line in [
            "test_a (test_x.X.test_a) ... ok",
            "FAIL: test_b (test_x.X.test_b)",
            "ERROR: test_c (test_x.X.test_c)",
            "Ran 5 tests in 0.010s",
            "FAILED (failures=1, errors=1, skipped=1)",
        ] {
            counts.read(line);
        }
        assert_eq!((counts.ran, counts.skipped), (5, 1));
        assert_eq!(counts.failures, ["test_b (test_x.X.test_b)", "test_c (test_x.X.test_c)"]);
    }
}
