//! `tachograph verify`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::bail;
use tachograph_collector::audit::verify_data_dir;
use tachograph_collector::config::{Config, Keys, Overrides};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::keys::{self, Protection};
use tachograph_collector::place::Place;
use tachograph_exporters::verify::{Beginning, Options, Report};
use tachograph_ledger::{MacKey, VerifyingKey};
use tachograph_verifier::{Arguments, Bar, is_bundle, tell, verify_archive, verify_bundle, verify_shards};

use super::Exit;

/// Verify an archive, a data directory, or a bundle of evidence, offline: every hash, link, signature, checkpoint, and that the typed
/// columns say what the sealed bodies say. One verdict per axis; one that could not be checked is INCOMPLETE, never a pass.
///
/// An archive may be in a bucket: s3://bucket/prefix. A data directory brings its own key and newest checkpoint.
///
/// Exit code: 0 if no axis fails and all required ones pass; 1 if any fails (tampering); 2 if a required one is incomplete or
/// something could not be read.
#[derive(clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    arguments: Arguments,
    /// The configuration file: its `keys.encryption` opens the MAC key of a data directory, its `keys.mac` asks a key service for the
    /// first one
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// For an archive in a bucket: a store other than Amazon's, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// For an archive in a bucket: its region [default: as the environment or profile says]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// The first MAC key from a key service. Without it all but the MACs is verified, as without an escrow file.
fn of_service(keys: Option<&Keys>, vkey: &VerifyingKey) -> Option<MacKey> {
    keys::mac_key_of_service(keys?, vkey).unwrap_or_else(|error| {
        eprintln!("warning: the archive's MACs are not checked: keys.mac: {error}");
        None
    })
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let code = match is_bundle(Path::new(&self.arguments.place)) {
            true => verify_bundle(&self.arguments)?,
            false => self.verify_place()?,
        };
        Ok(match code {
            0 => Exit::Done,
            1 => Exit::Tampered,
            _ => Exit::Incomplete,
        })
    }

    fn verify_place(&self) -> anyhow::Result<u8> {
        // A mistake in the arguments is told before the work is done.
        self.arguments.required()?;
        let places = std::iter::once(&self.arguments.place).chain(&self.arguments.previous);
        let shards = places.map(|place| self.shard(place)).collect::<anyhow::Result<Vec<_>>>()?;
        let config = self.config.as_deref().map(|path| Config::load(Some(path), &Overrides::default())).transpose()?;
        let keys = config.map(|config| config.keys);
        // Of one ledger alone nobody asks how it begins.
        let beginnings = match shards.len() {
            1 => vec![Beginning::default()],
            // What can't be read is told of in its report.
            _ => shards.iter().map(|shard| shard.beginning().unwrap_or_default()).collect(),
        };
        let bar = Bar::new(std::io::stderr().is_terminal() && !self.arguments.json);
        let verified = verify_shards(&self.arguments, &beginnings, &bar, &|at, options| {
            self.report(&shards[at], at > 0, keys.as_ref(), options)
        })?;
        bar.finish();
        Ok(tell(&self.arguments, &verified))
    }

    fn report(
        &self,
        shard: &Shard,
        is_previous: bool,
        keys: Option<&Keys>,
        options: Options<'_>,
    ) -> anyhow::Result<Report> {
        // Where the first MAC key comes from is about the ledger itself alone.
        let service = keys.filter(|_| !is_previous);
        match shard {
            Shard::Data(data) => {
                let protection = Protection::load(keys.and_then(|keys| keys.encryption.as_ref()))?;
                let data_dir = DataDir::open(data)?.protected_by(protection);
                let given = match is_previous {
                    true => None,
                    false => self.arguments.mac_key(data_dir.vkey().name())?,
                };
                let mac_key = given.or_else(|| of_service(service, data_dir.vkey()));
                Ok(verify_data_dir(&data_dir, Options { mac_key, ..options })?)
            }
            Shard::Archive(place) => {
                let mac_key = options.key.as_ref().and_then(|vkey| of_service(service, vkey));
                verify_archive(&self.arguments, &*place.auditor()?, Options { mac_key, ..options }, is_previous)
            }
        }
    }

    fn shard(&self, place: &str) -> anyhow::Result<Shard> {
        let place = self.place(place)?;
        Ok(match place.directory().filter(|path| DataDir::is_one(path)) {
            Some(data) => Shard::Data(data.to_owned()),
            None => Shard::Archive(place),
        })
    }

    fn place(&self, place: &str) -> anyhow::Result<Place> {
        let mut place = Place::parse(place)?;
        match &mut place {
            Place::S3(url) => {
                url.endpoint = self.endpoint.clone().or(url.endpoint.take());
                url.region = self.region.clone().or(url.region.take());
                // Read again, so that what was given is checked.
                Ok(Place::parse(&place.to_string())?)
            }
            Place::Directory(_) if self.endpoint.is_some() || self.region.is_some() => {
                bail!("--endpoint and --region go with a place in a bucket: s3://bucket/prefix")
            }
            Place::Directory(_) => Ok(place),
        }
    }
}

/// One of the ledgers to be verified.
enum Shard {
    Data(PathBuf),
    Archive(Place),
}

impl Shard {
    fn beginning(&self) -> anyhow::Result<Beginning> {
        Ok(match self {
            Self::Data(data) => {
                let data_dir = DataDir::open(data)?;
                let key = Some(data_dir.vkey().clone());
                let read = data_dir.archive()?.reader().map(|store| Beginning::read(&*store)).unwrap_or_default();
                Beginning { ledger: Some(data_dir.ledger().clone()), key, ..read }
            }
            Self::Archive(place) => Beginning::read(&*place.reader()?),
        })
    }
}
