//! A test whose body runs in a process of its own, for what is read from the environment of the whole process.

use std::process::Command;

/// Names the test whose body a process is to run.
const CHILD: &str = "TACHOGRAPH_TEST_CHILD";

/// Runs `body` in another process of this test program, with what `prepare` puts into its environment.
/// What `prepare` gives is kept until that process has ended. `test` is the path of the calling test.
///
/// # Panics
/// If `body` does, or did not run.
pub fn in_child<K>(test: &str, prepare: impl FnOnce(&mut Command) -> K, body: impl FnOnce()) {
    if std::env::var(CHILD).is_ok_and(|wanted| wanted == test) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().expect("a test knows where it is"));
    command.args([test, "--exact", "--nocapture"]).env(CHILD, test);
    let kept = prepare(&mut command);
    let done = command.output().expect("the test program starts");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{test} is not the path of this test: {said}");
    drop(kept);
}
