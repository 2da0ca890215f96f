//! An application under test: it records, and writes down what the interface told it, so that whoever kills it knows what must be
//! in the ledger.
//!
//! `keep LIFE COUNT SPOOL FILE` records as fast as it can from several threads, with a spool and `Durability::Process`, and ends after
//! COUNT records, once those of earlier lives are delivered too. Each line of FILE is the name of a record whose call returned.
//!
//! `refuse SPOOL FILE` has hardly any room and does what standard input says, a command a line: `record COUNT`, or `flush`. Each is
//! answered with a line. Each line of FILE is the number of a record and what became of its call.
//!
//! Both end in good order where nobody kills them, and print what became of the records.

#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tachograph::{Durability, Guard, Init, Spool, WhenFull};

const THREADS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(600);

#[tachograph::generation(provider = "in-house", model = "pixel-2", prompt = prompt, resource = name, output = %ret)]
fn generate(name: &str, prompt: &str) -> usize {
    prompt.len()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["keep", life, count, spool, file] => keep(life.parse()?, count.parse()?, Path::new(spool), Path::new(file)),
        ["refuse", spool, file] => refuse(Path::new(spool), Path::new(file)),
        _ => Err("usage: tachograph-application keep LIFE COUNT SPOOL FILE | refuse SPOOL FILE".into()),
    }
}

fn keep(life: u64, count: u64, spool: &Path, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let spool = Spool::new(spool).durability(Durability::Process);
    let init = Init::new("application").producer_id("application").shutdown_limit(PATIENCE);
    let guard = init.spool(spool).when_full(WhenFull::Wait).init()?;
    let accepted = append(file)?;
    let prompt = "A fox in the snow, painted in oil. ".repeat(6);
    let next = AtomicU64::new(0);
    let work = || -> std::io::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            // All names have one length, so that the file's length says how many there are.
            let name = format!("{life}-{number:09}");
            generate(&name, &prompt);
            // One write, into the system's memory: what is there survives this process.
            (&accepted).write_all(format!("{name}\n").as_bytes())?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    if life > 0 {
        deliver_what_earlier_lives_left(&guard);
    }
    end(guard)
}

fn refuse(spool: &Path, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // The least that a spool may have, and a queue of a few records behind it. No heartbeat, so that the nth call has number n: the
    // producer's opening has 0.
    let spool = Spool::new(spool).limit(1 << 20).durability(Durability::Process);
    let init = Init::new("application").producer_id("application").heartbeat(Duration::ZERO).shutdown_limit(PATIENCE);
    let guard = init.queue(8, 1 << 20).spool(spool).when_full(WhenFull::Refuse).init()?;
    let mut told = append(file)?;
    let prompt = "A fox in the snow, painted in oil. ".repeat(100);
    let mut number = 0;
    for command in std::io::stdin().lines() {
        let command = command?;
        if let Some(count) = command.strip_prefix("record ") {
            for _ in 0..count.parse::<u64>()? {
                number += 1;
                let before = guard.report();
                generate(&number.to_string(), &prompt);
                let after = guard.report();
                let became = if after.lost > before.lost { "refused" } else { "accepted" };
                writeln!(told, "{number} {became}")?;
            }
        } else {
            guard.flush(PATIENCE);
        }
        println!("{}", guard.report());
    }
    end(guard)
}

fn append(file: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(file)
}

/// Shutdown delivers them too, but waits for no collector on their account. There are some, since each life was killed at work; until
/// they are counted, which the delivery thread does before it delivers any, they seem to be none.
fn deliver_what_earlier_lives_left(guard: &Guard) {
    let deadline = Instant::now() + PATIENCE;
    let is_done = || {
        let report = guard.report();
        report.adopted > 0 && report.adopted == report.adopted_exported + report.adopted_lost
    };
    while !is_done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends in good order; a loss is for whoever reads the counts to judge.
fn end(guard: Guard) -> Result<(), Box<dyn std::error::Error>> {
    let report = guard.shutdown().unwrap_or_else(|lost| lost.report);
    println!("{report}");
    Ok(())
}
