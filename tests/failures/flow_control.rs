//! Sources that deliver no more until something is acknowledged, before groups that stay open for
//! ever: only a snapshot lets them go on, however long its interval is.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::{SnapshotCounts, Snapshots};
use pipeline_core::source::{Position, Resume};
use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubSource};

/// Far more than any of these runs takes.
const DEADLINE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// Gives messages of these sizes in turn, `total` of them, from any of its parts, as long as all
/// that is out stays within the limit with the next.
#[derive(Clone)]
struct Few {
    parts: usize,
    limit: Option<u64>,
    sizes: &'static [u64],
    total: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    given: usize,
    out: u64,
    acknowledged: usize,
}

struct FewReader(Few, usize);

impl Source for Few {
    type Item = u64;
    type Split = usize;
    type Ack = u64;
    type Reader = FewReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<usize>, Error> {
        Ok((0..self.parts).collect())
    }

    fn open(&self, part: usize, _: &ReadContext) -> Result<FewReader, Error> {
        Ok(FewReader(self.clone(), part))
    }

    async fn acknowledge(&self, sizes: Vec<u64>) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap();
        state.acknowledged += sizes.len();
        state.out -= sizes.iter().sum::<u64>();
        Ok(())
    }

    fn resume(&self) -> Resume {
        Resume::Redelivery
    }

    fn most_unacknowledged(&self) -> Option<u64> {
        self.limit
    }
}

impl FewReader {
    fn take(&self, batch: &mut ReadBatch<u64, u64>) -> Option<ReadStatus> {
        let FewReader(few, part) = self;
        let mut state = few.state.lock().unwrap();
        if state.given == few.total {
            return Some(ReadStatus::Ended);
        }
        let size = few.sizes[state.given % few.sizes.len()];
        let fits = few.limit.is_none_or(|limit| state.out + size <= limit);
        // The parts take turns: none of them alone holds much.
        if !fits || state.given % few.parts != *part {
            return None;
        }
        batch.push(state.given as u64, Timestamp::from_millis(0));
        batch.acknowledge_sized(size, size);
        state.given += 1;
        state.out += size;
        Some(ReadStatus::More)
    }
}

