//! A loop over the lines and a table.

use std::error::Error;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use pipeline_examples::courier_chat::{ChatEvent, Conversation, parse};

use super::{NO_ID, path, shown};
use crate::digest::digest;
use crate::lines::blocks;
use crate::measure::{Measured, Task, timed};

pub fn run(task: &Task<'_>) -> Result<Measured, Box<dyn Error>> {
    let path = path(task.folder);
    let ((orders, refused), cost) = timed(|| {
        let mut orders: HashMap<i64, Conversation, FixedState> = HashMap::default();
        let mut refused = 0;
        blocks(&path, 0, 1, |block| {
            for line in block.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
                match parse(line) {
                    Ok(ChatEvent::Message(message)) => {
                        let summary = orders.entry(message.order_id).or_default();
                        summary.add(&message, NO_ID);
                    }
                    Ok(ChatEvent::Order(_)) => {}
                    Err(_) => refused += 1,
                }
            }
        })?;
        let orders: Vec<_> = orders.into_iter().collect();
        Ok::<_, Box<dyn Error>>((orders, refused))
    })?;
    if refused > 0 {
        return Err(format!("{refused} lines were refused").into());
    }
    let messages: i64 = orders.iter().map(|(_, s)| s.messages()).sum();
    Ok(Measured {
        cost,
        elements: messages as u64,
        digest: digest(orders.iter().map(|(o, s)| shown(*o, s)).collect()),
    })
}
