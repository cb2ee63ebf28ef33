//! `read_json`: newline-delimited JSON.

use super::Text;
use super::text::whole;
use crate::coder::Element;
use crate::dead_letter::{Failure, Outcome};
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Reads newline-delimited JSON (NDJSON): every line of the files is a `T`, by its serde.
    ///
    /// A line that is none, or is over the limit of [`Text::max_line_bytes`], is a dead letter with
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
    pub fn read_json<T: Element>(&self, name: &str, text: Text) -> Outcome<T> {
        self.scope(name, || {
            let lines = self.read("Read", text.skip_blank_lines());
            lines.try_map("Parse", |line| {
                let json = whole(line)?;
                let parsed = serde_json::from_slice(json);
                parsed.map_err(|error| Failure::from(error).with_original(json.clone()))
            })
        })
    }
}
