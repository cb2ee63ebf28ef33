//! What a person sees at the end.

use std::fmt;
use std::path::Path;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use pipeline_core::prelude::*;
use pipeline_core::{DROPPED_LATE, ELEMENTS_IN, ELEMENTS_OUT};
use pipeline_gcp::bigquery::{BigQuery, Value};
use pipeline_gcp::pubsub::Counters;

use super::conversation::ConversationRow;
use super::event_time::EventTime;
use super::input::LineCounts;
use super::options::Options;
use super::pipeline::{SILENT, UNMATCHED};
use super::places::may_wait;
use super::tables;

/// What the rows of the final table are called.
const ROWS: &str = "conversations in the final table";

/// The number of conversations that are shown.
const SHOWN: usize = 8;

/// What was found when the final table was held against the view.
pub struct Agreement {
    /// Rows of the view.
    view_rows: usize,
    /// Rows that only one of the two has.
    differing: usize,
    /// Rows of the base tables.
    base_rows: i64,
}

/// Compares the final table with the view.
///
/// # Errors
/// The warehouse cannot answer.
pub async fn agreement(
    warehouse: &dyn BigQuery,
    keeps_versions: bool,
) -> Result<Agreement, String> {
    let query = async |sql: String| {
        let result = warehouse.query(&sql).await;
        result.map(|r| r.rows).map_err(|error| error.to_string())
    };
    let view = query(format!("SELECT * FROM {} ORDER BY order_id", tables::VIEW)).await?;
    let (except, table) = ("* EXCEPT (version)", tables::latest(keeps_versions));
    let table = query(format!("SELECT {except} FROM {table} ORDER BY order_id")).await?;
    let mut base_rows = 0;
    for table in [tables::CONVERSATIONS, tables::ORDERS] {
        let count = query(format!("SELECT COUNT(*) FROM {table}")).await?;
        if let Some([Value::Int64(count)]) = count.first().map(Vec::as_slice) {
            base_rows += count;
        }
    }
    let missing = |from: &[Vec<Value>], of: &[Vec<Value>]| {
        let of: std::collections::HashSet<String> = of.iter().map(|r| format!("{r:?}")).collect();
        from.iter()
            .filter(|r| !of.contains(&format!("{r:?}")))
            .count()
    };
    Ok(Agreement {
        view_rows: view.len(),
        differing: missing(&view, &table) + missing(&table, &view),
        base_rows,
    })
}

/// Prints as the end of a run: conversations, counts, and where everything is.
pub struct Report<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// How the run ended.
    pub result: &'a RunResult,
    /// The final table, by order.
    pub rows: &'a [ConversationRow],
    /// The lines of the input.
    pub counts: LineCounts,
    /// What went through the topic since the program was started, if there is one.
    pub topic: Option<Counters>,
    /// The run was drained: what it did not read does not count.
    pub drained: bool,
    /// The table against the view; of a run that was stopped, nothing.
    pub agreement: Option<Agreement>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.conversations(f)?;
        self.numbers(f)?;
        if let Some(agreement) = &self.agreement {
            self.comparison(agreement, f)?;
        }
        self.places(f)?;
        self.ending(f)
    }
}

