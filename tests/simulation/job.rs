//! The job, its lives, and what its tables must hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::ManualClock;
use pipeline_core::prelude::*;
use pipeline_core::runners::direct::{Disorder, Moment, Snapshots};

use crate::sinks::{BROKEN, File, Place, Replacing, Rows};
use crate::topic::Topic;
use crate::world::{CRASH, Event, Random, World};

/// What a case came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub lives: u64,
    pub snapshots: u64,
}

/// The files, and all sinks, by name.
const FILES: [&str; 2] = ["file", "other"];
const SINKS: [&str; 7] = [
    "raw", "seen", "groups", "together", "counts", FILES[0], FILES[1],
];

pub const GAP: i64 = 60;
pub const WINDOW: i64 = 100;

/// Puts what it got of a key in a window together when the window ends.
#[derive(Clone)]
struct Together {
    ids: BagCell<u64>,
    end: EventTimer,
}

impl StatefulDoFn for Together {
    type Key = u8;
    type Value = Event;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        _: &u8,
        event: Event,
        state: &mut StateContext<'_>,
        _: &mut Out<String>,
    ) -> Result<(), BoxError> {
        self.ids.add(state, event.id);
        let end = state.window().max_timestamp();
        self.end.set(state, end);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u8,
        _: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        let mut ids = self.ids.take(state);
        ids.sort_unstable();
        out.emit(row_of(*key, state.window().end(), &ids));
        Ok(())
    }
}

pub fn row_of(key: u8, end: Timestamp, ids: &[u64]) -> String {
    format!("{key} until {}: {ids:?}", end.millis() / 1_000)
}

pub fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds as u64)
}

pub fn build(world: &World) -> Result<pipeline_core::BuiltPipeline, Error> {
    let place = |name| Place {
        world: world.clone(),
        name,
    };
    let rows = |name| Rows(place(name));
    Pipeline::build(|p| {
        let events = p.read("Read", Topic(world.clone()));
        let keyed = events.key_by("ByKey", |event: &Event| event.key);
        events
            .reshuffle("Spread")
            .map("Raw", |event| format!("{}", event.id))
            .write("WriteRaw", rows("raw"));
        events
            .map("Seen", |event| format!("{}", event.id))
            .write("WriteSeen", Replacing(place("seen")));
        // Two, so that one can have finished when a crash comes, and the other not.
        for name in FILES {
            events
                .map(&format!("{name}Line"), |event| format!("{}", event.id))
                .write(&format!("{name}Write"), File(place(name)));
        }
        let fixed = FixedWindows::of(seconds(WINDOW));
        let windowed = keyed.window_into("Fixed", fixed);
        windowed
            .group_by_key("Group")
            .reify("GroupWindow", |(key, events): (u8, Vec<Event>), end| {
                let mut ids: Vec<u64> = events.iter().map(|event| event.id).collect();
                ids.sort_unstable();
                row_of(key, end, &ids)
            })
            .write("WriteGroups", rows("groups"));
        windowed
            .par_do_stateful("Together", |cells| Together {
                ids: cells.bag("ids"),
                end: cells.event_timer("end"),
            })
            .write("WriteTogether", rows("together"));
        keyed
            .window_into("Visits", Sessions::with_gap(seconds(GAP)))
            .count_per_key("Count")
            .reify("CountWindow", |(key, count): (u8, u64), end| {
                format!("{key} until {}: {count}", end.millis() / 1_000)
            })
            .write("WriteCounts", rows("counts"));
    })
}

/// Hands the end of its window to a function, with the element.
pub trait Reify<T: Element> {
    fn reify<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T, Timestamp) -> U + Clone + Send + Sync + 'static,
    ) -> PCollection<U>;
}

impl<T: Element> Reify<T> for PCollection<T> {
    fn reify<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T, Timestamp) -> U + Clone + Send + Sync + 'static,
    ) -> PCollection<U> {
        self.par_do(name, WithWindow(f, std::marker::PhantomData))
    }
}

struct WithWindow<T, U, F>(F, std::marker::PhantomData<fn(T) -> U>);

impl<T, U, F: Clone> Clone for WithWindow<T, U, F> {
    fn clone(&self) -> Self {
        WithWindow(self.0.clone(), std::marker::PhantomData)
    }
}

