//! Who does what: the caller's thread walks the leaves, the others hash objects and check row groups of bodies.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use parquet::data_type::ByteArray;
use tachograph_ledger::{Commit, Object, ObjectKind};

use super::Progress;
use super::certificates::{Certificates, Statements};
use super::collector::Collector;
use super::commits::History;
use super::leaves::Walk;
use super::records::{self, Assigned, GroupPlace};
use super::report::{Axis, Finding};
use super::sources::Sources;
use super::streams::Within;
use crate::archive::reader::{LeavesObject, ReadError, RecordsObject};
use crate::archive::segment::sha256_of;
use crate::archive::store::{ErrorKind, Store};

/// Row groups that wait for each thread: each holds its leaves.
const QUEUED_PER_THREAD: usize = 2;

/// Segments that are asked for before they are walked.
const FETCHED_AHEAD: usize = 3;

enum Job<'a> {
    Hash(&'a Object),
    Group(Group<'a>),
}

struct Group<'a> {
    object: Arc<RecordsObject>,
    place: GroupPlace<'a>,
    group: usize,
    leaves: Vec<ByteArray>,
}

/// What all threads use.
pub(crate) struct Workshop<'a> {
    store: &'a dyn Store,
    statements: Statements<'a>,
    assigned: Assigned<'a>,
    sources: &'a Sources,
    progress: Option<&'a dyn Progress>,
    collector: &'a Collector,
    /// Objects with bodies that are not there, by path: only when all statements are heard is it known which of them may be missing.
    missing: Mutex<BTreeMap<&'a str, &'a Object>>,
}

/// Checks every segment. Gives what the ledger certifies, by which missing objects are judged.
pub(crate) fn run<'a>(
    workshop: Workshop<'a>,
    history: &'a History,
    threads: usize,
    walk: &mut Walk<'_>,
) -> Certificates<'a> {
    if threads <= 1 {
        for (at, commit) in history.commits.iter().enumerate() {
            workshop.fetch_ahead(history, at);
            workshop.walk(commit, walk, &mut |job| workshop.work(job));
        }
    } else {
        run_in_threads(&workshop, history, threads, walk);
    }
    let certificates = workshop.statements.finish();
    let missing = workshop.missing.into_inner().unwrap_or_else(PoisonError::into_inner);
    missing.values().for_each(|object| certificates.judge_missing(object, workshop.collector));
    certificates
}

fn run_in_threads<'a>(workshop: &Workshop<'a>, history: &'a History, threads: usize, walk: &mut Walk<'_>) {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Job<'_>>(threads * QUEUED_PER_THREAD);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            scope.spawn(move || workshop.serve(&receiver));
        }
        for (at, commit) in history.commits.iter().enumerate() {
            workshop.fetch_ahead(history, at);
            workshop.walk(commit, walk, &mut |job| {
                // Nobody takes it only if every thread has panicked, and then the scope panics too.
                let _ = sender.send(job);
            });
        }
        drop(sender);
    });
}

impl<'a> Workshop<'a> {
    pub(crate) fn new(
        store: &'a dyn Store,
        statements: Statements<'a>,
        assigned: Assigned<'a>,
        sources: &'a Sources,
        progress: Option<&'a dyn Progress>,
        collector: &'a Collector,
    ) -> Self {
        Self { store, statements, assigned, sources, progress, collector, missing: Mutex::default() }
    }

    /// A store that is far away brings the next segments while this one is checked.
    fn fetch_ahead(&self, history: &History, at: usize) {
        let ahead = if at == 0 { 0..FETCHED_AHEAD + 1 } else { at + FETCHED_AHEAD..at + FETCHED_AHEAD + 1 };
        let commits = history.commits.get(ahead.start..ahead.end.min(history.commits.len())).unwrap_or_default();
        commits.iter().flat_map(|commit| &commit.objects).for_each(|object| self.store.prefetch(&object.path));
    }

    fn serve(&self, receiver: &Mutex<Receiver<Job<'a>>>) {
        loop {
            let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match job {
                Ok(job) => self.work(job),
                Err(_) => return,
            }
        }
    }

    fn work(&self, job: Job<'a>) {
        match job {
            Job::Hash(object) => self.hash(object),
            Job::Group(group) => self.check(group),
        }
    }