impl Reader<u64, u64> for FewReader {
    async fn read(&mut self, batch: &mut ReadBatch<u64, u64>) -> Result<ReadStatus, Error> {
        loop {
            if let Some(status) = self.take(batch) {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    fn position(&mut self) -> Result<Position, Error> {
        Position::of(&0_u8)
    }
}

/// Runs a source before groups that stay open until it ends; an error if that takes too long.
fn run<S: Source>(
    source: S,
    workers: usize,
    set: impl FnOnce(Snapshots) -> Snapshots,
) -> Result<SnapshotCounts, String> {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = set(Snapshots::open(folder.path()).unwrap().interval(HOUR));
    let runner = DirectRunner::new().workers(workers).snapshots(&snapshots);
    let stop = runner.stop_handle();
    let pipeline = Pipeline::build(|p| {
        p.read("Read", source)
            .key_by("ByNothing", |_| 0_u8)
            .window_into("Hours", FixedWindows::of(HOUR))
            .count_per_key("Count")
            .check("Counts", |_| {});
    })
    .unwrap();
    let (sender, done) = mpsc::channel();
    let running = std::thread::spawn(move || {
        let ended = runner.run(&pipeline);
        // Nobody hears it after the deadline.
        let _ = sender.send(());
        ended.unwrap().snapshots().unwrap()
    });
    let in_time = done.recv_timeout(DEADLINE).is_ok();
    stop.drain();
    let counts = running.join().unwrap();
    in_time
        .then_some(counts)
        .ok_or(format!("it stood still: {counts:?}"))
}

/// Runs [`Few`]; returns how many messages came, were acknowledged, and snapshots were taken.
fn few(
    (parts, workers): (usize, usize),
    (limit, sizes): (Option<u64>, &'static [u64]),
    total: usize,
    set: impl FnOnce(Snapshots) -> Snapshots,
) -> (usize, usize, u64) {
    let state: Arc<Mutex<State>> = Arc::default();
    let few = Few {
        parts,
        limit,
        sizes,
        total,
        state: Arc::clone(&state),
    };
    let counts = run(few, workers, set);
    let state = state.lock().unwrap();
    let (given, acknowledged) = (state.given, state.acknowledged);
    let counts = counts.unwrap_or_else(|error| {
        panic!(
            "{parts} parts, {workers} workers: {error}, {given} given, {acknowledged} acknowledged"
        )
    });
    (given, acknowledged, counts.taken)
}

#[test]
fn a_limit_that_all_parts_share_lets_all_through() {
    for parts in [1, 4, 8] {
        for workers in [1, 2, 4] {
            let limit = (Some(20), [1].as_slice());
            let (given, acknowledged, taken) = few((parts, workers), limit, 200, |s| s);
            assert_eq!((given, acknowledged), (200, 200));
            // At half of the limit at the earliest, and at the end.
            assert!((10..=21).contains(&taken), "{taken} snapshots");
        }
    }
}

#[test]
fn half_of_the_limit_is_not_waited_with_until_all_is_quiet() {
    // A hundred waits of 100 ms would take too long.
    let limit = (Some(20), [1].as_slice());
    let (_, acknowledged, taken) = few((8, 8), limit, 2_400, |s| s);
    assert_eq!(acknowledged, 2_400);
    assert!((120..=241).contains(&taken), "{taken} snapshots");
}

#[test]
fn a_message_that_does_not_fit_beside_the_others_waits_for_a_snapshot_only() {
    // Nine of twenty are out when one of fifteen is next: less than half of the limit.
    let limit = (Some(20), [9, 15].as_slice());
    for (parts, workers) in [(1, 1), (2, 2), (4, 2)] {
        let (given, acknowledged, taken) = few((parts, workers), limit, 8, |s| s);
        assert_eq!((given, acknowledged), (8, 8));
        assert!((4..=9).contains(&taken), "{taken} snapshots");
    }
}

#[test]
fn the_bytes_of_all_workers_count_together() {
    // Each of eight workers has an eighth of what is out.
    let bytes = |s: Snapshots| s.bytes(1_000);
    let (given, acknowledged, taken) = few((8, 8), (None, &[10]), 1_000, bytes);
    assert_eq!((given, acknowledged), (1_000, 1_000));
    // Ten thousand bytes, and the end; reading goes on while a snapshot begins.
    assert!((5..=11).contains(&taken), "{taken} snapshots");
}

#[test]
fn a_topic_with_a_small_backlog_is_read_to_its_end() {
    const MESSAGES: usize = 300;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // About a dozen messages.
    let service = Arc::new(LocalPubSub::new().with_backlog(5_000));
    runtime.block_on(async {
        service.create_topic("topic").await.unwrap();
        service.create_subscription("sub", "topic").await.unwrap();
    });
    let publisher = Arc::clone(&service);
    let publishing = std::thread::spawn(move || {
        runtime.block_on(async {
            for _ in 0..MESSAGES {
                let message = NewMessage::new(vec![b'x'; 300]);
                publisher.publish("topic", vec![message]).await.unwrap();
            }
        });
        publisher.close("topic").unwrap();
    });
    let source = PubSubSource::new(Arc::clone(&service) as Arc<dyn PubSub>, "sub");
    // Neither by time nor by bytes of its own accord.
    let counts = run(source, 2, |s| s.bytes(1 << 30));
    assert!(counts.is_ok(), "{counts:?}, {:?}", service.counters("sub"));
    publishing.join().unwrap();
    let counters = service.counters("sub").unwrap();
    assert_eq!(counters.acknowledged, MESSAGES as u64);
}