impl<T: Element, U: Element, F: Fn(T, Timestamp) -> U + Clone + Send + Sync + 'static> DoFn
    for WithWindow<T, U, F>
{
    type Input = T;
    type Outputs = Out<U>;

    fn process(
        &mut self,
        element: T,
        context: &ElementContext,
        out: &mut Out<U>,
    ) -> Result<(), BoxError> {
        out.emit((self.0)(element, context.window().end()));
        Ok(())
    }
}

/// What the tables must hold, by a plain loop over the events.
pub fn expected(events: &[Event]) -> BTreeMap<&'static str, Vec<String>> {
    let all: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let mut windows: BTreeMap<(u8, i64), Vec<u64>> = BTreeMap::new();
    let mut visits: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
    for event in events {
        let end = event.second.div_euclid(WINDOW) * WINDOW + WINDOW;
        windows.entry((event.key, end)).or_default().push(event.id);
        visits.entry(event.key).or_default().push(event.second);
    }
    let groups: Vec<String> = windows
        .into_iter()
        .map(|((key, end), ids)| row_of(key, Timestamp::from_millis(end * 1_000), &ids))
        .collect();
    let mut counts = Vec::new();
    for (key, mut seconds) in visits {
        seconds.sort_unstable();
        for visit in seconds.chunk_by(|a, b| b - a < GAP) {
            let end = visit[visit.len() - 1] + GAP;
            counts.push(format!("{key} until {end}: {}", visit.len()));
        }
    }
    BTreeMap::from([
        ("raw", all.clone()),
        ("seen", all.clone()),
        (FILES[0], all.clone()),
        (FILES[1], all),
        ("groups", groups.clone()),
        ("together", groups),
        ("counts", counts),
    ])
}

/// Where crashes come, those of every snapshot first.
pub const MOMENTS: [Moment; 8] = [
    Moment::Prepared,
    Moment::Written,
    Moment::Durable,
    Moment::Committed,
    Moment::Recovering,
    Moment::Finishing,
    Moment::Finished,
    Moment::Marked,
];

/// What interleaves the workers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A seed: the same case again gives the same lives.
    Seed,
    /// Threads, and snapshots by the clock.
    Threads,
}

