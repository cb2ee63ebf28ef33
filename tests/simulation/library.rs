//! The same with the library's own parts: a topic that outlives the lives of the job, a table of the
//! embedded warehouse, and files.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_gcp::bigquery::{
    BigQuery, Column, ColumnType, LocalWarehouse, Row, TableSchema, TableSink, Value,
};
use pipeline_gcp::pubsub::{
    LocalPubSub, Message, NewMessage, PubSub, PubSubError, PubSubErrorKind, PubSubSource, Pulled,
};
use pollster::block_on;

use crate::job::{
    GAP, MOMENTS, Reify, WINDOW, expected, memory_folder, row_of, seconds, snapshots_taken,
};
use crate::world::{CRASH, DISORDER, Event, Random, World};

/// The topic, in which a crash can come.
struct Topic {
    inner: LocalPubSub,
    world: World,
    /// What has been delivered in this life.
    delivered: Mutex<Vec<String>>,
}

impl Topic {
    fn tick(&self) -> Result<(), PubSubError> {
        self.world.tick().map_err(|_| {
            let topic = CRASH.to_owned();
            PubSubErrorKind::TopicNotFound { topic }.into()
        })
    }

    /// Gives back what is out, as when the deadlines of a dead process have passed.
    fn redeliver(&self) {
        let ids = std::mem::take(&mut *self.delivered.lock().unwrap());
        let inner = &self.inner;
        block_on(inner.modify_ack_deadline("sub", &ids, Duration::ZERO)).unwrap();
    }
}

#[async_trait]
impl PubSub for Topic {
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError> {
        self.inner.create_topic(topic).await
    }

    async fn create_subscription(&self, name: &str, topic: &str) -> Result<(), PubSubError> {
        self.inner.create_subscription(name, topic).await
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        self.inner.publish(topic, messages).await
    }

    async fn pull(&self, name: &str, most: usize) -> Result<Pulled, PubSubError> {
        self.tick()?;
        let pulled = self.inner.pull(name, most.min(7)).await?;
        if let Pulled::Messages(received) = &pulled {
            let ids = received.iter().map(|received| received.ack_id.clone());
            self.delivered.lock().unwrap().extend(ids);
        }
        self.tick()?;
        Ok(pulled)
    }

    async fn acknowledge(&self, name: &str, ids: &[String]) -> Result<(), PubSubError> {
        self.tick()?;
        self.inner.acknowledge(name, ids).await?;
        self.tick()
    }

