//! Every world that can come of the first one.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash as _, Hasher};

use tachograph_exporters::archive::Identity;
use tachograph_record::Time;

use crate::complete::verifies;
use crate::sample::START;
use crate::world::{Answer, Blob, Disk, Process, Rules, Running, World};
use crate::writer::{Ask, NAMES, Next, Rest, key, next};

/// What the search saw.
pub(crate) struct Found {
    pub(crate) worlds: usize,
    /// How often the archive's code ran.
    pub(crate) runs: usize,
    /// The shortest way to what must never be, and what that is.
    pub(crate) broken: Option<String>,
    /// Different archives at the end, each of which verifies.
    pub(crate) complete: usize,
}

/// One step.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    writer: Option<usize>,
    what: &'static str,
    path: Option<Blob>,
}

struct Search {
    rules: Rules,
    /// By hash: worlds are many.
    seen: HashSet<u128>,
    /// Commits, checkpoints and acknowledgements that were looked at.
    judged: HashSet<u128>,
    waiting: VecDeque<(usize, World)>,
    steps: Vec<Step>,
    /// What the code does next, by writer and process.
    known: HashMap<(usize, Running), Next>,
    /// Of all processes that rest in one way the first.
    resting: HashMap<(usize, Rest), Running>,
    complete: HashSet<BTreeMap<Blob, Blob>>,
    broken: Option<String>,
}

pub(crate) fn search(rules: Rules) -> Found {
    let identity = Identity::new(key().public(), Time::from_unix_nanos(START).unwrap()).encode();
    let mut search = Search {
        rules,
        seen: HashSet::new(),
        judged: HashSet::new(),
        waiting: VecDeque::new(),
        steps: Vec::new(),
        known: HashMap::new(),
        resting: HashMap::new(),
        complete: HashSet::new(),
        broken: None,
    };
    let first = Step { from: 0, writer: None, what: "an empty archive", path: None };
    search.reach(first, World::new(rules, identity.as_bytes()));
    while let Some((at, world)) = search.waiting.pop_front() {
        if search.broken.is_some() || search.seen.len() >= rules.worlds {
            break;
        }
        search.expand(at, &world);
    }
    if search.broken.is_none() {
        search.complete.iter().for_each(|objects| verifies(objects, rules.commits));
    }
    let (worlds, runs, complete) = (search.seen.len(), search.known.len(), search.complete.len());
    Found { worlds, runs, broken: search.broken, complete }
}

/// So wide that no two of them meet.
fn hash(what: &impl std::hash::Hash) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, what).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

impl Search {
    fn reach(&mut self, step: Step, world: World) {
        if !self.seen.insert(hash(&world)) {
            return;
        }
        let at = self.steps.len();
        self.steps.push(step);
        let is_new = self.judged.insert(hash(&world.evidence()));
        if let Some(what) = is_new.then(|| world.broken()).flatten() {
            let way = self.way(at);
            self.broken.get_or_insert(format!("{what}, by:\n{way}"));
        }
        self.waiting.push_back((at, world));
    }

    fn way(&self, mut at: usize) -> String {
        let mut lines = Vec::new();
        while at > 0 {
            let step = self.steps[at];
            let who = step.writer.map_or("", |writer| NAMES[writer]);
            lines.push(format!("{who} {} {}", step.what, step.path.map_or(String::new(), Blob::text)));
            at = step.from;
        }
        lines.iter().rev().fold(String::new(), |mut text, line| {
            writeln!(text, "  {}", line.trim()).unwrap();
            text
        })
    }

    fn expand(&mut self, from: usize, world: &World) {
        let around = Step { from, writer: None, what: "", path: None };
        if let Some((path, bytes)) = world.in_flight {
            let mut lost = world.clone();
            lost.in_flight = None;
            if lost.takes(path, self.rules) {
                let mut arrived = lost.clone();
                arrived.create(path, bytes);
                self.reach(Step { what: "a write of a dead process arrives:", path: Some(path), ..around }, arrived);
            }
            self.reach(Step { what: "a write of a dead process is lost", ..around }, lost);
        }
        if world.markers > 0 {
            for path in world.hideable() {
                let mut hidden = world.clone();
                hidden.markers -= 1;
                hidden.objects.entry(path).or_default().1 = true;
                self.reach(Step { what: "somebody hides", path: Some(path), ..around }, hidden);
            }
        }
        for writer in 0..2 {
            let step = Step { writer: Some(writer), ..around };
            match &world.writers[writer].process {
                Process::Down => {
                    let began_with = world.writers[writer].disk.clone();
                    let running = Running { began_with, answers: Vec::new(), put_off: false };
                    self.turn(step, "starts", world, writer, Process::Running(running));
                }
                // A new collector in its place, with nothing on its disk.
                Process::Out => {
                    let Some(mut replaced) = world.after_a_fault() else { continue };
                    replaced.writers[writer].disk = Disk::default();
                    self.turn(step, "is replaced", &replaced, writer, Process::Down);
                }
                Process::Finished => {
                    let oldest = world.objects.iter().map(|(path, (versions, _))| (*path, versions[0])).collect();
                    self.complete.insert(oldest);
                }
                Process::Running(running) => self.go_on(step, world, writer, running),
            }
        }
    }

