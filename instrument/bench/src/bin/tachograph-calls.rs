//! `cargo xtask bench calls`: a table on standard error, JSON on standard output.

#![forbid(unsafe_code)]

use std::process::Command;

use serde_json::{Map, Value, json};
use tachograph_calls::cases::{ANNOTATED, CASES, CHUNK, HANDWRITTEN, TRACING, Taken, measure};
use tachograph_calls::measure::{Series, rounded};
use tachograph_calls::{crowd, inference};

const ROUNDS: u64 = 100;

fn main() {
    let rounds = rounds();
    let allocations = allocations();
    let taken = measure(rounds);
    let mut cases = Map::new();
    eprintln!(
        "\n{:44}{:>9}{:>8}{:>8}{:>12}{:>8}{:>8}",
        "a call", "CPU ns", "spread", "to hand", "elapsed ns", "allocs", "bytes"
    );
    let by_hand = cpu_of(HANDWRITTEN, &taken);
    for (case, Taken { cpu, elapsed }) in CASES.iter().zip(&taken) {
        let (spread, to_handwritten) = (cpu.spread(), cpu.ratios(by_hand).median());
        let count = |what: &str| allocations[case.name][what].as_f64().unwrap_or(f64::NAN);
        eprintln!(
            "{:44}{:>9.0}{:>7.0}%{:>8.2}{:>12.0}{:>8.1}{:>8.0}",
            case.what,
            cpu.median(),
            spread * 100.0,
            to_handwritten,
            elapsed.median(),
            count("allocations"),
            count("bytes"),
        );
        let numbers = json!({
            "calls_a_chunk": case.chunk,
            "cpu_ns": cpu.to_json(0),
            "elapsed_ns": elapsed.to_json(0),
            "to_handwritten": rounded(to_handwritten, 3),
            "allocations": count("allocations"),
            "bytes": count("bytes"),
        });
        cases.insert(case.name.to_owned(), numbers);
    }
    let to_tracing = rounded(cpu_of(ANNOTATED, &taken).ratios(cpu_of(TRACING, &taken)).median(), 3);
    eprintln!("#[generation] to tracing + tracing-opentelemetry: {to_tracing}");
    let threads = crowd::run(rounds.div_ceil(3));
    eprintln!(
        "{} threads at once to one a core: CPU {}, elapsed {}",
        threads["many_threads"]["threads"], threads["cpu_ratio"], threads["elapsed_ratio"]
    );
    let inference = inference::run(rounds.div_ceil(4));
    inference::lines(&inference).iter().for_each(|line| eprintln!("{line}"));
    println!(
        "{:#}",
        json!({
            "rounds": rounds,
            "cases": cases,
            "annotated_to_tracing": to_tracing,
            "threads": threads,
            "inference": inference,
        })
    );
}

fn cpu_of<'a>(name: &str, taken: &'a [Taken]) -> &'a Series {
    let at = CASES.iter().position(|case| case.name == name).expect("a case of this name");
    &taken[at].cpu
}

fn rounds() -> u64 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => ROUNDS,
        ["--rounds", text] => text.parse().ok().filter(|rounds| *rounds > 0).unwrap_or_else(usage),
        _ => usage(),
    }
}

fn usage<T>() -> T {
    eprintln!(
        "usage: cargo xtask bench calls [--rounds N], {ROUNDS} unless told otherwise: chunks of up to {CHUNK} calls of each case"
    );
    std::process::exit(2)
}

/// What the program that counts them says.
fn allocations() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", "tachograph-calls"]);
    let output = command.args(["--bin", "tachograph-calls-allocations"]).output().expect("cargo can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("tachograph-calls-allocations prints JSON")
}
