//! The same as a pipeline.

use std::error::Error;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pipeline_core::prelude::*;
use pipeline_examples::courier_chat::{ChatEvent, ChatMessage, Conversation, parse};

use super::{NO_ID, path, shown};
use crate::digest::digest;
use crate::keep::Keep;
use crate::lines::Lines;
use crate::measure::{Measured, Task, timed};

pub fn run(task: &Task<'_>, workers: usize) -> Result<Measured, Box<dyn Error>> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&rows);
    let ((), cost) = timed(|| {
        let pipeline = Pipeline::build(|p| {
            let events = p
                .read("Read", Lines(path(task.folder)))
                .try_map("Parse", |line: &Bytes| parse(line).map_err(Failure::from));
            events
                .dead_letters
                .check("NoneRefused", |refused| assert_eq!(refused.len(), 0));
            let messages = events.ok.flat_map("Messages", |event| match event {
                ChatEvent::Message(message) => Some(message),
                ChatEvent::Order(_) => None,
            });
            messages
                .key_by("ByOrder", |message| message.order_id)
                .combine_per_key("Summarise", Summary)
                .write("Keep", Keep(found));
        })?;
        DirectRunner::new().workers(workers).run(&pipeline)?;
        Ok::<_, pipeline_core::Error>(())
    })?;
    let rows = std::mem::take(&mut *rows.lock().expect("nobody panics with it"));
    let messages: i64 = rows.iter().map(|(_, summary)| summary.messages()).sum();
    Ok(Measured {
        cost,
        elements: messages as u64,
        digest: digest(rows.iter().map(|(o, s)| shown(*o, s)).collect()),
    })
}

/// Summarises the messages of an order.
#[derive(Clone)]
struct Summary;

impl CombineFn for Summary {
    type Input = ChatMessage;
    type Accumulator = Conversation;
    type Output = Conversation;

    fn create_accumulator(&self) -> Conversation {
        Conversation::default()
    }

    fn add_input(&self, summary: &mut Conversation, message: ChatMessage) {
        summary.add(&message, NO_ID);
    }

    fn merge_accumulators(&self, summary: &mut Conversation, other: Conversation) {
        summary.merge(other);
    }

    fn extract_output(&self, summary: Conversation) -> Conversation {
        summary
    }
}
