//! A sink that keeps elements in memory.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

/// Keeps all elements in a vector.
pub struct Keep<T>(pub Arc<Mutex<Vec<T>>>);

impl<T: Element> Sink for Keep<T> {
    type Item = T;
    type Writer = Keep<T>;

    fn open(&self, _worker: usize) -> Result<Keep<T>, Error> {
        Ok(Keep(Arc::clone(&self.0)))
    }
}

impl<T: Element> Writer<T> for Keep<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>, Error> {
        let mut kept = self.0.lock().expect("nobody panics with it");
        kept.extend_from_slice(batch.records);
        Ok(Vec::new())
    }
}
