//! A message is acknowledged after its base-table row or dead letter has been committed: topic,
//! warehouse and dead letters write one journal.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_examples::courier_chat::pipeline::{Input, Settings, build};
use pipeline_gcp::bigquery::{
    AppendOutcome, BigQuery, BigQueryError, JournalEntry as Committed, LocalWarehouse, QueryResult,
    Row, TableSchema, UpsertOutcome,
};
use pipeline_gcp::pubsub::{JournalEntry, LocalPubSub, NewMessage, PubSub, Redelivery};

use super::harness::SAMPLE;

/// What happened, in order, to the record with that id.
#[derive(Clone, Debug)]
enum Entry {
    Committed(String),
    Acknowledged(String),
}

type Journal = Arc<Mutex<Vec<Entry>>>;

/// A warehouse that takes its time, now more, now less.
struct Slow {
    inner: LocalWarehouse,
    calls: Mutex<u64>,
}

impl Slow {
    async fn wait(&self) {
        let calls = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        tokio::time::sleep(Duration::from_millis(calls * 7 % 5)).await;
    }
}

#[async_trait]
impl BigQuery for Slow {
    async fn create_table_if_needed(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        self.inner.create_table_if_needed(table, schema).await
    }
    async fn append_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<AppendOutcome, BigQueryError> {
        self.wait().await;
        self.inner.append_rows(table, rows).await
    }
    async fn upsert_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<UpsertOutcome, BigQueryError> {
        self.wait().await;
        self.inner.upsert_rows(table, rows).await
    }
    async fn create_view(&self, sql: &str) -> Result<(), BigQueryError> {
        self.inner.create_view(sql).await
    }
    async fn query(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        self.inner.query(sql).await
    }
}

/// Notes dead letters; their records are their own ids.
struct Letters(Journal);

impl Sink for Letters {
    type Item = BadRecord;
    type Writer = Letters;
    fn open(&self, _: usize) -> Result<Letters> {
        Ok(Letters(Arc::clone(&self.0)))
    }
}

impl Writer<BadRecord> for Letters {
    async fn write(&mut self, batch: &WriteBatch<'_, BadRecord>) -> Result<Vec<Rejected>> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let ids = batch.records.iter().map(|record| {
            let id = std::str::from_utf8(&record.original).unwrap();
            Entry::Committed(id.to_owned())
        });
        self.0.lock().unwrap().extend(ids);
        Ok(Vec::new())
    }
}

/// Runs the pipeline over records that come one to three times, some of them broken; returns the
/// journal and how many messages there were.
fn journal(seed: u64, early: bool) -> (Vec<Entry>, usize) {
    let journal = Journal::default();
    let (acks, commits) = (Arc::clone(&journal), Arc::clone(&journal));
    let hear = move |entry: JournalEntry| {
        if let JournalEntry::Acknowledged { message, .. } = entry {
            let id = message.attribute("id").unwrap().to_owned();
            acks.lock().unwrap().push(Entry::Acknowledged(id));
        }
    };
    let committed = move |Committed { row_ids, .. }: Committed| {
        let entries = row_ids.into_iter().map(Entry::Committed);
        commits.lock().unwrap().extend(entries);
    };
    let service = LocalPubSub::new()
        .with_redelivery(Redelivery::seeded(seed))
        .with_journal(Arc::new(hear));
    let service = Arc::new(service);
    let messages: Vec<NewMessage> = SAMPLE
        .lines()
        .take(700)
        .enumerate()
        .map(|(number, line)| {
            let id = format!("{number:012}");
            let broken = number % 10 == 3;
            let data = if broken { id.clone() } else { line.to_owned() };
            NewMessage::new(data).attribute("id", id)
        })
        .collect();
    let count = messages.len();
    pollster::block_on(async {
        service.create_topic("topic").await.unwrap();
        service.create_subscription("sub", "topic").await.unwrap();
        service.publish("topic", messages).await.unwrap();
        service.close("topic").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let inner = LocalWarehouse::open(folder.path()).unwrap();
    let warehouse: Arc<dyn BigQuery> = Arc::new(Slow {
        inner: inner.with_journal(Arc::new(committed)),
        calls: Mutex::new(seed),
    });
    let input = Input::Subscription {
        service,
        name: "sub".into(),
    };
    let letters = Letters(Arc::clone(&journal));
    let pipeline = build(input, &warehouse, letters, &Settings::default()).unwrap();
    let runner = DirectRunner::new().workers(2).max_bundle(16);
    runner.acknowledge_early(early).run(&pipeline).unwrap();
    let journal = std::mem::take(&mut *journal.lock().unwrap());
    (journal, count)
}

/// Counts acknowledgements, and those that came before the commit.
fn acknowledged(journal: &[Entry]) -> (usize, usize) {
    let mut committed = HashSet::new();
    let (mut all, mut early) = (0, 0);
    for entry in journal {
        match entry {
            Entry::Committed(id) => {
                committed.insert(id);
            }
            Entry::Acknowledged(id) => {
                all += 1;
                early += usize::from(!committed.contains(id));
            }
        }
    }
    (all, early)
}

#[test]
fn a_message_is_acknowledged_after_its_commit() {
    let mut redelivered = 0;
    for seed in 0..3 {
        let (journal, messages) = journal(seed, false);
        let (all, early) = acknowledged(&journal);
        assert!(all >= messages, "every message is acknowledged: {all}");
        assert_eq!(early, 0, "seed {seed}");
        redelivered += all - messages;
    }
    assert!(redelivered >= 1_000, "{redelivered}");
}

#[test]
fn without_the_rule_the_journal_shows_it() {
    let (journal, _) = journal(0, true);
    let (_, early) = acknowledged(&journal);
    assert!(early > 0);
}
