//! `tachograph bucket …`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tachograph_collector::config::{Config, Overrides};
use tachograph_exporters::archive::store::s3::{Brief, Encryption, S3Settings, S3Store, S3Url};
use tachograph_exporters::bucket::{self, BucketError, Check, Outcome, Role, StepOutcome, Trials};
use tachograph_ledger::Lock;

use super::{Exit, output};

/// The bucket that an archive is kept in. Credentials are found as the AWS command line finds them: environment, profile, role.
#[derive(clap::Subcommand)]
pub(super) enum Bucket {
    /// Create the bucket with Object Lock and versioning, or bring one into shape, and print its policies
    Init(Init),
    /// Try whether the store really does what the archive relies on: locks, conditional writes, checksums, versions
    Doctor(Doctor),
    /// Print the policies of the bucket and of those who use it, as the AWS command line takes them
    Policies(Policies),
    /// Print rules for cheaper storage that Object Lock allows
    Lifecycle(Lifecycle),
}

/// Which bucket: from a configuration file, or named here.
#[derive(clap::Args)]
struct Which {
    /// Configuration file with `archive.s3`
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bucket, as s3://bucket/prefix
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    bucket: Option<String>,
    /// A store other than Amazon's, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// How objects are locked: compliance (nobody can lift it) or governance (who has the right can) [default: compliance]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Which {
    fn settings(&self) -> anyhow::Result<S3Settings> {
        let mut settings = match (&self.bucket, &self.config) {
            (Some(bucket), _) => {
                let url: S3Url = bucket.parse()?;
                S3Settings { lock: Lock::Compliance, encryption: Encryption::SseS3, ..S3Settings::of_url(&url) }
            }
            (None, Some(path)) => {
                let config = Config::load(Some(path), &Overrides::default())?;
                config.archive.s3.with_context(|| format!("{}: there is no archive.s3 in it", path.display()))?
            }
            (None, None) => bail!("name the bucket with --bucket s3://bucket/prefix, or a configuration with -c"),
        };
        settings.endpoint = self.endpoint.clone().or(settings.endpoint);
        settings.region = self.region.clone().or(settings.region);
        // Read again, so that what was given is checked.
        settings.url().to_string().parse::<S3Url>()?;
        if let Some(mode) = &self.mode {
            settings.lock = match Lock::parse(mode) {
                Some(lock) if lock != Lock::None => lock,
                _ => bail!("--mode {mode}: there are compliance and governance"),
            };
        }
        // Nothing is uploaded from here; a running collector's spool stays as it is.
        settings.spool = std::env::temp_dir();
        Ok(settings)
    }

    fn store(&self) -> anyhow::Result<S3Store> {
        Ok(S3Store::patient(self.settings()?, std::sync::Arc::new(Brief))?)
    }
}

#[derive(clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    which: Which,
    /// Also lock what comes without a date, for so many days: a net for what other programs write there. Keep it below archive.retention
    #[arg(long, value_name = "DAYS")]
    default_retention: Option<i32>,
    /// The longest that anybody may lock an object, for the bucket's policy
    #[arg(long, value_name = "DAYS", default_value_t = MAX_DAYS)]
    max_days: u64,
}

#[derive(clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    which: Which,
}

#[derive(clap::Args)]
pub(super) struct Policies {
    #[command(flatten)]
    which: Which,
    /// Whose: bucket, writer, reader, auditor, destroyer or holder [default: all]
    #[arg(long = "for", value_name = "ROLE")]
    role: Option<String>,
    /// The longest that anybody may lock an object, for the bucket's policy
    #[arg(long, value_name = "DAYS", default_value_t = MAX_DAYS)]
    max_days: u64,
}

#[derive(clap::Args)]
pub(super) struct Lifecycle {
    #[command(flatten)]
    which: Which,
    /// Move bodies to another storage class after so many days, for example STANDARD_IA:30. May be given several times
    #[arg(long, value_name = "CLASS:DAYS")]
    transition: Vec<String>,
}

/// Eleven years: ten and a margin.
const MAX_DAYS: u64 = 4_018;

impl Bucket {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Init(init) => init.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Policies(policies) => policies.run(),
            Self::Lifecycle(lifecycle) => lifecycle.run(),
        }
    }
}

impl Init {
    fn run(self) -> anyhow::Result<Exit> {
        let store = self.which.store()?;
        let steps = bucket::init(&store, self.default_retention)?;
        let inspection = bucket::inspect(&store)?;
        let settings = store.settings();
        let policies = policies_of(settings, None, self.max_days);
        if self.which.json {
            output::json(&json!({ "steps": steps, "bucket": inspection, "policies": policies }));
        } else {
            for step in &steps {
                let word = match step.outcome {
                    StepOutcome::Done => "  done",
                    StepOutcome::NoSuchSetting => "  none",
                    StepOutcome::Failed => "  NOT ",
                };
                output::line(&format!("{word} {}: {}", step.name, step.what));
            }
            let yes = |yes: bool| if yes { "on" } else { "OFF" };
            let default = match &inspection.default_retention {
                Some((mode, days)) => format!("{mode}, {days} days"),
                None => "none".to_owned(),
            };
            output::line(&format!(
                "\nBucket {}: Object Lock {}, versioning {}, default retention {default}.",
                inspection.bucket,
                yes(inspection.object_lock),
                yes(inspection.versioning)
            ));
            output::line(
                "\nThe bucket's policy is not set by this command: read it, then set it (aws s3api put-bucket-policy).",
            );
            output::line(&format!("{policies:#}"));
            output::line("\nNext: tachograph bucket doctor");
        }
        let failed = steps.iter().any(|step| step.outcome == StepOutcome::Failed);
        Ok(if inspection.object_lock && inspection.versioning && !failed { Exit::Done } else { Exit::Incomplete })
    }
}