impl Report<'_> {
    fn conversations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header([
            "order",
            "city",
            "by",
            "started",
            "courier",
            "customer",
            "response",
            "last stage",
        ]);
        let mut first: Vec<&ConversationRow> = self.rows.iter().collect();
        first.sort_by_key(|row| (row.conversation_started_at, row.order_id));
        for row in first.iter().take(SHOWN) {
            let delay = row.first_responsetime_delay_seconds;
            table.add_row([
                row.order_id.to_string(),
                row.city_code.clone(),
                row.first_message_by.as_str().to_owned(),
                started(row.conversation_started_at),
                row.num_messages_courier.to_string(),
                row.num_messages_customer.to_string(),
                delay.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
                row.last_message_order_stage.clone(),
            ]);
        }
        for column in [0, 4, 5, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        let more = self.rows.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "… and {more} more conversations")?;
        }
        Ok(())
    }

    fn ending(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result.end() {
            End::Finished if self.drained => writeln!(
                f,
                "\nDrained: all that was taken in is in the tables, and the rest of the input was left. Started again, \
                 the program begins anew, over the same tables."
            ),
            End::Finished => Ok(()),
            End::Stopped { abandoned_groups } => writeln!(
                f,
                "\nStopped: {abandoned_groups} open groups are abandoned: visits that were still open, and orders that \
                 waited for further parts. Start again with the same input to have them: what is in the warehouse is \
                 not written twice."
            ),
            End::Suspended { epoch, open_groups } => {
                let state = self.options.state_dir();
                write!(
                    f,
                    "\nStopped: {open_groups} open groups wait in snapshot {epoch} in {}: visits that are still open, \
                     and orders that wait for further parts. ",
                    state.display()
                )?;
                if may_wait(self.options) {
                    let input = self.options.input_name();
                    writeln!(
                        f,
                        "As {input} cannot be read again, start with --drain to write them."
                    )
                } else {
                    writeln!(
                        f,
                        "Start again with the same flags to go on, or with --drain to write them as they are."
                    )
                }
            }
        }
    }

    fn numbers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.result.metrics();
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["count", "number"]);
        let counts = self.counts;
        let lines = [
            ("records taken in", metrics.get("Parse", ELEMENTS_IN)),
            ("  messages", metrics.get("PerVisit", ELEMENTS_IN)),
            (
                "  order events",
                metrics.get("JoinCity/Cities", ELEMENTS_IN),
            ),
            ("  dead letters", metrics.get("DeadLetters", ELEMENTS_OUT)),
            ("duplicates dropped", metrics.total("duplicates")),
            ("dropped as late", metrics.total(DROPPED_LATE)),
            (
                "orders without a partner",
                metrics.get(UNMATCHED, ELEMENTS_IN),
            ),
            (ROWS, self.rows.len() as u64),
            ("blank lines skipped", counts.blank),
            ("carriage returns stripped", counts.carriage_returns),
            ("byte order marks stripped", counts.byte_order_marks),
        ];
        let topic = self.topic.iter().flat_map(|topic| {
            [
                ("delivered by the topic since the start", topic.delivered),
                ("acknowledged since the start", topic.acknowledged),
            ]
        });
        let snapshots = self.result.snapshots();
        let snapshots = snapshots.iter().flat_map(|snapshots| {
            let longest = snapshots.longest_pause.as_millis();
            let longest = u64::try_from(longest).unwrap_or(u64::MAX);
            [
                ("snapshots taken since the start", snapshots.taken),
                ("the longest pause for one, in ms", longest),
            ]
        });
        let read = self.options.reads_tables();
        let lines = lines.into_iter().filter(|(name, _)| read || *name != ROWS);
        for (name, number) in lines.chain(topic).chain(snapshots) {
            table.add_row([name.to_owned(), number.to_string()]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")
    }

    fn comparison(&self, agreement: &Agreement, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Agreement {
            view_rows,
            differing,
            base_rows,
        } = agreement;
        let metrics = self.result.metrics();
        let routed =
            metrics.get("PerVisit", ELEMENTS_IN) + metrics.get("JoinCity/Cities", ELEMENTS_IN);
        let others = i64::try_from(routed).is_ok_and(|routed| *base_rows > routed).then(|| {
            format!(
                "the base tables hold {base_rows} rows, this run brought {routed}: the warehouse was filled by another \
                 input as well"
            )
        });
        if *differing == 0 {
            writeln!(
                f,
                "The SQL view over the base tables gives the same {view_rows} rows."
            )?;
            return match others {
                Some(others) => writeln!(f, "Both show more than this run: {others}."),
                None => Ok(()),
            };
        }
        writeln!(
            f,
            "The SQL view over the base tables differs in {differing} rows:"
        )?;
        let dropped = metrics.total(DROPPED_LATE);
        let silent = metrics.get(SILENT, ELEMENTS_IN);
        let explained = dropped > 0 || silent > 0 || others.is_some();
        if dropped > 0 {
            writeln!(
                f,
                "  - {dropped} messages came too late for their visit; the base tables have them"
            )?;
        }
        if let Some(others) = others {
            writeln!(f, "  - {others}")?;
        }
        if silent > 0 {
            writeln!(
                f,
                "  - an order that is silent for more than 24 h begins anew in the final table; such silences: {silent}"
            )?;
        }
        if !explained {
            writeln!(
                f,
                "  - for no reason that this run has counted; an earlier run, or another program, may have written them"
            )?;
        }
        Ok(())
    }

    fn places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(f, "\ninput         {}", options.input_name())?;
        if options.reads_tables() {
            writeln!(f, "final table   {}", options.output().display())?;
        }
        writeln!(
            f,
            "dead letters  {}",
            options.dead_letter_output().display()
        )?;
        if options.takes_snapshots() {
            writeln!(f, "snapshots     {}", options.state_dir().display())?;
        }
        if let Some(dataset) = &options.google.bq_dataset {
            return writeln!(
                f,
                "dataset       {dataset}\n  tables      {}, {}, {}\n  views       {}, {}",
                tables::CONVERSATIONS,
                tables::ORDERS,
                tables::FINAL,
                tables::LATEST,
                tables::VIEW
            );
        }
        writeln!(f, "warehouse     {}", options.warehouse.display())?;
        let (conversations, orders, last) = (tables::CONVERSATIONS, tables::ORDERS, tables::FINAL);
        writeln!(f, "  tables      {conversations}, {orders}, {last}")?;
        writeln!(
            f,
            "  view        {}, in GoogleSQL: LocalWarehouse::query runs it, sqlite3 does not know it",
            tables::VIEW
        )?;
        let store = quoted(&options.warehouse.join("warehouse.sqlite"));
        write!(
            f,
            "\nTo look further:\n  \
             sqlite3 {store} 'SELECT * FROM {last} LIMIT 5'\n  \
             {:32}shows the final table; its times are microseconds since 1970\n  \
             --draw                          shows the pipeline as a flow chart\n  \
             --publish_interval 5ms          lets you watch it work\n  \
             --seed 1 --conversations 100000 gives it more to do\n  \
             --help                          lists all flags\n",
            ""
        )
    }
}

/// Writes a path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Shows a time to the second.
fn started(time: EventTime) -> String {
    time.to_string()
        .replace('T', " ")
        .trim_end_matches('Z')
        .to_owned()
}
