//! The pipeline, from records to tables.

use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::{BuiltPipeline, PCollection};
use pipeline_gcp::bigquery::{BigQuery, TableSink};
use pipeline_gcp::pubsub::{Message, PubSub, PubSubSource};

use super::event::{ChatEvent, ChatMessage};
use super::file_source::FileSource;
use super::join::{CityEvent, Unmatched, join_city};
use super::publisher::ID_ATTRIBUTE;
use super::record::{Identified, ParsedRecord, Record};
use super::summary::Summarise;
use super::tables;

/// A visit ends when no message has come for so long, in event time.
pub const SESSION_GAP: Duration = Duration::from_secs(30 * 60);

/// How long the id of a message is remembered, in memory and beside the snapshots: several times the ack deadline, after which
/// one that was not acknowledged comes again.
pub const REMEMBER_IDS: Duration = Duration::from_secs(60);

/// The path of the step whose elements in are the orders that found no partner.
pub const UNMATCHED: &str = "Unmatched";

/// The path of the step whose elements in are the orders that were let go before the end.
pub const SILENT: &str = "Silent";

/// Where records come from.
#[derive(Clone)]
pub enum Input {
    /// A subscription: the pipeline streams.
    Subscription {
        /// The service.
        service: Arc<dyn PubSub>,
        /// The subscription's name.
        name: String,
    },
    /// A file or the like, read once and whole.
    File(FileSource),
}

/// How the pipeline is to be built.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How far behind the latest message another may be.
    pub max_disorder: Duration,
    /// How long a visit takes late messages.
    pub allowed_lateness: Duration,
    /// Whether the base tables are written. The final table does not need them.
    pub base_tables: bool,
    /// After how long without a message a subscription counts as read to its end; else never.
    pub stop_when_idle: Option<Duration>,
    /// Whether the final table keeps every version of a row, with a view of the latest, as an append-only table must.
    pub keeps_versions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_disorder: Duration::from_secs(60),
            allowed_lateness: Duration::from_secs(24 * 3600),
            base_tables: true,
            stop_when_idle: None,
            keeps_versions: false,
        }
    }
}

/// Builds the pipeline.
///
/// # Errors
/// The pipeline is not well formed: a defect of this function.
pub fn build<D: Sink<Item = BadRecord>>(
    input: Input,
    warehouse: &Arc<dyn BigQuery>,
    dead_letters: D,
    settings: &Settings,
) -> Result<BuiltPipeline, Error> {
    Pipeline::build(|p| {
        let parsed = read(p, input, settings).try_map("Parse", Record::event);
        let (messages, cities) = parsed.ok.par_do("Route", Route);

        let visits = WindowInto::new(Sessions::with_gap(SESSION_GAP))
            .allowed_lateness(settings.allowed_lateness);
        let conversations = messages
            .window_into("PerVisit", visits)
            .key_by("ByOrder", |message| message.value.order_id)
            .combine_per_key("Summarise", Summarise)
            .window_into("Global", GlobalWindows);
        let joined = join_city("JoinCity", &conversations, &cities);
        // What is only to be counted is counted as what goes into a step.
        let _ = joined.unmatched.filter(UNMATCHED, |_: &Unmatched| false);
        let _ = joined.silent.filter(SILENT, |_: &i64| false);

        let rows = tables::final_sink(Arc::clone(warehouse), settings.keeps_versions);
        let written = joined.complete.write("WriteFinal", rows);
        let mut lost = vec![joined.dead_letters, written.refused];
        if settings.base_tables {
            lost.extend(write_base_tables(warehouse, &messages, &cities));
        }
        parsed
            .dead_letters
            .flatten("DeadLetters", &lost)
            .write("WriteDeadLetters", dead_letters);
    })
}

/// Reads records with their ids and times.
fn read(p: &Pipeline, input: Input, settings: &Settings) -> PCollection<Record> {
    match input {
        Input::Subscription { service, name } => {
            let mut source = PubSubSource::new(service, name)
                .id_attribute(ID_ATTRIBUTE)
                .remember_ids(REMEMBER_IDS)
                .max_disorder(settings.max_disorder)
                .timestamp_with(|message| Record::from_message(message).event_time());
            if let Some(quiet) = settings.stop_when_idle {
                source = source.stop_when_idle(quiet);
            }
            p.read("ReadSubscription", source)
                .map("Record", |message: Message| Record::from_message(&message))
        }
        Input::File(source) => p.read("ReadFile", source),
    }
}

/// Writes what came in as it came in, and returns the records that the tables refused.
fn write_base_tables(
    warehouse: &Arc<dyn BigQuery>,
    messages: &PCollection<Identified<ChatMessage>>,
    cities: &PCollection<CityEvent>,
) -> [PCollection<BadRecord>; 2] {
    let conversations = TableSink::append(
        Arc::clone(warehouse),
        tables::CONVERSATIONS,
        tables::conversations_schema(),
        tables::conversations_row,
    );
    let orders = TableSink::append(
        Arc::clone(warehouse),
        tables::ORDERS,
        tables::orders_schema(),
        |city: &CityEvent| tables::orders_row(&city.event),
    );
    [
        messages.write("WriteConversations", conversations).refused,
        cities.write("WriteOrders", orders).refused,
    ]
}

/// Sends messages and order events separate ways.
#[derive(Clone)]
struct Route;

impl DoFn for Route {
    type Input = ParsedRecord;
    type Outputs = (Out<Identified<ChatMessage>>, Out<CityEvent>);

    fn process(
        &mut self,
        ParsedRecord {
            id,
            event,
            original,
        }: ParsedRecord,
        _: &ElementContext,
        (messages, cities): &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        match event {
            ChatEvent::Message(value) => messages.emit(Identified { id, value }),
            ChatEvent::Order(value) => cities.emit(CityEvent {
                event: Identified { id, value },
                original,
            }),
        }
        Ok(())
    }
}
