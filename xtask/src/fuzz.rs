//! Coverage-guided fuzzing on the stable compiler.
//!
//! The package `tachograph-fuzz` links libFuzzer. Only the workspace's own crates are instrumented for coverage:
//! cargo runs the compiler for them, and for them alone, through a wrapper script that adds the flags, so all
//! dependencies are the ones that the ordinary build made. The script's name holds a hash of its content, and cargo
//! keeps builds with different wrappers apart; so a change of flags builds anew, and ordinary builds stay as they were.
//!
//! What a run finds stays under `<target>/xtask/fuzz`: `corpus/<target>` grows from run to run, `artifacts/<target>`
//! has the inputs that crashed, `<target>.log` what libFuzzer said.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process;
use crate::setup;
use crate::tally::Tally;

/// Names the target that the fuzz program runs.
const VARIABLE: &str = "TACHOGRAPH_FUZZ_TARGET";

const SECONDS: u64 = 60;

/// One input may take this long; more is a hang, and reported as a crash is.
const INPUT_SECONDS: u64 = 10;
const MEMORY_MIB: u64 = 2048;

/// Macros and build scripts run inside the compiler and cargo, which have no fuzzer's runtime to call.
const WRAPPER: &str = r#"#!/bin/sh
[ "$2" = --crate-name ] || exec "$@"
case " $* " in
*" --crate-name ___ "* | *" --crate-name build_script_"* | *" --crate-type proc-macro "*) exec "$@" ;;
esac
exec "$@" -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Ccodegen-units=1
"#;

/// How to fuzz.
pub(crate) struct Session {
    /// For how long each target runs.
    pub(crate) seconds: u64,
}

/// `cargo xtask fuzz`.
pub(crate) fn command(place: &Place, arguments: &[String]) -> Result<bool> {
    let (mut target, mut input, mut session) = (None, None, Session { seconds: SECONDS });
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seconds" => {
                let text = value()?;
                session.seconds = text.parse().with_context(|| format!("--seconds {text:?} is not a number"))?;
            }
            "--input" => input = Some(std::path::absolute(value()?)?),
            option if option.starts_with('-') => {
                bail!("unknown option {option:?}; `cargo xtask help` lists them")
            }
            name if target.is_none() => target = Some(name.to_owned()),
            extra => bail!("unexpected argument {extra:?}: one target at a time"),
        }
    }
    if let Some(name) = &target {
        let known = names(place)?;
        if !known.contains(name) {
            bail!("there is no fuzz target {name:?}; the targets are {}", known.join(", "));
        }
    }
    match (target, input) {
        (Some(name), Some(input)) => replay(place, &name, &input),
        (None, Some(_)) => bail!("--input needs the name of its target"),
        (target, None) => {
            let mut tally = Tally::default();
            let program = build(place)?;
            let names = target.map_or_else(|| names(place), |name| Ok(vec![name]))?;
            fuzz_all(place, &program, &names, &session, &mut tally)?;
            Ok(tally.close())
        }
    }
}

/// Every target.
pub(crate) fn run_all(place: &Place, session: &Session, tally: &mut Tally) -> Result<()> {
    fuzz_all(place, &build(place)?, &names(place)?, session, tally)
}

/// As many targets at a time as there are processors: each keeps one busy.
fn fuzz_all(place: &Place, program: &Path, names: &[String], session: &Session, tally: &mut Tally) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let waiting = Mutex::new(names.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<Option<String>>> {
        std::iter::from_fn(&next).map(|name| fuzz(place, program, name, session)).collect()
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("fuzzing does not panic")).collect::<Vec<_>>()
    });
    for failure in found.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        match failure {
            None => tally.pass(1),
            Some(failure) => tally.fail(failure),
        }
    }
    Ok(())
}

/// Runs one input in the instrumented program.
fn replay(place: &Place, name: &str, input: &Path) -> Result<bool> {
    if !input.is_file() {
        bail!("there is no file {}", input.display());
    }
    let mut command = Command::new(build(place)?);
    process::run(command.env(VARIABLE, name).arg(input))
}