/// Runs a job from its first life to its end; returns what is wrong then.
pub fn simulate(seed: u64, by: By, disorder: Option<Disorder>) -> Result<Told, String> {
    let mut random = Random(seed);
    let world = World::default();
    let count = 20 + random.below(150);
    world.publish(count, &mut random);
    let few = random.one_in(2);
    let mut state = world.lock();
    state.permits = if few { 30 } else { usize::MAX };
    state.replays = disorder.is_none() && random.one_in(4);
    state.lingers = random.one_in(3);
    drop(state);
    let folder = memory_folder();
    let mut told = Told {
        lives: 0,
        snapshots: 0,
    };
    loop {
        told.lives += 1;
        // Each life has more time than the one before, so that one of them comes to the end.
        let fuse = 5 + random.below(60) * told.lives;
        world.redeliver();
        let mut state = world.lock();
        state.fuse = fuse;
        // For long, and for the life of a sink: then somebody mends it.
        state.slow = if random.one_in(4) { 50 } else { 0 };
        let is_broken = random.one_in(8) && told.lives < 20;
        state.broken = is_broken.then(|| SINKS[random.below(SINKS.len() as u64) as usize]);
        // The clock of the machine jumps from life to life, back as well.
        let clock = Timestamp::from_millis(random.below(1 << 40) as i64);
        let clock = Arc::new(ManualClock::at(clock));
        state.clock = Some(Arc::clone(&clock));
        drop(state);
        let mut crash_at = MOMENTS[random.below(MOMENTS.len() as u64) as usize];
        let often = MOMENTS.iter().position(|moment| *moment == crash_at) < Some(4);
        let mut crashes_after = random.below(if often { 6 } else { 3 }) + told.lives / 4;
        let reached = std::sync::atomic::AtomicU64::new(0);
        let mut crashes = random.one_in(2);
        let (mut workers, mut bundle) = (1 + random.below(3), 1 + random.below(20));
        if disorder == Some(Disorder::LeaveMessages) {
            // What a snapshot lacks shows only if the run goes on from that very one; and messages
            // are seldom under way when bundles are small.
            (crash_at, crashes) = (Moment::Committed, true);
            crashes_after = random.below(2) + told.lives / 8;
            (workers, bundle) = (workers + 1, 100);
            world.lock().fuse = 20 * fuse;
        }
        if world.lock().replays && told.lives > 1 && random.one_in(3) {
            remove_newest(folder.path());
        }
        let snapshots = Snapshots::open(folder.path()).map_err(|e| e.to_string())?;
        if snapshots.resumed().is_none() && snapshots_taken(folder.path()) > 0 {
            // The life before had finished, and its crash came behind the end of all.
            break;
        }
        let snapshots = snapshots.interval(match by {
            // The seed draws when snapshots are taken, not the clock.
            By::Seed => Duration::from_secs(3600),
            By::Threads => Duration::from_millis(1 + random.below(5)),
        });
        let mut runner = DirectRunner::new()
            .workers(workers as usize)
            .max_bundle(bundle as usize)
            .encode_edges(random.one_in(4))
            .clock(clock)
            .snapshots(&snapshots)
            .at_moments(move |moment| {
                let before = std::sync::atomic::Ordering::Relaxed;
                if moment == crash_at && crashes && reached.fetch_add(1, before) == crashes_after {
                    return Err(Error::connector(CRASH));
                }
                Ok(())
            });
        // In some lives all groups and all state are on disk, and firings go out in parts.
        if bundle % 3 == 0 {
            let spill = folder.path().join("spill");
            runner = runner.memory_limit(1).spill_folder(spill);
            runner = runner.fire_at_once(1);
        }
        if by == By::Seed {
            runner = runner.seed(random.below(u64::MAX));
        }
        if let Some(disorder) = disorder {
            runner = runner.disorder(disorder);
        }
        let pipeline = build(&world).map_err(|e| e.to_string())?;
        let ended = runner.run(&pipeline);
        told.snapshots += snapshots_taken(folder.path());
        match ended.map_err(|error| error.to_string()) {
            Ok(_) => break,
            Err(error) if error.contains(CRASH) || error.contains(BROKEN) => {}
            Err(error) => return Err(format!("life {}: {error}", told.lives)),
        }
        if told.lives > 200 {
            return Err("it never ends".to_owned());
        }
    }
    let wrong = wrong(&world);
    match wrong.is_empty() {
        true => Ok(told),
        false => Err(wrong.join("; ")),
    }
}

/// Removes the newest snapshot, if there is an older one: somebody has put back an older copy.
fn remove_newest(folder: &std::path::Path) {
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_snapshot = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_str();
        name.is_some_and(|name| name.starts_with("snapshot-"))
    };
    let mut snapshots: Vec<_> = paths.filter(is_snapshot).collect();
    snapshots.sort();
    if snapshots.len() > 1 {
        std::fs::remove_file(&snapshots[snapshots.len() - 1]).unwrap();
    }
}

/// Makes a folder, in memory if there is such a place: a crash of the job is none of the machine.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Returns what is not as it must be when a job has come to its end.
pub fn wrong(world: &World) -> Vec<String> {
    let state = world.lock();
    let count = state.events.len() as u64;
    let mut wrong: Vec<String> = state.wrong.iter().map(|w| (*w).to_owned()).collect();
    let unacknowledged = count - state.acknowledged.len() as u64;
    // A topic that replays does not deliver again what a position has, acknowledged or not.
    if unacknowledged > 0 && !state.replays {
        wrong.push(format!("{unacknowledged} of {count} not acknowledged"));
    }
    for (name, mut rows) in expected(&state.events) {
        let in_table = state.tables.get(name).map(|table| &table.rows);
        let in_file = state.files.get(name).map(|file| &file.published);
        let mut found = in_table.or(in_file).cloned().unwrap_or_default();
        found.sort();
        rows.sort();
        if found != rows {
            let of_all = state.acknowledged.len();
            let missing = rows.iter().find(|row| !found.contains(row));
            let further = found.iter().find(|row| !rows.contains(row));
            wrong.push(format!(
                "{name}: {} rows, not {}, with {of_all} acknowledged; missing {missing:?}, not \
                 expected {further:?}",
                found.len(),
                rows.len()
            ));
        }
    }
    wrong
}

/// The number of the last snapshot is how many were taken; those of earlier lives count again.
pub fn snapshots_taken(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("snapshot-")).count() as u64
}
