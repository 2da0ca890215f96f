//! Records many generations and says how long a call took, for measuring a spool and for tests that kill it.
//!
//!     cargo run --release -p tachograph --example record_many -- RECORDS THREADS [memory|process|machine]
//!
//! `TACHOGRAPH_SPOOL` names the spool's directory (none: memory alone), OpenTelemetry's variables name the collector.
//! A line `accepted PROCESS-THREAD N` is printed for every hundredth call of a thread that has returned: its records PROCESS-THREAD-0 to
//! PROCESS-THREAD-(N - 1) were accepted. At the end the report.

use std::time::{Duration, Instant};
use tachograph::{Durability, Init, Spool};

#[tachograph::generation(name = name, provider = "in-house", model = "m", prompt = prompt, seed = 7)]
fn generate(name: &str, prompt: &str) {}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: usize = arguments.next().ok_or("how many records?")?.parse()?;
    let threads: usize = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let durability = match arguments.next().as_deref() {
        Some("process") => Durability::Process,
        Some("machine") => Durability::Machine,
        _ => Durability::Memory,
    };
    let mut settings = Init::new("record-many");
    if let Some(directory) = std::env::var_os("TACHOGRAPH_SPOOL") {
        settings = settings.spool(Spool::new(directory).durability(durability));
    }
    let limit = std::env::var("SHUTDOWN_S").ok().and_then(|limit| limit.parse().ok()).unwrap_or(15);
    let guard = settings.shutdown_limit(Duration::from_secs(limit)).init()?;
    let began = Instant::now();
    let prompt = "p".repeat(600);
    std::thread::scope(|scope| {
        for thread in 0..threads.max(1) {
            let prompt = &prompt;
            scope.spawn(move || {
                for number in 0..records / threads.max(1) {
                    generate(&format!("{}-{thread}-{number}", std::process::id()), prompt);
                    if number % 100 == 99 {
                        println!("accepted {}-{thread} {}", std::process::id(), number + 1);
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    eprintln!("{records} calls in {took:?}: {:?} each", took / u32::try_from(records.max(1))?);
    let began = Instant::now();
    match guard.shutdown() {
        Ok(report) => eprintln!("{report}"),
        Err(lost) => eprintln!("{lost}"),
    }
    eprintln!("shutdown took {:?}", began.elapsed());
    Ok(())
}