    fn turn(&mut self, step: Step, what: &'static str, world: &World, writer: usize, process: Process) {
        let mut world = world.clone();
        world.writers[writer].process = process;
        self.reach(Step { what, ..step }, world);
    }

    fn go_on(&mut self, step: Step, world: &World, writer: usize, running: &Running) {
        let next = match self.known.get(&(writer, running.clone())) {
            Some(known) => known.clone(),
            None => {
                let next = next(writer, self.rules.commits, &running.began_with, &running.answers);
                self.known.insert((writer, running.clone()), next.clone());
                next
            }
        };
        match next {
            Next::Asks(ask) => {
                if let Some(world) = world.after_a_fault() {
                    self.turn(step, "crashes", &world, writer, Process::Down);
                }
                self.ask(step, world, writer, running, &ask);
            }
            Next::Dies => self.turn(step, "ends with an error", world, writer, Process::Down),
            Next::Out => self.turn(step, "is sent away", world, writer, Process::Out),
            Next::Finishes => self.turn(step, "has finished", world, writer, Process::Finished),
        }
    }

    fn ask(&mut self, step: Step, world: &World, writer: usize, running: &Running, ask: &Ask) {
        let answered = |answer: Answer| {
            let mut running = running.clone();
            running.put_off |= answer == Answer::Later;
            running.answers.push(answer);
            Process::Running(running)
        };
        let path = match ask {
            Ask::Read(path) | Ask::Create(path, _) => Some(*path),
            Ask::List { prefix, .. } => Some(*prefix),
            Ask::Seal { .. } | Ask::Acknowledge { .. } => None,
        };
        let step = Step { path, ..step };
        if let Some(world) = world.after_a_fault().filter(|_| !running.put_off && path.is_some()) {
            self.turn(step, "is put off by", &world, writer, answered(Answer::Later));
        }
        match ask {
            Ask::Read(_) => self.turn(step, "reads", world, writer, answered(world.read(ask))),
            Ask::List { .. } => self.turn(step, "lists", world, writer, answered(world.read(ask))),
            Ask::Seal { .. } => {
                let mut world = world.clone();
                world.note(writer, ask);
                self.turn(step, "seals a record", &world, writer, answered(Answer::Done));
            }
            Ask::Acknowledge { rest, .. } => {
                let mut world = world.clone();
                world.note(writer, ask);
                let mut resting = running.clone();
                resting.answers.push(Answer::Done);
                let resting = self.resting.entry((writer, rest.clone())).or_insert(resting).clone();
                self.turn(step, "acknowledges", &world, writer, Process::Running(resting));
            }
            Ask::Create(path, bytes) => self.create(step, world, writer, (*path, *bytes), &answered),
        }
    }

    fn create(
        &mut self,
        step: Step,
        world: &World,
        writer: usize,
        (path, bytes): (Blob, Blob),
        answered: &dyn Fn(Answer) -> Process,
    ) {
        let takes = world.takes(path, self.rules);
        if takes {
            let mut taken = world.clone();
            taken.create(path, bytes);
            self.turn(step, "writes", &taken, writer, answered(Answer::Done));
        } else {
            self.turn(step, "finds taken", world, writer, answered(Answer::Exists));
        }
        let Some(world) = world.after_a_fault() else { return };
        self.turn(step, "is not sure of, and it was not taken,", &world, writer, answered(Answer::Doubt));
        if !takes {
            return;
        }
        let mut taken = world.clone();
        taken.create(path, bytes);
        self.turn(step, "dies, and the store took", &taken, writer, Process::Down);
        self.turn(step, "is not sure of, and it was taken,", &taken, writer, answered(Answer::Doubt));
        if self.rules.conditional {
            self.turn(step, "hears nothing, asks again, and finds taken", &taken, writer, answered(Answer::Exists));
        }
        if world.in_flight.is_none() {
            let mut late = world.clone();
            late.in_flight = Some((path, bytes));
            self.turn(step, "dies, and on its way is", &late, writer, Process::Down);
        }
    }
}
