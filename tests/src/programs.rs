//! Where the programs under test are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names the interpreter with the OpenTelemetry SDK and DuckDB.
pub const PYTHON: &str = "TACHOGRAPH_TEST_PYTHON";

/// `target/<profile>`, in which this test was built.
fn built() -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    let beside = this.parent().expect("a program lies in a directory");
    if beside.ends_with("deps") { beside.parent().unwrap_or(beside).to_owned() } else { beside.to_owned() }
}

/// The `tachograph` program.
///
/// # Panics
/// If it was not built.
pub fn tachograph() -> PathBuf {
    let path = built().join("tachograph");
    assert!(
        path.is_file(),
        "{} is missing; run `cargo xtask test rust`, or `cargo build -p tachograph-collector` before this test",
        path.display()
    );
    path
}

/// The `tachograph-verify` program.
///
/// # Panics
/// If it was not built.
pub fn verifier() -> Command {
    let path = built().join("tachograph-verify");
    assert!(
        path.is_file(),
        "{} is missing; run `cargo xtask test rust`, or `cargo build -p tachograph-verifier` before this test",
        path.display()
    );
    Command::new(path)
}

/// A `tachograph` command that knows nothing of the environment's own ledger.
pub fn command() -> Command {
    let mut command = Command::new(tachograph());
    for variable in ["TACHOGRAPH_CONFIG", "TACHOGRAPH_DATA", "TACHOGRAPH_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// An example program.
///
/// # Panics
/// If it was not built.
pub fn example(name: &str) -> PathBuf {
    let path = built().join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing; run `cargo xtask test rust`, or `cargo build -p tachograph-examples --examples` before this test",
        path.display()
    );
    path
}

/// The tests' Python.
///
/// # Panics
/// If the environment names none.
pub fn interpreter() -> Command {
    let Some(python) = std::env::var_os(PYTHON) else {
        panic!("{PYTHON} is not set; run `cargo xtask test rust`, which makes the Python environment and names it")
    };
    Command::new(python)
}

/// A program that the tests' Python packages brought along.
///
/// # Panics
/// If the environment names no interpreter, or the program is not there.
pub fn beside_python(name: &str) -> PathBuf {
    let path = Path::new(interpreter().get_program()).with_file_name(name);
    assert!(path.is_file(), "{} is missing; run `cargo xtask setup`", path.display());
    path
}

/// A command that runs one of the scripts in `tests/python`.
///
/// # Panics
/// If the environment names no interpreter.
pub fn python(script: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    assert!(script.is_file(), "{} is missing", script.display());
    let mut command = interpreter();
    command.arg("-B").arg(script);
    command
}