/// The targets' names: one file each.
fn names(place: &Place) -> Result<Vec<String>> {
    let folder = place.source("fuzz/src/targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "mod")
        {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("{} has no fuzz targets", folder.display());
    }
    Ok(names)
}

/// Builds the fuzz program; gives its path.
fn build(place: &Place) -> Result<PathBuf> {
    setup::ensure_compiler()?;
    let wrapper = write_wrapper(place)?;
    // With all packages selected, the dependencies get the features that they have in the ordinary build.
    let mut command = place.cargo(&["build", "--workspace", "--bin", "tachograph-fuzz"]);
    command.args(["--features", "tachograph-fuzz/libfuzzer"]);
    if !process::run(command.env("RUSTC_WORKSPACE_WRAPPER", wrapper))? {
        bail!("the fuzz program does not build; what cargo said stands above");
    }
    Ok(place.built("debug/tachograph-fuzz"))
}

fn write_wrapper(place: &Place) -> Result<PathBuf> {
    let _lock = setup::lock(place)?;
    let mut hasher = DefaultHasher::new();
    WRAPPER.hash(&mut hasher);
    let path = place.own(&format!("fuzz/rustc-{:016x}", hasher.finish()));
    if !path.is_file() {
        make_folder(&place.own("fuzz"))?;
        // Under another name first, so that a half-written script is never run.
        let draft = path.with_extension("draft");
        std::fs::write(&draft, WRAPPER).with_context(|| format!("can't write {}", draft.display()))?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755))?;
        std::fs::rename(&draft, &path)?;
    }
    Ok(path)
}

/// Runs one target; gives what is wrong, if anything is.
fn fuzz(place: &Place, program: &Path, name: &str, session: &Session) -> Result<Option<String>> {
    let corpus = place.own(&format!("fuzz/corpus/{name}"));
    let artifacts = place.own(&format!("fuzz/artifacts/{name}"));
    make_folder(&corpus)?;
    make_folder(&artifacts)?;
    let log = place.own(&format!("fuzz/{name}.log"));
    let output = File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
    println!("fuzz {name}: {} s, log in {}", session.seconds, log.display());
    let status = Command::new(program)
        .arg(format!("-max_total_time={}", session.seconds))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        // What is found goes to the first folder; the seeds are only read.
        .args([corpus, place.source("fuzz/corpus").join(name)])
        .env(VARIABLE, name)
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("can't start {}", program.display()))?;
    let said = std::fs::read(&log).with_context(|| format!("can't read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    if let Some(problem) = problem(&said, status.success()) {
        println!("{}", last_lines(&said, 60));
        let reproduce = artifact(&said).map(|path| {
            format!(
                "\n  reproduce: cargo xtask fuzz {name} --input {path}\
                 \n  keep it from coming back: once it is mended, copy the input into fuzz/corpus/{name}/"
            )
        });
        return Ok(Some(format!("fuzz {name}: {problem}{}", reproduce.unwrap_or_default())));
    }
    println!("fuzz {name}: {}", summary(&said));
    Ok(None)
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("can't create {}", path.display()))
}

/// What is wrong with a run, if anything.
fn problem(said: &str, success: bool) -> Option<&'static str> {
    if !said.contains("inline 8-bit counters)") {
        return Some("the program was built without coverage instrumentation, or did not start");
    }
    (!success).then_some("an input crashed, hung or used too much memory")
}

fn artifact(said: &str) -> Option<&str> {
    let (_, rest) = said.rsplit_once("Test unit written to ")?;
    rest.lines().next().map(str::trim)
}

fn summary(said: &str) -> String {
    let coverages: Vec<_> = said.lines().filter_map(|line| word_after(line, " cov: ")).collect();
    let inputs = said.lines().find_map(|line| word_after(line, "stat::number_of_executed_units: "));
    format!(
        "{} inputs, coverage {} after the seeds, {} at the end",
        inputs.unwrap_or("0"),
        coverages.first().unwrap_or(&"0"),
        coverages.last().unwrap_or(&"0"),
    )
}

fn word_after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark)?.1.split_whitespace().next()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{artifact, problem, summary};

    const RUN: &str = "INFO: Loaded 1 modules   (90 inline 8-bit counters): 90 [0x1, 0x2), \n\
        #5\tINITED cov: 8 ft: 9 corp: 1/1b exec/s: 0 rss: 27Mb\n\
        #9\tNEW    cov: 12 ft: 14 corp: 2/3b lim: 4 exec/s: 0 rss: 27Mb L: 2/2 MS: 1\n";

    #[test]
    fn a_good_run_is_summed_up() {
        let said = format!("{RUN}stat::number_of_executed_units: 77\n");
        assert_eq!(problem(&said, true), None);
        assert_eq!(summary(&said), "77 inputs, coverage 8 after the seeds, 12 at the end");
    }

    #[test]
    fn a_crash_names_its_input() {
        let said = format!("{RUN}artifact_prefix='/a/'; Test unit written to /a/crash-1\nBase64: AA==\n");
        assert!(problem(&said, false).is_some());
        assert_eq!(artifact(&said), Some("/a/crash-1"));
    }

    #[test]
    fn a_blind_run_is_a_failure() {
        assert!(problem("#2\tINITED exec/s: 0 rss: 27Mb\n", true).is_some());
    }
}
