//! Prove: from a question to the records that answer it, and from these to a bundle of evidence.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::bundle::about::Selection;
use tachograph_exporters::bundle::check::{BundleReport, Options, check};
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::bundle::maker::{MakeError, Request, make};
use tachograph_exporters::bundle::streams::Stream;
use tachograph_exporters::bundle::{MAX_BYTES, MAX_RECORDS};
use tachograph_exporters::verify::{Axis, DEFAULT_REQUIRED, Verdict};
use tachograph_ledger::{StreamKey, StreamKind, VerifyingKey};
use tachograph_record::{Body, COLUMN_TEXT_LIMIT, Time};

use crate::trace::{Event, Forest, TraceError};
use crate::view::View;

/// Why nothing is proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is no archive.
    #[error(
        "nothing is archived here yet: a record can be proven when its segment is archived (`archive.max_age`, some seconds by default)"
    )]
    NoArchive,
    /// No record answers.
    #[error("no record is {0}")]
    NotFound(String),
    /// Its records can't be looked up.
    #[error(
        "{0}: ids of more than {COLUMN_TEXT_LIMIT} bytes can't be looked up, because the archive's columns hold no longer texts. Its records can be had with --from and --to, or --indexes"
    )]
    LongId(String),
    /// The end comes before the beginning.
    #[error("{0} is no span: its end comes before its beginning")]
    Backwards(String),
    /// The records can't be looked up.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no bundle.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The bundle does not verify, so that it is not handed out.
    #[error("what the archive holds does not verify, so that there is no bundle: {}; run `tachograph verify`", first_finding(.0))]
    Refused(Box<BundleReport>),
}

fn first_finding(report: &BundleReport) -> String {
    report.findings.first().map_or_else(String::new, |finding| format!("{}: {}", finding.object, finding.what))
}

/// Makes the bundle that answers `selection`, and checks it as a stranger would. With the stream key, that of a session or an agent
/// shows that none of it is missing, as far as the ledger can show it; if it can't, gives also why.
///
/// # Errors
/// If no record answers, one is under no checkpoint yet, or the archive is not good.
pub fn prove(
    view: &View,
    key: Option<VerifyingKey>,
    streams: Option<&StreamKey>,
    selection: Selection,
    now: Time,
) -> Result<(Files, BundleReport, Option<String>), ProveError> {
    let archive = view.archive.as_ref().ok_or(ProveError::NoArchive)?;
    let records = select(view, archive, &selection)?;
    if records.is_empty() {
        return Err(ProveError::NotFound(selection.describe()));
    }
    let order = Forest::of(&records)?.in_order();
    let stream = streams.and_then(|streams| stream_of(streams, &selection));
    let mut request = Request { selection, records, order, created_at: now, stream };
    let (tree, options) = (TreeReader::of(archive), Options { key, ..Options::default() });
    let (mut why, mut files) = (None, make(archive, &tree, &request)?);
    let mut report = check(&files, "", &options);
    if report.verdict(Axis::Completeness) == Verdict::Fail && request.stream.take().is_some() {
        // The records are no less true for it. So it is where the stream key was lost.
        why = report
            .findings
            .iter()
            .find(|finding| finding.axis == Axis::Completeness)
            .map(|finding| finding.what.clone());
        files = make(archive, &tree, &request)?;
        report = check(&files, "", &options);
    }
    match report.exit_code(DEFAULT_REQUIRED) {
        1 => Err(ProveError::Refused(Box::new(report))),
        _ => Ok((files, report, why)),
    }
}

/// What gives the stream away that was asked for.
fn stream_of(key: &StreamKey, selection: &Selection) -> Option<Stream> {
    let (kind, id) = match selection {
        Selection::Session { session_id } => (StreamKind::Session, session_id),
        Selection::Agent { agent_id } => (StreamKind::Agent, agent_id),
        _ => return None,
    };
    Some(Stream { kind, secret: key.secret(kind, id) })
}

fn select(view: &View, archive: &Reader, selection: &Selection) -> Result<BTreeMap<u64, Option<Vec<u8>>>, ProveError> {
    let records = view.records();
    if let Selection::Session { session_id: id } | Selection::Agent { agent_id: id } = selection
        && id.len() > COLUMN_TEXT_LIMIT
    {
        let start: String = id.chars().take(40).collect();
        return Err(ProveError::LongId(format!("{start}…")));
    }
    let bodies = |events: &mut dyn Iterator<Item = Event>| {
        events.map(|event| (event.index, Some(event.into_body()))).collect::<BTreeMap<_, _>>()
    };
    Ok(match selection {
        Selection::Event { id } => bodies(&mut records.carrying(id, MAX_RECORDS + 1)?.into_values()),
        Selection::Chain { id } => {
            let forest = records.trace(id, MAX_RECORDS)?;
            if forest.cut {
                return Err(MakeError::TooMany { records: forest.events.len() + 1 }.into());
            }
            bodies(&mut forest.events.into_values())
        }
        Selection::Session { session_id } => bodies(&mut records.of_session(session_id, MAX_RECORDS + 1)?.into_iter()),
        Selection::Agent { agent_id } => bodies(&mut records.of_agent(agent_id, MAX_RECORDS + 1)?.into_iter()),
        Selection::Time { from, to } => {
            if from >= to {
                return Err(ProveError::Backwards(selection.describe()));
            }
            let found = archive.happened(from.unix_nanos()..to.unix_nanos(), MAX_RECORDS + 1)?;
            let mut bodies: BTreeMap<_, _> = found.into_iter().map(|found| (found.index, Some(found.body))).collect();
            for (index, body) in &view.tail {
                let parsed = Body::parse_columns(body).map_err(|source| TraceError::Body { index: *index, source })?;
                if (*from..*to).contains(&parsed.record.timestamp) {
                    bodies.insert(*index, Some(body.clone()));
                }
            }
            bodies
        }
        Selection::Indexes { first, last } => run(view, archive, *first, *last)?,
    })
}

/// A run of records; those whose bodies are gone without.
fn run(view: &View, archive: &Reader, first: u64, last: u64) -> Result<BTreeMap<u64, Option<Vec<u8>>>, ProveError> {
    let count = last.checked_sub(first).ok_or(ProveError::Backwards(Selection::Indexes { first, last }.describe()))?;
    if count >= MAX_RECORDS as u64 {
        return Err(
            MakeError::TooMany { records: usize::try_from(count).unwrap_or(usize::MAX).saturating_add(1) }.into()
        );
    }
    let mut records: BTreeMap<u64, Option<Vec<u8>>> = (first..=last).map(|index| (index, None)).collect();
    let mut left = MAX_BYTES;
    archive.run(&(first..=last), |index, body| {
        records.insert(index, Some(body.to_vec()));
        left = left.saturating_sub(body.len() as u64);
        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if left == 0 {
        return Err(MakeError::TooLarge.into());
    }
    let end = view.tail.last().map_or(archive.size(), |(index, _)| index + 1);
    if last >= end {
        return Err(ProveError::NotFound(format!("record {last}: the ledger ends at {end}")));
    }
    Ok(records)
}