    fn hash(&self, object: &'a Object) {
        let fail = |what: String| self.collector.fail(Axis::Integrity, Finding::of_object(&object.path, what));
        match sha256_of(self.store, &object.path, object.size) {
            Ok(Some(hash)) if hash == object.sha256 => {}
            Ok(Some(hash)) => fail(format!("the object's SHA-256 is {hash}, its commit says {}", object.sha256)),
            Ok(None) => fail(format!("the object has not the {} bytes that its commit says", object.size)),
            Err(error) => self.unread(object, &ReadError::Store(error)),
        }
    }

    /// Reports an object that can't be read, unless it may be missing.
    fn unread(&self, object: &'a Object, error: &ReadError) {
        match (error, &object.kind) {
            (ReadError::Store(error), ObjectKind::Records { .. })
                if error.kind == ErrorKind::NotFound && object.retain_until.is_some() =>
            {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(&object.path, object);
            }
            _ => self.collector.read_error(&object.path, error),
        }
    }

    fn check(&self, job: Group<'_>) {
        let rows = job.leaves.len() as u64;
        let bytes = match job.object.group(job.group) {
            Ok(group) => {
                let leaves = job.leaves.iter().map(ByteArray::data);
                records::check(
                    &job.place,
                    group,
                    leaves,
                    (&self.statements, &self.assigned, self.sources),
                    self.collector,
                )
            }
            Err(error) => {
                self.collector.read_error(&job.place.object.path, &error);
                return;
            }
        };
        self.collector.checked(rows, bytes);
        if let Some(progress) = self.progress {
            progress.advance(rows, bytes);
        }
    }

