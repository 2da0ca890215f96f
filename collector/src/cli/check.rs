//! `tachograph check`

use std::sync::Arc;

use serde_json::json;
use tachograph_collector::config::Config;
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::keys::{self, KeysError, Protection};
use tachograph_collector::timestamp::Authorities;
use tachograph_exporters::archive::store::s3::{S3Settings, S3Store};
use tachograph_exporters::archive::{Links, Retention};
use tachograph_exporters::bucket::{self, BucketError};
use tachograph_ledger::{KeyHistory, sign_note};

use super::{Exit, Source, output};

/// Check a configuration, the ledger that it names, and the bucket if there is one. Opens no port and changes nothing.
#[derive(clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (problems, warnings) = self.look();
        warnings.iter().filter(|_| !self.json).for_each(|warning| eprintln!("warning: {warning}"));
        if self.json {
            output::json(&json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings }));
        } else if problems.is_empty() {
            output::line("Configuration and ledger are good.");
        } else {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
        }
        Ok(if problems.is_empty() { Exit::Done } else { Exit::Incomplete })
    }

    /// What is wrong, and what could not be looked at now.
    fn look(&self) -> (Vec<String>, Vec<String>) {
        let config = match Config::load(self.source.config.as_deref(), &self.source.overrides()) {
            Ok(config) => config,
            Err(error) => return (error.to_string().lines().map(str::to_owned).collect(), Vec::new()),
        };
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        if let Some(tls) = &config.receive.tls
            && let Err(error) = tls.load()
        {
            problems.push(format!("receive.tls: {error}"));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
            problems.push(format!("log.level `{}`: {error}", config.log.level));
        }
        if let Some(path) = &config.archive.path
            && !(path.is_dir() || !path.exists() && path.parent().is_some_and(std::path::Path::is_dir))
        {
            problems.push(format!("archive.path: {} is no directory and can't be created as one", path.display()));
        }
        if let Err(error) = Authorities::open(&config.timestamps) {
            problems.push(error.to_string());
        }
        match check_ledger(&config, &mut warnings) {
            Err(error) => problems.push(error.to_string()),
            Ok(data_dir) => {
                problems.extend(config.witnesses.as_ref().and_then(|witnesses| witnesses.problem(&keys_of(&data_dir))));
            }
        }
        if let (Some(settings), Some(retention)) = (&config.archive.s3, &config.archive.retention)
            && let Err(error) = check_bucket(settings, retention)
        {
            // That a store is away for a while says nothing against the configuration.
            let away = matches!(&error, BucketError::Store(error) if error.is_retryable());
            if away { &mut warnings } else { &mut problems }.push(error.to_string());
        }
        (problems, warnings)
    }
}

/// Asks the bucket what it says of itself.
fn check_bucket(settings: &S3Settings, retention: &Retention) -> Result<(), BucketError> {
    let settings = S3Settings { spool: std::env::temp_dir(), ..settings.clone() };
    bucket::inspect(&S3Store::reader(settings.clone())?)?.check(&settings, retention)
}

/// The ledger's keys, as far as its archive can be read from here.
fn keys_of(data_dir: &DataDir) -> KeyHistory {
    let reader = data_dir.archive().ok().and_then(|place| place.reader().ok());
    let links = reader.and_then(|store| Links::read(&*store, data_dir.vkey().clone()).ok());
    links.map_or_else(|| KeyHistory::new(data_dir.vkey().clone()), |links| links.history)
}

fn check_ledger(config: &Config, warnings: &mut Vec<String>) -> Result<DataDir, KeysError> {
    let protection = Protection::load(config.keys.encryption.as_ref())?;
    let data_dir = DataDir::open(&config.data)?.protected_by(protection);
    keys::check_commits(config, data_dir.vkey())?;
    // No note begins so: what is signed here can be taken for nothing else.
    const PROBE: &str = "tachograph check\n";
    for key in keys_of(&data_dir).present() {
        let signer = match key == data_dir.vkey() {
            true => keys::signer(&config.keys, &data_dir)?,
            false => Arc::new(data_dir.later_key(key)?),
        };
        if let Err(error) = sign_note(PROBE, &*signer) {
            // The collector starts without it, and archives nothing until it is there.
            warnings.push(error.to_string());
        }
    }
    data_dir.mac_key()?;
    if data_dir.closed()?.is_some() {
        warnings
            .push("the ledger is closed: `tachograph run` receives nothing for it, and opens no OTLP port".to_owned());
    }
    if data_dir.protection().is_on() {
        let plain = data_dir.unprotected()?.into_iter();
        warnings.extend(plain.map(|name| {
            format!(
                "{}: not encrypted, though keys.encryption is set: run `tachograph key encrypt`",
                data_dir.root().join(name).display()
            )
        }));
    }
    Ok(data_dir)
}
