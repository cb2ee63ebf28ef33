//! A message is acknowledged after the sinks have committed what became of it: over many
//! schedules, with sinks that take their time, and with records that one sink refuses and another
//! takes. With the rule switched off the test notices.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::prelude::*;

/// A record that the first sink refuses.
fn is_refused(message: u64) -> bool {
    message.is_multiple_of(5)
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Committed(&'static str, u64),
    /// A delivery: its number and its message.
    Acknowledged(usize, u64),
}

type Journal = Arc<Mutex<Vec<Entry>>>;

/// Numbers out of a seed, one after another.
#[derive(Clone)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(Arc::new(AtomicU64::new(seed)))
    }

    fn below(&self, bound: u64) -> u64 {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        let mixed = (n ^ 0x5851_f42d).wrapping_mul(0xd134_2543_de82_ef95);
        (mixed >> 33) % bound
    }
}

/// Delivers messages, some of them several times.
struct Topic {
    deliveries: Vec<u64>,
    dice: Dice,
    journal: Journal,
}

impl Source for Topic {
    type Item = u64;
    type Split = Vec<(usize, u64)>;
    type Ack = (usize, u64);
    type Reader = Subscriber;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, desired: usize) -> Result<Vec<Self::Split>, Error> {
        let mut parts = vec![Vec::new(); desired];
        for (number, message) in self.deliveries.iter().enumerate() {
            parts[number % desired].push((number, *message));
        }
        Ok(parts)
    }

    fn open(&self, part: Self::Split, _: &ReadContext) -> Result<Subscriber, Error> {
        Ok(Subscriber(part.into(), self.dice.clone()))
    }

    async fn acknowledge(&self, acks: Vec<(usize, u64)>) -> Result<(), Error> {
        if self.dice.below(2) == 0 {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        let entries = acks.into_iter().map(|(n, m)| Entry::Acknowledged(n, m));
        self.journal.lock().unwrap().extend(entries);
        Ok(())
    }
}

struct Subscriber(VecDeque<(usize, u64)>, Dice);

impl Reader<u64, (usize, u64)> for Subscriber {
    async fn read(
        &mut self,
        batch: &mut ReadBatch<u64, (usize, u64)>,
    ) -> Result<ReadStatus, Error> {
        if self.1.below(4) == 0 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        for _ in 0..=self.1.below(6) {
            if let Some((number, message)) = self.0.pop_front() {
                batch.push(message, Timestamp::from_millis(0));
                batch.acknowledge_with((number, message));
            }
        }
        Ok(if self.0.is_empty() {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }
}

/// Commits after a while; the one named `first` refuses some.
#[derive(Clone)]
struct Table {
    name: &'static str,
    dice: Dice,
    journal: Journal,
}

impl Sink for Table {
    type Item = u64;
    type Writer = Table;

    fn open(&self, _: usize) -> Result<Table, Error> {
        Ok(self.clone())
    }

    fn max_batch(&self) -> usize {
        7
    }
}

impl Writer<u64> for Table {
    async fn write(&mut self, batch: &WriteBatch<'_, u64>) -> Result<Vec<Rejected>, Error> {
        tokio::time::sleep(Duration::from_micros(100 * self.dice.below(20))).await;
        if batch.attempt == 0 && self.dice.below(40) == 0 {
            return Err(Error::transient("try again"));
        }
        let mut rejected = Vec::new();
        for (index, message) in batch.records.iter().enumerate() {
            if self.name == "first" && is_refused(*message) {
                let failure = Failure::new("a multiple of five");
                rejected.push(Rejected { index, failure });
            } else {
                let entry = Entry::Committed(self.name, *message);
                self.journal.lock().unwrap().push(entry);
            }
        }
        Ok(rejected)
    }
}

/// Runs one schedule, and returns the acknowledgements that came before a commit.
fn violations(runner: &DirectRunner, seed: u64) -> Vec<Entry> {
    let dice = Dice::new(seed << 20);
    let journal = Journal::default();
    let deliveries: Vec<u64> = (0..60)
        .flat_map(|message| vec![message; 1 + dice.below(3) as usize])
        .collect();
    let table = |name| Table {
        name,
        dice: dice.clone(),
        journal: Arc::clone(&journal),
    };
    let pipeline = Pipeline::build(|p| {
        let topic = Topic {
            deliveries: deliveries.clone(),
            dice: dice.clone(),
            journal: Arc::clone(&journal),
        };
        let messages = p.read("Topic", topic);
        messages.map("Copy", |m| m).write("Second", table("second"));
        messages
            .write("First", table("first"))
            .refused
            .flat_map("Parse", |bad| {
                let text = String::from_utf8_lossy(&bad.original).into_owned();
                text.parse::<u64>()
            })
            .write("Third", table("third"));
    })
    .unwrap();
    runner.run(&pipeline).expect("nothing fails for good");
    let journal = journal.lock().unwrap();
    check_all_acknowledged(&journal, &deliveries);
    // A delivery needs commits of its own: the n-th acknowledgement of a message, n commits.
    let mut commits: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    let mut acks: BTreeMap<u64, usize> = BTreeMap::new();
    let mut early = Vec::new();
    for entry in journal.iter() {
        match entry {
            Entry::Committed(table, message) => {
                *commits.entry((table, *message)).or_default() += 1;
            }
            Entry::Acknowledged(_, message) => {
                let nth = acks.entry(*message).or_default();
                *nth += 1;
                let other = if is_refused(*message) {
                    "third"
                } else {
                    "first"
                };
                let committed = |t| commits.get(&(t, *message)).copied().unwrap_or(0) >= *nth;
                if !committed("second") || !committed(other) {
                    early.push(entry.clone());
                }
            }
        }
    }
    early
}

fn check_all_acknowledged(journal: &[Entry], deliveries: &[u64]) {
    let acks = journal.iter().filter_map(|entry| match entry {
        Entry::Acknowledged(number, message) => Some((*number, *message)),
        Entry::Committed(..) => None,
    });
    let acks: Vec<_> = acks.collect();
    let distinct: BTreeSet<_> = acks.iter().copied().collect();
    let all: BTreeSet<_> = deliveries.iter().copied().enumerate().collect();
    assert_eq!(distinct, all, "every delivery is acknowledged");
    assert_eq!(acks.len(), deliveries.len(), "each once");
}

#[test]
fn after_the_commit_over_random_schedules() {
    for seed in 0..40 {
        let runner = DirectRunner::new()
            .workers(2)
            .seed(seed)
            .max_bundle(1 + seed as usize % 9);
        let early = violations(&runner, seed);
        assert!(early.is_empty(), "seed {seed}: {early:?}");
    }
    for seed in 40..60 {
        let early = violations(&DirectRunner::new().workers(3), seed);
        assert!(early.is_empty(), "threads, {seed}: {early:?}");
    }
}

#[test]
fn without_the_rule_the_test_notices() {
    let mut early = 0;
    for seed in 0..5 {
        let runner = DirectRunner::new()
            .workers(2)
            .seed(seed)
            .acknowledge_early(true);
        early += violations(&runner, seed).len();
    }
    assert!(early > 0, "acknowledging early went unnoticed");
}
