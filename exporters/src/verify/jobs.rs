//! Who does what: the caller's thread walks the leaves, the others hash objects and check row groups of bodies.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use parquet::data_type::ByteArray;
use tachograph_ledger::{Commit, Object, ObjectKind};

use super::Progress;
use super::collector::Collector;
use super::commits::History;
use super::leaves::Walk;
use super::records::{self, GroupPlace};
use super::report::{Axis, Finding};
use crate::archive::reader::{LeavesObject, ReadError, RecordsObject};
use crate::archive::segment::sha256_of;
use crate::archive::store::Store;

/// Row groups that wait for each thread: each holds its leaves.
const QUEUED_PER_THREAD: usize = 2;

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

struct Workshop<'a> {
    store: &'a dyn Store,
    progress: Option<&'a dyn Progress>,
    collector: &'a Collector,
}

/// Checks every segment.
pub(crate) fn run(
    store: &dyn Store,
    history: &History,
    threads: usize,
    progress: Option<&dyn Progress>,
    walk: &mut Walk<'_>,
    collector: &Collector,
) {
    let workshop = Workshop { store, progress, collector };
    if threads <= 1 {
        for commit in &history.commits {
            workshop.walk(commit, walk, &mut |job| workshop.work(job));
        }
        return;
    }
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Job<'_>>(threads * QUEUED_PER_THREAD);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (receiver, workshop) = (Arc::clone(&receiver), &workshop);
            scope.spawn(move || workshop.serve(&receiver));
        }
        for commit in &history.commits {
            workshop.walk(commit, walk, &mut |job| {
                // Nobody takes it only if every thread has panicked, and then the scope panics too.
                let _ = sender.send(job);
            });
        }
        drop(sender);
    });
}

impl Workshop<'_> {
    fn serve(&self, receiver: &Mutex<Receiver<Job<'_>>>) {
        loop {
            let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match job {
                Ok(job) => self.work(job),
                Err(_) => return,
            }
        }
    }

    fn work(&self, job: Job<'_>) {
        match job {
            Job::Hash(object) => self.hash(object),
            Job::Group(group) => self.check(group),
        }
    }

    fn hash(&self, object: &Object) {
        let fail = |what: String| self.collector.fail(Axis::Integrity, Finding::of_object(&object.path, what));
        match sha256_of(self.store, &object.path, object.size) {
            Ok(Some(hash)) if hash == object.sha256 => {}
            Ok(Some(hash)) => fail(format!("the object's SHA-256 is {hash}, its commit says {}", object.sha256)),
            Ok(None) => fail(format!("the object has not the {} bytes that its commit says", object.size)),
            Err(error) => self.collector.read_error(&object.path, &ReadError::Store(error)),
        }
    }

    fn check(&self, job: Group<'_>) {
        let rows = job.leaves.len() as u64;
        let bytes = match job.object.group(job.group) {
            Ok(group) => records::check(&job.place, group, job.leaves.iter().map(ByteArray::data), self.collector),
            Err(error) => {
                self.collector.read_error(job.place.object, &error);
                return;
            }
        };
        self.collector.checked(rows, bytes);
        if let Some(progress) = self.progress {
            progress.advance(rows, bytes);
        }
    }

    /// Walks one segment's leaves and hands out everything else.
    fn walk<'a>(&self, commit: &'a Commit, walk: &mut Walk<'_>, submit: &mut dyn FnMut(Job<'a>)) {
        commit.objects.iter().for_each(|object| submit(Job::Hash(object)));
        let records = self.open_records(commit);
        walk.begin(commit);
        let leaves = commit.objects.iter().find(|object| object.kind == ObjectKind::Leaves);
        if let Some(object) = leaves {
            match LeavesObject::open(self.store, object) {
                Ok(leaves) => self.walk_leaves(commit, object, &leaves, records, walk, submit),
                Err(error) => {
                    self.collector.read_error(&object.path, &error);
                    walk.lose();
                }
            }
        }
        walk.end(commit);
    }

    fn walk_leaves<'a>(
        &self,
        commit: &Commit,
        object: &Object,
        leaves: &LeavesObject,
        records: Option<(&'a Object, Arc<RecordsObject>)>,
        walk: &mut Walk<'_>,
        submit: &mut dyn FnMut(Job<'a>),
    ) {
        let (mut walked, mut next_group, mut handed_out) = (0, 0, 0);
        let mut waiting: Vec<ByteArray> = Vec::new();
        for group in 0..leaves.group_count() {
            let group = match leaves.group(group) {
                Ok(group) => group,
                Err(error) => {
                    self.collector.read_error(&object.path, &error);
                    walk.lose();
                    return;
                }
            };
            walk.group(commit, object, walked, &group);
            walked += group.leaves.len() as u64;
            let Some((records_object, records)) = &records else { continue };
            waiting.extend(group.leaves);
            // The writer cuts both objects alike, so that this hands out one row group for each that was walked.
            while let Some(rows) = records.group_rows().get(next_group).filter(|rows| waiting.len() >= **rows) {
                let rest = waiting.split_off(*rows);
                let leaves = std::mem::replace(&mut waiting, rest);
                let place = GroupPlace {
                    object: &records_object.path,
                    first_row: handed_out,
                    first_index: commit.first + handed_out,
                };
                submit(Job::Group(Group { object: Arc::clone(records), place, group: next_group, leaves }));
                handed_out += *rows as u64;
                next_group += 1;
            }
        }
    }

    fn open_records<'a>(&self, commit: &'a Commit) -> Option<(&'a Object, Arc<RecordsObject>)> {
        let mut objects = commit.objects.iter().filter(|object| matches!(object.kind, ObjectKind::Records { .. }));
        let (object, more) = (objects.next()?, objects.next());
        if more.is_some() {
            let reason = format!(
                "the bodies from record {} on lie in several retention classes, which this release does not read",
                commit.first
            );
            self.collector.incomplete(Axis::Integrity, reason);
            return None;
        }
        match RecordsObject::open(self.store, object) {
            Ok(records) => Some((object, Arc::new(records))),
            Err(error) => {
                self.collector.read_error(&object.path, &error);
                None
            }
        }
    }
}