impl Doctor {
    fn run(self) -> anyhow::Result<Exit> {
        let store = self.which.store()?;
        let (inspection, unreadable) = match bucket::inspect(&store) {
            Ok(inspection) => (Some(inspection), None),
            // What it does can be tried all the same.
            Err(error @ BucketError::Unreadable { .. }) => (None, Some(error)),
            Err(error) => return Err(error.into()),
        };
        let skew_ms = inspection.as_ref().and_then(|inspection| inspection.clock_skew_ms);
        let skewed = skew_ms.is_some_and(|ms| Duration::from_millis(ms.unsigned_abs()) > bucket::MAX_SKEW);
        // Nobody knows until when what is tried would be locked.
        let mut checks = if skewed { Vec::new() } else { bucket::doctor(&store, Trials::All)? };
        if let Some(error) = unreadable {
            let name = "the bucket's own words are S3's";
            checks.insert(0, Check { name, outcome: Outcome::Refuted, what: error.to_string() });
        }
        let has = |outcome: Outcome| checks.iter().any(|check| check.outcome == outcome);
        let mode = store.settings().lock.as_str();
        let unlocked = inspection.as_ref().is_some_and(|inspection| !inspection.object_lock);
        let unversioned = inspection.as_ref().is_some_and(|inspection| !inspection.versioning);
        let fit = !unlocked && !unversioned && !has(Outcome::Refuted) && !skewed;
        if self.which.json {
            output::json(&json!({ "bucket": inspection, "mode": mode, "checks": checks, "fit": fit }));
        } else {
            if unlocked {
                output::line("  REFUTED   Object Lock is on\n            the bucket says that it is not");
            }
            if unversioned {
                output::line("  REFUTED   versioning is on\n            the bucket says that it is not");
            }
            if let Some(ms) = skew_ms {
                output::line(&format!(
                    "  {}  the clocks agree\n            the store is {} ms {}",
                    if skewed { "REFUTED " } else { "proven  " },
                    ms.unsigned_abs(),
                    if ms < 0 { "behind" } else { "ahead" }
                ));
            }
            checks.iter().for_each(print);
            output::line(&match (fit, has(Outcome::Unproven)) {
                (true, false) => format!("\nFIT: the store does what an archive in mode {mode} relies on."),
                (true, true) => format!(
                    "\nNOTHING SPEAKS AGAINST mode {mode}, but not everything could be tried with these rights."
                ),
                (false, _) => format!("\nNOT FIT for an archive in mode {mode}: see what is refuted."),
            });
        }
        Ok(if fit { Exit::Done } else { Exit::Incomplete })
    }
}

fn print(check: &Check) {
    let word = match check.outcome {
        Outcome::Proven => "proven  ",
        Outcome::Refuted => "REFUTED ",
        Outcome::Unproven => "unproven",
    };
    output::line(&format!("  {word}  {}\n            {}", check.name, check.what));
}

impl Policies {
    fn run(self) -> anyhow::Result<Exit> {
        let role = match &self.role {
            None => None,
            Some(word) => match Role::ALL.into_iter().find(|role| role.as_str() == word) {
                Some(role) => Some(role),
                None => bail!("--for {word}: there are {}", Role::ALL.map(Role::as_str).join(", ")),
            },
        };
        output::json(&policies_of(&self.which.settings()?, role, self.max_days));
        Ok(Exit::Done)
    }
}

fn policies_of(settings: &S3Settings, role: Option<Role>, max_days: u64) -> serde_json::Value {
    match role {
        Some(role) => bucket::policy(role, settings, max_days),
        None => Role::ALL
            .into_iter()
            .map(|role| (role.as_str().to_owned(), bucket::policy(role, settings, max_days)))
            .collect(),
    }
}

impl Lifecycle {
    fn run(self) -> anyhow::Result<Exit> {
        let parse = |text: &String| {
            let parsed =
                text.split_once(':').and_then(|(class, days)| Some((class.to_owned(), days.parse::<u32>().ok()?)));
            let good = |(class, _): &(String, u32)| {
                !class.is_empty() && class.bytes().all(|c| c.is_ascii_uppercase() || c == b'_')
            };
            parsed
                .filter(good)
                .with_context(|| format!("--transition {text}: write CLASS:DAYS, for example STANDARD_IA:30"))
        };
        let transitions = self.transition.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
        output::json(&bucket::lifecycle(&self.which.settings()?, &transitions));
        Ok(Exit::Done)
    }
}
