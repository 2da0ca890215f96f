//! Running other programs: echoed, watched line by line, or captured.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a captured program said.
pub(crate) struct Answer {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        Answer {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Which of a program's outputs to watch; the other one goes straight to the terminal.
#[derive(Clone, Copy)]
pub(crate) enum Watch {
    Stdout,
    Stderr,
}

/// Shows the command, runs it, and says whether it succeeded.
pub(crate) fn run(command: &mut Command) -> Result<bool> {
    echo(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    Ok(status.success())
}

/// Like [`run`], and hands every line of one output to `each` as well as to the terminal.
pub(crate) fn watch(command: &mut Command, which: Watch, mut each: impl FnMut(&str)) -> Result<bool> {
    echo(command);
    match which {
        Watch::Stdout => command.stdout(Stdio::piped()),
        Watch::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let output: Box<dyn Read> = match which {
        Watch::Stdout => Box::new(child.stdout.take().context("the program's output was not piped")?),
        Watch::Stderr => Box::new(child.stderr.take().context("the program's errors were not piped")?),
    };
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let mut terminal = std::io::stdout().lock();
        terminal.write_all(&line)?;
        terminal.flush()?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// Runs a program without showing anything.
pub(crate) fn capture(command: &mut Command) -> Result<Answer> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    Ok(output.into())
}

/// Like [`capture`], but gives up, and ends the program, after `limit`.
/// For programs that may hang and say little: what they write must fit a pipe's buffer.
pub(crate) fn capture_within(command: &mut Command, limit: Duration) -> Result<Answer> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{} did not finish within {} s", shown(command), limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child.wait_with_output()?.into())
}

/// Where the program `name` is, if it is on the PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn echo(command: &Command) {
    println!("$ {}", shown(command));
}

/// The command as one would type it; the program without its folder.
pub(crate) fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let mut text = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn cannot_start(command: &Command) -> String {
    format!("can't start {:?}", command.get_program())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{Watch, capture_within, shown, watch};

    #[test]
    fn watch_hands_over_each_line_and_the_outcome() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; printf 'two \\377\\n'; exit 3"]);
        let success = watch(&mut command, Watch::Stdout, |line| seen.push(line.to_owned())).unwrap();
        assert!(!success);
        assert_eq!(seen, ["one", "two \u{fffd}"]);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = capture_within(&mut command, Duration::from_millis(100)).err().expect("a time limit");
        assert!(error.to_string().contains("sleep 600 did not finish"), "{error}");
    }

    #[test]
    fn shown_leaves_the_folder_of_the_program_out() {
        let mut command = Command::new("/some/where/tool");
        command.args(["a", "b"]);
        assert_eq!(shown(&command), "tool a b");
    }
}
