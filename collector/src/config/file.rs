//! What may stand in the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::archive::ArchiveFile;
use super::keys::KeysFile;
use super::quantity::{Size, Span};
use super::streams::StreamsFile;
use super::timestamps::TimestampsFile;
use super::witnesses::WitnessesFile;
use super::{Config, DEFAULT_DATA, DEFAULT_MAX_FIELD_BYTES, Durability, Journal, Log, Overrides, Receive};
use crate::receive::{Auth, Limits, Secret, Tls};

/// The largest file that is read: a bound on what a parser has to look at.
const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    receive: ReceiveFile,
    journal: JournalFile,
    archive: ArchiveFile,
    durability: Option<DurabilityFile>,
    duplicates: DuplicatesFile,
    keys: KeysFile,
    witnesses: Option<WitnessesFile>,
    timestamps: TimestampsFile,
    producers: ProducersFile,
    streams: StreamsFile,
    admin: Option<Switch>,
    log: LogFile,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ReceiveFile {
    grpc: Option<Switch>,
    http: Option<Switch>,
    tls: Option<TlsFile>,
    bearer_tokens: Option<Vec<String>>,
    bearer_token_file: Option<PathBuf>,
    limits: LimitsFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    max_body_bytes: Option<Size>,
    max_decompressed_bytes: Option<Size>,
    max_bytes_in_flight: Option<Size>,
    max_field_bytes: Option<Size>,
    max_connections: Option<usize>,
    max_concurrent_streams: Option<u32>,
    request_timeout: Option<Span>,
    header_read_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    keepalive_interval: Option<Span>,
    keepalive_timeout: Option<Span>,
    drain_timeout: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct JournalFile {
    max_bytes: Option<Size>,
    max_file_bytes: Option<Size>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DuplicatesFile {
    retention: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ProducersFile {
    gap_after: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LogFile {
    format: LogFormat,
    level: Option<String>,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum DurabilityFile {
    Wal,
    Archive,
}

impl From<DurabilityFile> for Durability {
    fn from(file: DurabilityFile) -> Self {
        match file {
            DurabilityFile::Wal => Self::Wal,
            DurabilityFile::Archive => Self::Archive,
        }
    }
}

/// An address, or `off`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum Switch {
    Off,
    At(SocketAddr),
}

impl TryFrom<String> for Switch {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "off" => Ok(Self::Off),
            address => address
                .parse()
                .map(Self::At)
                .map_err(|_| format!("`{address}` is neither an address such as 127.0.0.1:4317 nor `off`")),
        }
    }
}

fn address(switch: Option<Switch>, default: u16) -> Option<SocketAddr> {
    match switch {
        None => Some(SocketAddr::from(([127, 0, 0, 1], default))),
        Some(Switch::Off) => None,
        Some(Switch::At(address)) => Some(address),
    }
}

pub(super) fn parse(text: &str, overrides: &Overrides) -> Result<Config, Vec<String>> {
    if text.len() > MAX_BYTES {
        return Err(vec![format!("{} bytes long; a configuration has at most {MAX_BYTES}", text.len())]);
    }
    let (text, values) = substitute(text)?;
    read(&text, overrides).map_err(|problems| problems.into_iter().map(|problem| mask(problem, &values)).collect())
}

fn read(text: &str, overrides: &Overrides) -> Result<Config, Vec<String>> {
    let file: File = if text.trim().is_empty() {
        File::default()
    } else {
        // Without the lines around a mistake: there may be secrets in them.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|e| vec![e.to_string()])?
    };
    let mut problems = Vec::new();
    let receive = receive(file.receive, overrides, &mut problems);
    let journal = journal(&file.journal, overrides, &mut problems);
    let durability = file.durability.map_or(Durability::Wal, Durability::from);
    let data = overrides.data.clone().or(file.data).unwrap_or_else(|| DEFAULT_DATA.into());
    let archive = file.archive.check(&data, durability, &mut problems);
    let retention = file.duplicates.retention.map_or(Duration::from_secs(24 * 3600), |span| span.0);
    if retention < Duration::from_secs(24 * 3600) {
        problems.push("duplicates.retention is below 24h, the least: senders may send again that late".to_owned());
    }
    let keys = file.keys.check(&mut problems);
    let witnesses = file.witnesses.and_then(|file| file.check(&mut problems));
    let timestamps = file.timestamps.check(&mut problems);
    let streams = file.streams.check(&mut problems);
    let admin = overrides.admin.or_else(|| address(file.admin, 9464)).filter(|_| !overrides.embedded);
    let addresses = [("receive.grpc", receive.grpc), ("receive.http", receive.http), ("admin", admin)];
    for (at, (name, address)) in addresses.iter().enumerate() {
        for (other, taken) in &addresses[..at] {
            if address.is_some_and(|address| address.port() != 0 && Some(address) == *taken) {
                problems.push(format!("{name} and {other} have the same address; give one of them another port"));
            }
        }
    }
    if problems.is_empty() {
        Ok(Config {
            data,
            receive,
            journal,
            archive,
            durability,
            duplicates_retention: retention,
            timestamps,
            streams,
            gap_after: file.producers.gap_after.map_or(Duration::from_secs(60), |span| span.0),
            admin,
            keys,
            witnesses,
            log: Log {
                json: file.log.format == LogFormat::Json,
                level: file.log.level.unwrap_or_else(|| "info".to_owned()),
            },
        })
    } else {
        Err(problems)
    }
}

fn receive(file: ReceiveFile, overrides: &Overrides, problems: &mut Vec<String>) -> Receive {
    let (grpc, http) = match overrides.embedded {
        true => (None, None),
        false => {
            (overrides.grpc.or_else(|| address(file.grpc, 4317)), overrides.http.or_else(|| address(file.http, 4318)))
        }
    };
    if grpc.is_none() && http.is_none() && !overrides.embedded {
        problems.push("receive.grpc and receive.http are both off, so that nothing could be received".to_owned());
    }
    let tokens = match (file.bearer_tokens, file.bearer_token_file) {
        (Some(_), Some(_)) => {
            problems
                .push("receive.bearer_tokens and receive.bearer_token_file exclude each other; keep one".to_owned());
            Vec::new()
        }
        (Some(tokens), None) => {
            if tokens.is_empty() {
                problems.push("receive.bearer_tokens is empty; leave it away to accept everybody".to_owned());
            }
            tokens
        }
        (None, Some(path)) => match read_bounded(&path) {
            Ok(text) => {
                let tokens: Vec<String> =
                    text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
                if tokens.is_empty() {
                    problems.push(format!("receive.bearer_token_file: {} holds no token", path.display()));
                }
                tokens
            }
            Err(e) => {
                problems.push(format!("receive.bearer_token_file: {}: {e}", path.display()));
                Vec::new()
            }
        },
        (None, None) => Vec::new(),
    };
    let auth = Auth { tokens: tokens.into_iter().map(Secret::new).collect() };
    problems.extend(auth.problems().into_iter().map(|problem| format!("receive: {problem}")));
    let max_field_bytes = file.limits.max_field_bytes.map_or(DEFAULT_MAX_FIELD_BYTES, bytes);
    let limits = limits(&file.limits);
    problems.extend(limits.problems().into_iter().map(|problem| format!("receive.limits.{problem}")));
    if max_field_bytes == 0 {
        problems.push("receive.limits.max_field_bytes is 0, so that every record would be rejected".to_owned());
    }
    let tls = file.tls.map(|tls| Tls { cert: tls.cert, key: tls.key, client_ca: tls.client_ca });
    Receive { grpc, http, tls, auth, limits, max_field_bytes }
}

/// A file of tokens is small; a device or a pipe is no file of tokens.
fn read_bounded(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn limits(file: &LimitsFile) -> Limits {
    let default = Limits::default();
    let size = |size: Option<Size>, default: usize| size.map_or(default, bytes);
    let span = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
    Limits {
        max_body_bytes: size(file.max_body_bytes, default.max_body_bytes),
        max_decompressed_bytes: size(file.max_decompressed_bytes, default.max_decompressed_bytes),
        max_bytes_in_flight: size(file.max_bytes_in_flight, default.max_bytes_in_flight),
        max_connections: file.max_connections.unwrap_or(default.max_connections),
        max_concurrent_streams: file.max_concurrent_streams.unwrap_or(default.max_concurrent_streams),
        request_timeout: span(file.request_timeout, default.request_timeout),
        header_read_timeout: span(file.header_read_timeout, default.header_read_timeout),
        idle_timeout: span(file.idle_timeout, default.idle_timeout),
        keepalive_interval: span(file.keepalive_interval, default.keepalive_interval),
        keepalive_timeout: span(file.keepalive_timeout, default.keepalive_timeout),
        drain_timeout: span(file.drain_timeout, default.drain_timeout),
        ..default
    }
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn journal(file: &JournalFile, overrides: &Overrides, problems: &mut Vec<String>) -> Journal {
    let max_bytes = file.max_bytes.map_or(8 << 30, |size| size.0);
    let max_file_bytes = file.max_file_bytes.map_or(64 << 20, |size| size.0);
    if max_file_bytes < 1 << 20 {
        problems.push(format!("journal.max_file_bytes is {max_file_bytes}; the least is 1MiB"));
    }
    if max_bytes < 4 * max_file_bytes {
        problems.push(format!(
            "journal.max_bytes ({max_bytes}) must be at least 4 times journal.max_file_bytes ({max_file_bytes})"
        ));
    }
    Journal { max_bytes, max_file_bytes, lost: overrides.journal_lost }
}

/// A variable that was replaced by its value.
struct Substituted {
    name: String,
    value: String,
}

/// A message with the variables' names in the place of their values, which may be secrets.
fn mask(problem: String, values: &[Substituted]) -> String {
    /// What is shorter is no secret, and stands in any message.
    const LEAST: usize = 4;
    let mut parts: Vec<(&str, &str)> = Vec::new();
    for Substituted { name, value } in values {
        parts.extend(value.lines().chain([value.as_str()]).map(|part| (part.trim(), name.as_str())));
    }
    parts.retain(|(part, _)| part.len() >= LEAST);
    // One may be in another.
    parts.sort_unstable_by_key(|(part, _)| std::cmp::Reverse(part.len()));
    parts.iter().fold(problem, |problem, (part, name)| {
        let name = format!("${{env:{name}}}");
        problem.replace(&part.escape_debug().to_string(), &name).replace(part, &name)
    })
}

/// Replaces `${env:NAME}` by the variable's value, and `$$` by `$`, as the OpenTelemetry collector does. Gives the values too.
fn substitute(text: &str) -> Result<(String, Vec<Substituted>), Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut values = Vec::new();
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("{env:").and_then(|inner| inner.split_once('}')) {
            match std::env::var(name) {
                Ok(value) => {
                    out.push_str(&value);
                    values.push(Substituted { name: name.to_owned(), value });
                }
                Err(_) => problems.push(format!("${{env:{name}}}: the environment has no variable {name}")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if problems.is_empty() { Ok((out, values)) } else { Err(problems) }
}