    async fn modify_ack_deadline(
        &self,
        name: &str,
        ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError> {
        self.inner.modify_ack_deadline(name, ids, deadline).await
    }
}

fn schema() -> TableSchema {
    TableSchema::new([Column::required("id", ColumnType::Int64)])
}

fn build(
    topic: &Arc<Topic>,
    warehouse: &Arc<dyn BigQuery>,
    folder: &Path,
) -> Result<pipeline_core::BuiltPipeline, Error> {
    let event =
        |message: &Message| -> Option<Event> { serde_json::from_slice(message.data()).ok() };
    let source = PubSubSource::new(Arc::clone(topic) as Arc<dyn PubSub>, "sub")
        .id_attribute("id")
        .max_disorder(seconds(DISORDER))
        .timestamp_with(move |message| {
            Some(Timestamp::from_millis(1_000 * event(message)?.second))
        });
    Pipeline::build(|p| {
        let events = p
            .read("Read", source)
            .flat_map("Event", move |message| event(&message));
        let table = TableSink::append(Arc::clone(warehouse), "raw", schema(), |event: &Event| {
            Row::new(vec![Value::Int64(event.id as i64)])
        });
        events
            .write("WriteRaw", table)
            .refused
            .check("None", |refused| {
                assert!(refused.is_empty());
            });
        let keyed = events.key_by("ByKey", |event: &Event| event.key);
        keyed
            .window_into("Fixed", FixedWindows::of(seconds(WINDOW)))
            .group_by_key("Group")
            .reify("GroupWindow", |(key, events): (u8, Vec<Event>), end| {
                let mut ids: Vec<u64> = events.iter().map(|event| event.id).collect();
                ids.sort_unstable();
                row_of(key, end, &ids)
            })
            .write(
                "WriteGroups",
                TextSink::lines(folder.join("groups")).without_sharding(),
            );
        keyed
            .window_into("Visits", Sessions::with_gap(seconds(GAP)))
            .count_per_key("Count")
            .reify("CountWindow", |(key, count): (u8, u64), end| {
                format!("{key} until {}: {count}", end.millis() / 1_000)
            })
            .write("WriteCounts", TextSink::lines(folder.join("counts")));
    })
}

/// Opens the warehouse when the life before has let go of it.
fn warehouse(folder: &Path) -> LocalWarehouse {
    let began = Instant::now();
    loop {
        match LocalWarehouse::open(folder) {
            Ok(warehouse) => return warehouse,
            Err(error) if began.elapsed() > Duration::from_secs(20) => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Returns the lines of all files whose names begin so.
fn lines(folder: &Path, prefix: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(prefix)
        {
            let text = std::fs::read_to_string(path).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// Runs a job from its first life to its end; returns how many lives it had, or what is wrong.
pub fn simulate(seed: u64) -> Result<u64, String> {
    let mut random = Random(seed);
    let world = World::default();
    world.publish(20 + random.below(80), &mut random);
    let topic = Arc::new(Topic {
        inner: LocalPubSub::new().with_ack_deadline(Duration::from_secs(600)),
        world: world.clone(),
        delivered: Mutex::default(),
    });
    let events = world.lock().events.clone();
    block_on(async {
        topic.create_topic("topic").await.unwrap();
        topic.create_subscription("sub", "topic").await.unwrap();
        let messages = events.iter().map(|event| {
            NewMessage::new(serde_json::to_vec(event).unwrap())
                .attribute("id", event.id.to_string())
        });
        let messages = messages.collect();
        topic.inner.publish("topic", messages).await.unwrap();
        topic.inner.close("topic").unwrap();
    });
    let place = memory_folder();
    let folder = place.path();
    let (state, output) = (folder.join("state"), folder.join("output"));
    std::fs::create_dir_all(&output).unwrap();
    let mut lives = 0;
    loop {
        lives += 1;
        world.lock().fuse = 2 + random.below(10) * lives;
        let crash_at = MOMENTS[random.below(MOMENTS.len() as u64) as usize];
        let crashes_after = random.below(4) + lives / 4;
        let crashes = !random.one_in(4);
        let reached = AtomicU64::new(0);
        let snapshots = Snapshots::open(&state).map_err(|e| e.to_string())?;
        if snapshots.resumed().is_none() && snapshots_taken(&state) > 0 {
            break;
        }
        topic.redeliver();
        let snapshots = snapshots.interval(Duration::from_millis(1 + random.below(10)));
        let warehouse: Arc<dyn BigQuery> = Arc::new(warehouse(folder));
        let created = block_on(warehouse.create_table_if_needed("raw", &schema()));
        created.map_err(|error| error.to_string())?;
        let runner = DirectRunner::new()
            .workers(1 + random.below(3) as usize)
            .snapshots(&snapshots)
            .at_moments(move |moment| {
                let is_here = moment == crash_at && crashes;
                if is_here && reached.fetch_add(1, Ordering::Relaxed) == crashes_after {
                    return Err(Error::connector(CRASH));
                }
                Ok(())
            });
        let pipeline = build(&topic, &warehouse, &output).map_err(|e| e.to_string())?;
        match runner.run(&pipeline).map_err(|error| error.to_string()) {
            Ok(_) => break,
            Err(error) if error.contains(CRASH) => {}
            Err(error) => return Err(format!("life {lives}: {error}")),
        }
        if lives > 200 {
            return Err("it never ends".to_owned());
        }
    }
    let expected = expected(&events);
    let counters = topic.inner.counters("sub").map_err(|e| e.to_string())?;
    if counters.acknowledged != events.len() as u64 {
        return Err(format!("{} acknowledged", counters.acknowledged));
    }
    let result = block_on(warehouse(folder).query("SELECT id FROM raw")).unwrap();
    let id = |row: &Vec<Value>| match row[0] {
        Value::Int64(id) => id.to_string(),
        _ => format!("{row:?}"),
    };
    let found = [
        ("raw", result.rows.iter().map(id).collect()),
        ("groups", lines(&output, "groups")),
        ("counts", lines(&output, "counts")),
    ];
    for (name, mut found) in found {
        let mut rows = expected[name].clone();
        rows.sort();
        found.sort();
        if rows != found {
            return Err(format!("{name}: {found:?}, not {rows:?}"));
        }
    }
    Ok(lives)
}
