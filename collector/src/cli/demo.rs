//! `tachograph demo`

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tachograph_collector::place::Place;
use tachograph_collector::view::View;
use tachograph_record::Body;

use super::{Exit, output};

/// The whole story on this machine: create a ledger, start a collector, run the four example programs against it as separate
/// processes, stop, verify, and trace one event.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// Directory for the demo's data; must not exist [default: a new one below ./tachograph-demo]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The examples, with what each is about.
const EXAMPLES: [(&str, &str); 4] = [
    ("image_service", "an image-generation service: prompts, seeds, output hashes, a blocked request"),
    ("credit_decision", "a credit decision: threshold, score, input hash, a refused loan"),
    ("trading_pipeline", "a trading pipeline: four processes, one causal chain"),
    ("prompt_log", "a team's prompt log: models, tokens, cost, flags"),
];

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let root = match self.dir {
            Some(dir) => dir,
            None => PathBuf::from("tachograph-demo").join(std::process::id().to_string()),
        };
        ensure!(!root.exists(), "{} exists; choose another directory with --dir", root.display());
        // Behind what may go wrong at once: it may build them first.
        let examples = find_examples()?;
        std::fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        let data = root.join("ledger");
        let this = std::env::current_exe()?;

        step("Create a ledger and its keys");
        run_shown(Command::new(&this).arg("init").arg(&data).args(["--name", "demo.example/ai-audit"]))?;

        step("Start the collector");
        let mut collector = Collector::start(&this, &data)?;
        output::line(&format!("  recording on {}", collector.grpc));

        for (name, story) in EXAMPLES {
            step(&format!("Run `{name}`: {story}"));
            let mut example = Command::new(examples.join(name));
            example.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.grpc));
            if name == "image_service" {
                example.arg("--out").arg(root.join("images"));
            }
            run_shown(&mut example)?;
        }

        step("Stop the collector: it drains, archives all that is sealed, and signs a checkpoint");
        collector.stop()?;

        step("Verify the archive, with the public key alone, as an auditor would");
        let key = data.join("ledger.vkey");
        run_shown(Command::new(&this).arg("verify").arg(data.join("archive")).arg("--key").arg(&key))?;

        step("Trace: why was the order placed? The chain of one event, oldest cause first");
        let event = an_order(&data)?;
        output::line(&format!("  $ tachograph trace {event} --data {}\n", data.display()));
        run_shown(Command::new(&this).arg("trace").arg(&event).arg("--data").arg(&data))?;

        step("Prove it: evidence of that chain for whoever asks, to be checked without us");
        let evidence = root.join("evidence");
        output::line(&format!(
            "  $ tachograph prove {event} --chain --data {} -o {}\n",
            data.display(),
            evidence.display()
        ));
        let mut prove = Command::new(&this);
        run_shown(prove.arg("prove").arg(&event).arg("--chain").arg("--data").arg(&data).arg("-o").arg(&evidence))?;
        run_shown(Command::new(&this).arg("verify").arg(&evidence).arg("--key").arg(&key))?;

        let archive = data.join("archive");
        output::line(&format!(
            "\nGo on with DuckDB, which reads the archive as it lies (docs/querying.md has more):\n\n  \
             duckdb -c \"SELECT timestamp, kind, service_name, actor_id, model, final_decision, outcome FROM \
             read_parquet('{}/records/**/*.parquet', hive_partitioning = true) ORDER BY index\"\n\n\
             The evidence is a page for people, {}, beside the files that prove it.\n\n\
             All of it is in {}.",
            archive.display(),
            evidence.join("index.html").display(),
            root.display()
        ));
        Ok(Exit::Done)
    }
}

fn step(what: &str) {
    output::line(&format!("\n== {what}"));
}

/// Runs a program with its output shown.
fn run_shown(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| program.clone())?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// Where the example programs are: beside this one, as cargo builds them.
fn find_examples() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let beside = this.parent().context("this program has no directory")?;
    let examples = beside.join("examples");
    // `cargo run` tells how cargo is called; then they are built, which takes no time if they are up to date.
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| std::env::var_os("CARGO_MANIFEST_DIR").is_some()) {
        step("Build the example programs");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "tachograph-examples", "--examples"]);
        if beside.ends_with("release") {
            build.arg("--release");
        }
        run_shown(&mut build)?;
    }
    match EXAMPLES.iter().find(|(name, _)| !examples.join(name).is_file()) {
        None => Ok(examples),
        Some((name, _)) => bail!(
            "the example program {name} is not in {}; run the demo from the source tree: cargo run --release -- demo",
            examples.display()
        ),
    }
}

/// A collector in a process of its own, on ports that are free.
struct Collector {
    process: Child,
    grpc: String,
}

impl Collector {
    fn start(this: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(this);
        command.arg("run").arg("--json").arg("--data").arg(data);
        command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.env("TACHOGRAPH_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let announced = process.stdout.take().context("no output")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(announced), &mut line)?;
        let announced: Value = serde_json::from_str(&line).context("the collector did not start")?;
        let grpc = announced["grpc"].as_str().context("the collector has no gRPC address")?.to_owned();
        Ok(Self { process, grpc })
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the collector ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the collector did not stop within a minute")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The event id of the trading pipeline's last event: the one at the end of the longest chain.
fn an_order(data: &Path) -> anyhow::Result<String> {
    let view = View::open(&Place::Directory(data.to_owned()))?;
    let mut newest = None;
    view.archive.context("the demo's archive is not there")?.scan(|_, body| {
        if let Ok(body) = Body::parse_columns(body)
            && body.record.action_type.as_deref() == Some("execute_order")
        {
            newest = Some(body.record.event_id.to_string());
        }
        true
    })?;
    newest.context("the trading pipeline left no record")
}
