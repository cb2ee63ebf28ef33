//! `read_json`: newline-delimited JSON.

use super::LineSource;
use super::text::whole;
use crate::coder::Element;
use crate::dead_letter::{BadRecord, Failure, Outcome, read_ndjson};
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Reads newline-delimited JSON (NDJSON): every line of the files is a `T`, by its serde.
    ///
    /// A line that is none, or is over the limit of [`Text::max_line_bytes`](super::Text::max_line_bytes), is a dead letter with
    /// the line and the reason. Blank lines are skipped and counted (`blank_lines`).
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Order {
    ///     city: String,
    /// }
    ///
    /// let path = std::env::temp_dir().join(format!("read-json-{}.ndjson", std::process::id()));
    /// std::fs::write(&path, "{\"city\": \"IST\"}\nIZM\n")?;
    /// let pattern = path.display().to_string();
    /// let pipeline = Pipeline::build(|p| {
    ///     let orders = p.read_json::<Order>("Orders", Text::lines(pattern.as_str()));
    ///     orders.ok.check("One", |orders| assert_eq!(orders[0].city, "IST"));
    ///     orders.dead_letters.check("Refused", |refused| assert_eq!(refused[0].original, "IZM"));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_json<T: Element>(&self, name: &str, text: impl LineSource) -> Outcome<T> {
        self.scope(name, || {
            let lines = self.read("Read", text.skip_blank_lines());
            lines.try_map("Parse", |line| {
                let json = whole(line)?;
                let parsed = serde_json::from_slice(json);
                parsed.map_err(|error| Failure::from(error).with_original(json.clone()))
            })
        })
    }

    /// Reads dead letters back that [`TextSink::dead_letters`](crate::sink::TextSink::dead_letters) or
    /// another sink of that format wrote: the original bytes exactly, the rest as it was (a time that no
    /// calendar has comes back as [`Timestamp::MIN`](crate::Timestamp::MIN)).
    ///
    /// To try them again, parse `original`: a record that is refused once more keeps its original bytes
    /// and counts its [attempts](BadRecord::attempts). A line that is no dead letter is one now.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    ///
    /// let path = std::env::temp_dir().join(format!("replay-{}.ndjson", std::process::id()));
    /// let runner = DirectRunner::new();
    /// runner.run(&Pipeline::build(|p| {
    ///     p.create("Texts", vec!["1".to_string(), "x".to_string()])
    ///         .try_map("Parse", |text| Ok(text.parse::<i64>()?))
    ///         .dead_letters
    ///         .write("Keep", TextSink::dead_letters(&path));
    /// })?)?;
    /// let text = Text::lines(path.display().to_string());
    /// runner.run(&Pipeline::build(|p| {
    ///     let again = p.read_dead_letters("Again", text).drop_dead_letters("we wrote them");
    ///     let parsed = again.try_map("Parse", |bad| Ok(std::str::from_utf8(&bad.original)?.parse::<i64>()?));
    ///     parsed.ok.check("None", |numbers| assert!(numbers.is_empty()));
    ///     parsed.dead_letters.check("Twice", |bad| {
    ///         assert_eq!((&bad[0].original[..], bad[0].attempts), (&b"x"[..], 2));
    ///     });
    /// })?)?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_dead_letters(&self, name: &str, text: impl LineSource) -> Outcome<BadRecord> {
        self.scope(name, || {
            let lines = self.read("Read", text.skip_blank_lines());
            lines.try_map("Parse", |line| {
                let json = whole(line)?;
                read_ndjson(json).map_err(|failure| failure.with_original(json.clone()))
            })
        })
    }
}
