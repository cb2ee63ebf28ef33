//! Runs the example's own pipeline over an input, and looks at what came out.

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_examples::courier_chat::file_source::{FileSource, lines};
use pipeline_examples::courier_chat::pipeline::{Input, Settings, build};
use pipeline_examples::courier_chat::publisher::publish_lines;
use pipeline_examples::courier_chat::{csv, tables};
use pipeline_gcp::bigquery::{BigQuery, LocalWarehouse, QueryResult};
use pipeline_gcp::pubsub::{LocalPubSub, PubSub};

/// The sample data.
pub const SAMPLE: &str = include_str!("../../../examples/courier_chat/data/conversations.json");

/// The final table of the sample data, as it was given.
pub const EXPECTED: &str = include_str!("../../data/expected_conversations.csv");

/// Keeps dead letters in memory.
#[derive(Clone, Default)]
pub struct Letters(pub Arc<Mutex<Vec<BadRecord>>>);

impl Sink for Letters {
    type Item = BadRecord;
    type Writer = Letters;
    fn open(&self, _: usize) -> Result<Letters> {
        Ok(self.clone())
    }
}

impl Writer<BadRecord> for Letters {
    async fn write(&mut self, batch: &WriteBatch<'_, BadRecord>) -> Result<Vec<Rejected>> {
        self.0.lock().unwrap().extend_from_slice(batch.records);
        Ok(Vec::new())
    }
}

/// What a run left behind.
pub struct Ran {
    pub result: RunResult,
    pub warehouse: Arc<dyn BigQuery>,
    pub letters: Vec<BadRecord>,
    /// Keeps the warehouse until the end of the test.
    _folder: tempfile::TempDir,
}

impl Ran {
    /// The final table as the program writes it.
    pub fn csv(&self) -> String {
        let rows = pollster::block_on(tables::final_rows(&*self.warehouse, false)).unwrap();
        let mut file = Vec::new();
        csv::write_rows(&mut file, rows).unwrap();
        String::from_utf8(file).unwrap()
    }

    pub fn query(&self, sql: &str) -> QueryResult {
        pollster::block_on(self.warehouse.query(sql)).unwrap()
    }

    /// The rows of the view, and those of the final table less the version.
    pub fn view_and_table(&self) -> (QueryResult, QueryResult) {
        pollster::block_on(self.warehouse.create_view(tables::VIEW_SQL)).unwrap();
        let view = format!("SELECT * FROM {} ORDER BY order_id", tables::VIEW);
        let table = format!(
            "SELECT * EXCEPT (version) FROM {} ORDER BY order_id",
            tables::FINAL
        );
        (self.query(&view), self.query(&table))
    }
}

/// Runs over a file.
pub fn batch(input: &str, runner: &DirectRunner, settings: &Settings) -> Ran {
    let input = input.to_owned();
    let open = move || -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Ok(Box::new(Cursor::new(input.clone())))
    };
    let source = FileSource::new(Arc::new(open), Arc::default(), false);
    run(Input::File(source), runner, settings)
}

/// Runs over a topic that everything has been published to before, and that is closed.
pub fn streaming(
    input: &str,
    service: LocalPubSub,
    runner: &DirectRunner,
    settings: &Settings,
) -> Ran {
    let service = Arc::new(service.with_backlog(1 << 30));
    let publish = async {
        service.create_topic("topic").await.unwrap();
        service.create_subscription("sub", "topic").await.unwrap();
        let input: Box<dyn std::io::Read + Send> = Box::new(Cursor::new(input.to_owned()));
        publish_lines(lines(input), &*service, "topic", Duration::ZERO)
            .await
            .unwrap();
        service.close("topic").unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(publish);
    let input = Input::Subscription {
        service,
        name: "sub".into(),
    };
    run(input, runner, settings)
}

fn run(input: Input, runner: &DirectRunner, settings: &Settings) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let warehouse: Arc<dyn BigQuery> = Arc::new(LocalWarehouse::open(folder.path()).unwrap());
    let letters = Letters::default();
    let pipeline = build(input, &warehouse, letters.clone(), settings).unwrap();
    let result = runner.run(&pipeline).unwrap();
    let letters = std::mem::take(&mut *letters.0.lock().unwrap());
    Ran {
        result,
        warehouse,
        letters,
        _folder: folder,
    }
}
