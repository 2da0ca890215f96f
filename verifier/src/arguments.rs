//! What an auditor says on the command line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tachograph_exporters::bundle::check;
use tachograph_exporters::timestamp::Roots;
use tachograph_exporters::verify::{Axis, DEFAULT_REQUIRED, Options, Progress, Sources};
use tachograph_ledger::leaf::is_producer;
use tachograph_ledger::policy::MAX_POLICY_BYTES;
use tachograph_ledger::{LedgerName, MacKey, PRIVATE_PREFIX, Policy, SourceVerifyingKey, VerifyingKey};
use tachograph_record::Time;

use crate::escrow;

/// More threads than any machine has would only fail to start.
const MAX_THREADS: usize = 256;

/// The arguments of a verification.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A bundle (a folder or a zip) or an archive
    pub place: String,
    /// The ledger's public key, from a source that you trust: a file (ledger.vkey) or the key line itself
    #[arg(long, value_name = "FILE|VKEY")]
    key: Option<String>,
    /// A checkpoint of this ledger that you kept; what is verified must agree with it. May be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The ledger that this one continues, as an archive: verified too, and held against what this one says of its end. May be given
    /// several times, for those before it, in any order
    #[arg(long, value_name = "OLD")]
    pub previous: Vec<String>,
    /// Receipts that a sender of records kept (TACHOGRAPH_RECEIPTS): a file or a directory of files. The archive must hold each
    /// record as it was acknowledged. May be given several times
    #[arg(long, value_name = "FILE|DIR")]
    receipts: Vec<PathBuf>,
    /// Which witnesses' cosignatures are enough: a C2SP tlog-policy of your own. The newest witnessed checkpoint must meet it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The public key with which a producer signs what it says (openssl pkey -pubout): each of its records must carry its signature and say
    /// what it signed. May be given several times
    #[arg(long, value_name = "PRODUCER=FILE")]
    source_key: Vec<String>,
    /// Certificates of time-stamp authorities that you trust, as PEM. May be given several times
    #[arg(long, value_name = "FILE")]
    tsa_ca: Vec<PathBuf>,
    /// The escrowed MAC key (mac-escrow.key): checks every MAC of an archive too
    #[arg(long, value_name = "FILE")]
    mac_key: Option<PathBuf>,
    /// Axes that must pass for exit code 0, or `all` [default: integrity, authenticity and coverage, non_equivocation with --checkpoint,
    /// --policy or --receipts, time with --tsa-ca]
    #[arg(long, value_name = "AXES", value_delimiter = ',')]
    require: Vec<String>,
    /// Threads [default: one per CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// The axes that must pass of what was given alone: by default also those about which something was given.
    ///
    /// # Errors
    /// If one is unknown.
    pub fn required(&self) -> anyhow::Result<Vec<Axis>> {
        self.required_given(self.policy.is_some() || !self.checkpoint.is_empty() || self.has_receipts())
    }

    /// The same of one of several ledgers, of whose history something `is_outside` the archive.
    ///
    /// # Errors
    /// If one is unknown.
    pub(crate) fn required_given(&self, is_outside: bool) -> anyhow::Result<Vec<Axis>> {
        if self.require.is_empty() {
            let given = [(is_outside, Axis::NonEquivocation), (!self.tsa_ca.is_empty(), Axis::Time)];
            let given = given.into_iter().filter_map(|(is_given, axis)| is_given.then_some(axis));
            return Ok(DEFAULT_REQUIRED.iter().copied().chain(given).collect());
        }
        if self.require == ["all"] {
            return Ok(Axis::ALL.to_vec());
        }
        let axis = |word: &String| match Axis::parse(word) {
            Some(axis) => Ok(axis),
            None => {
                let known: Vec<&str> = Axis::ALL.iter().map(|axis| axis.as_str()).collect();
                bail!("--require {word}: no such axis; there are {} and `all`", known.join(", "))
            }
        };
        self.require.iter().map(axis).collect()
    }

    /// Whether receipts were given.
    pub(crate) fn has_receipts(&self) -> bool {
        !self.receipts.is_empty()
    }

    /// For an archive; the MAC key is read when the ledger's name is known.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn for_archive<'p>(&self, progress: &'p dyn Progress) -> anyhow::Result<Options<'p>> {
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Options {
            key: self.key()?,
            checkpoints: self.checkpoints()?,
            policy: self.policy()?,
            own_checkpoint: None,
            receipts: self.receipts.clone(),
            sources: self.sources()?,
            timestamp_authorities: self.authorities()?,
            now: Some(now()),
            mac_key: None,
            stream_key: None,
            continued_by: None,
            previous: None,
            threads: threads.min(MAX_THREADS),
            progress: Some(progress),
        })
    }

    /// For a bundle.
    ///
    /// # Errors
    /// If a file can't be read, or an argument says nothing about bundles.
    pub fn for_bundle(&self) -> anyhow::Result<check::Options> {
        if self.mac_key.is_some() {
            bail!("--mac-key is for archives: a bundle holds no MACs");
        }
        if !self.previous.is_empty() {
            bail!("--previous is for archives: a bundle is of one ledger alone");
        }
        if !self.receipts.is_empty() {
            bail!("--receipts are for archives: they say nothing of a bundle that its proofs do not");
        }
        if !self.source_key.is_empty() {
            bail!(
                "--source-key is for archives: verify the archive that the bundle is from, or check its records by hand"
            );
        }
        Ok(check::Options {
            key: self.key()?,
            checkpoints: self.checkpoints()?,
            policy: self.policy()?,
            timestamp_authorities: self.authorities()?,
            now: Some(now()),
        })
    }

    /// The escrowed MAC key, if one was given.
    ///
    /// # Errors
    /// If it can't be read, or is another ledger's.
    pub fn mac_key(&self, ledger: &LedgerName) -> anyhow::Result<Option<MacKey>> {
        self.mac_key.as_deref().map(|path| escrow::read(path, ledger)).transpose()
    }

    fn checkpoints(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.checkpoint.iter().map(|path| read(path)).collect()
    }

    fn authorities(&self) -> anyhow::Result<Roots> {
        let mut roots = Roots::default();
        for path in &self.tsa_ca {
            let shown = || format!("--tsa-ca {}", path.display());
            roots.add_pem(&read(path)?).with_context(shown)?;
        }
        Ok(roots)
    }

    fn sources(&self) -> anyhow::Result<Sources> {
        let mut sources = Sources::default();
        for given in &self.source_key {
            let (producer, path) =
                given.split_once('=').filter(|(producer, _)| is_producer(producer)).with_context(|| {
                    format!("--source-key {given}: PRODUCER=FILE expected, such as alpha=alpha.pub.pem")
                })?;
            let shown = || format!("--source-key {given}");
            let mut pem = String::new();
            // A key takes some 120 bytes.
            File::open(path).and_then(|file| file.take(4096).read_to_string(&mut pem)).with_context(shown)?;
            sources.add(producer, SourceVerifyingKey::from_pem(&pem).with_context(shown)?);
        }
        Ok(sources)
    }

    fn policy(&self) -> anyhow::Result<Option<Policy>> {
        let Some(path) = &self.policy else { return Ok(None) };
        let place = || path.display().to_string();
        let mut text = Vec::new();
        // One byte beyond the limit shows that there is more.
        let file = File::open(path).with_context(place)?;
        file.take(MAX_POLICY_BYTES as u64 + 1).read_to_end(&mut text).with_context(place)?;
        Policy::parse(&text).map(Some).with_context(place)
    }

    fn key(&self) -> anyhow::Result<Option<VerifyingKey>> {
        self.key.as_deref().map(|key| key_line("--key", key)).transpose()
    }
}

/// A key line, or a file that holds one, as it was given with `option`.
///
/// # Errors
/// If it is neither. A private key that was given by mistake is not repeated.
pub fn key_line(option: &str, key: &str) -> anyhow::Result<VerifyingKey> {
    if key.trim_start().starts_with(PRIVATE_PREFIX) {
        bail!(
            "{option} was given a private key, which is not repeated here. Give the public one; if others could see this command (a shell's history, a list of processes, a log), change the private one"
        );
    }
    let text = match Path::new(key).is_file() {
        true => std::fs::read_to_string(key).with_context(|| key.to_owned())?,
        false => key.to_owned(),
    };
    let parsed = VerifyingKey::parse(text.trim());
    parsed.with_context(|| format!("{option} {key}: neither a file with a public key nor a public key"))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// By this clock certificates have ended.
#[expect(clippy::disallowed_methods, reason = "the one place where this crate asks the clock")]
fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    Time::from_unix_nanos(nanos).unwrap_or_default()
}
