//! A sink: lines on a shelf, in view only when the run has ended well.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

/// Keeps lines, and refuses those that are too long.
#[derive(Clone, Default)]
pub struct Shelf {
    hidden: Arc<Mutex<Vec<String>>>,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Shelf {
    /// Returns what is in view, sorted.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.shown.lock().map(|l| l.clone()).unwrap_or_default();
        lines.sort();
        lines
    }
}

impl Sink for Shelf {
    type Item = String;
    type Writer = ShelfWriter;

    fn open(&self, _worker: usize) -> Result<ShelfWriter, Error> {
        Ok(ShelfWriter(self.clone()))
    }

    async fn finish(&self, succeeded: bool) -> Result<(), Error> {
        let busy = |_| Error::transient("the shelf is in use");
        if succeeded {
            let hidden = std::mem::take(&mut *self.hidden.lock().map_err(busy)?);
            self.shown.lock().map_err(busy)?.extend(hidden);
        }
        Ok(())
    }
}

/// Puts lines onto the shelf.
pub struct ShelfWriter(Shelf);

impl Writer<String> for ShelfWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        let mut refused = Vec::new();
        let mut hidden = self
            .0
            .hidden
            .lock()
            .map_err(|_| Error::transient("the shelf is in use"))?;
        for (index, line) in batch.records.iter().enumerate() {
            if line.len() > 20 {
                let failure = Failure::new("the shelf is too short");
                refused.push(Rejected { index, failure });
            } else {
                hidden.push(line.clone());
            }
        }
        Ok(refused)
    }
}