    /// Walks one segment's leaves and hands out everything else.
    fn walk(&self, commit: &'a Commit, walk: &mut Walk<'_>, submit: &mut dyn FnMut(Job<'a>)) {
        commit.objects.iter().for_each(|object| submit(Job::Hash(object)));
        let mut bodies = self.open_bodies(commit);
        walk.begin(commit);
        let leaves = commit.objects.iter().find(|object| object.kind == ObjectKind::Leaves);
        if let Some(object) = leaves {
            match LeavesObject::open(self.store, object) {
                Ok(leaves) => self.walk_leaves(commit, object, &leaves, &mut bodies, walk, submit),
                Err(error) => {
                    self.collector.read_error(&object.path, &error);
                    walk.lose();
                }
            }
        }
        walk.end(commit);
    }

    fn walk_leaves(
        &self,
        commit: &Commit,
        object: &Object,
        leaves: &LeavesObject,
        bodies: &mut Bodies<'a>,
        walk: &mut Walk<'_>,
        submit: &mut dyn FnMut(Job<'a>),
    ) {
        let mut walked = 0;
        for group in 0..leaves.group_count() {
            let group = match leaves.group(group) {
                Ok(group) => group,
                Err(error) => {
                    self.collector.read_error(&object.path, &error);
                    walk.lose();
                    return;
                }
            };
            let streams = walk.group(commit, object, walked, &group);
            for (leaf, streams) in group.leaves.into_iter().zip(streams) {
                self.hand_out(bodies, commit.first + walked, (leaf, streams), submit);
                walked += 1;
            }
        }
        bodies.end(commit, self.collector);
    }

    /// Gives a leaf to the class that has its body, and the row group to a thread once it is complete.
    fn hand_out(
        &self,
        bodies: &mut Bodies<'a>,
        index: u64,
        (leaf, streams): (ByteArray, Option<Within>),
        submit: &mut dyn FnMut(Job<'a>),
    ) {
        let Some(class) = bodies.of(index, self.collector) else { return };
        class.indexes.push(index);
        class.leaves.push(leaf);
        class.streams.push(streams);
        if class.leaves.len() < class.group_rows() {
            return;
        }
        let (indexes, leaves) = (std::mem::take(&mut class.indexes), std::mem::take(&mut class.leaves));
        let (rows, streams) = (leaves.len() as u64, std::mem::take(&mut class.streams));
        let place = GroupPlace { object: class.object, first_row: class.first_row, indexes, streams };
        submit(Job::Group(Group { object: Arc::clone(&class.records), place, group: class.group, leaves }));
        class.first_row += rows;
        class.group += 1;
        class.stored = Vec::new();
    }

    /// Opens the records objects of a commit.
    fn open_bodies(&self, commit: &'a Commit) -> Bodies<'a> {
        let mut bodies = Bodies::default();
        let objects = commit.objects.iter().filter(|object| matches!(object.kind, ObjectKind::Records { .. }));
        bodies.interleave = objects.clone().nth(1).is_some();
        for object in objects {
            match RecordsObject::open(self.store, object) {
                Ok(records) => bodies.classes.push(Class::new(object, Arc::new(records))),
                Err(error) => {
                    self.unread(object, &error);
                    bodies.absent += object.rows;
                }
            }
        }
        bodies
    }
}

/// The records objects of one commit, while its leaves are walked.
#[derive(Default)]
struct Bodies<'a> {
    classes: Vec<Class<'a>>,
    /// There are several, so that only the index column says which leaf belongs where.
    interleave: bool,
    /// Rows of objects that are not there.
    absent: u64,
    /// Leaves that found no body so far.
    without: u64,
    first_without: Option<u64>,
}

struct Class<'a> {
    object: &'a Object,
    records: Arc<RecordsObject>,
    /// The row group that is being filled, and its first row within the object.
    group: usize,
    first_row: u64,
    /// Its stored indexes, if they are needed; empty before they are read.
    stored: Vec<i64>,
    indexes: Vec<u64>,
    leaves: Vec<ByteArray>,
    streams: Vec<Option<Within>>,
    /// It can't be read on: reported.
    broken: bool,
}

impl<'a> Class<'a> {
    fn new(object: &'a Object, records: Arc<RecordsObject>) -> Self {
        let (group, first_row, broken) = (0, 0, false);
        let (stored, indexes) = (Vec::new(), Vec::new());
        let (leaves, streams) = (Vec::new(), Vec::new());
        Self { object, records, group, first_row, stored, indexes, leaves, streams, broken }
    }

    /// Rows of the present group; never reached behind the last one.
    fn group_rows(&self) -> usize {
        self.records.group_rows().get(self.group).copied().unwrap_or(usize::MAX)
    }

    fn is_at_end(&self) -> bool {
        self.broken || self.group >= self.records.group_count()
    }

    /// The index that the next row says it has.
    fn next_index(&mut self, collector: &Collector) -> Option<i64> {
        if self.is_at_end() {
            return None;
        }
        if self.stored.is_empty() {
            match self.records.indexes(self.group) {
                Ok(stored) => self.stored = stored,
                Err(error) => {
                    collector.read_error(&self.object.path, &error);
                    self.broken = true;
                    return None;
                }
            }
        }
        self.stored.get(self.leaves.len()).copied()
    }
}

impl<'a> Bodies<'a> {
    /// The class whose next row is the body of record `index`. With one class that needs no look.
    fn of(&mut self, index: u64, collector: &Collector) -> Option<&mut Class<'a>> {
        let at = match self.interleave {
            false => self.classes.iter().position(|class| !class.is_at_end()),
            true => {
                let wanted = i64::try_from(index).ok();
                self.classes.iter_mut().position(|class| class.next_index(collector) == wanted)
            }
        };
        if at.is_none() {
            self.without += 1;
            self.first_without.get_or_insert(index);
        }
        at.and_then(|at| self.classes.get_mut(at))
    }

    /// At the end of the leaves every body must have found its leaf, and every leaf its body.
    fn end(&mut self, commit: &Commit, collector: &Collector) {
        if !self.interleave {
            return;
        }
        let mut broken = false;
        for class in &mut self.classes {
            broken |= class.broken;
            if let Some(index) = class.next_index(collector) {
                let row = class.first_row + class.leaves.len() as u64;
                let what = format!(
                    "row {row} says that it is record {index}, but that is not the next record of this commit: it is out of order, a second body of one record, or of another commit"
                );
                let at = u64::try_from(index).unwrap_or(commit.first);
                collector.fail(Axis::Integrity, Finding::of_row(&class.object.path, row, at, what));
                broken = true;
            }
        }
        if self.without != self.absent && !broken {
            let what = format!(
                "{} records of this commit have no body in it, but {} rows are accounted for as destroyed or unreadable",
                self.without, self.absent
            );
            let path = crate::archive::paths::commit(commit.first);
            collector.fail(
                Axis::Integrity,
                Finding { index: self.first_without.or(Some(commit.first)), ..Finding::of_object(path, what) },
            );
        }
    }
}
