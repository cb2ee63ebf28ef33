//! A topic of two parts, which redelivers; or replays.

use std::collections::BTreeSet;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::{Position, Resume};
use serde::{Deserialize, Serialize};

use crate::world::{DISORDER, Event, World};

/// How long a part that lingers gives nothing before it counts as idle.
const IDLE: Duration = Duration::from_secs(60);

/// The topic as a source of two parts.
pub struct Topic(pub World);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Taken {
    ids: BTreeSet<u64>,
    latest: i64,
}

impl Source for Topic {
    type Item = Event;
    type Split = usize;
    type Ack = Vec<u64>;
    type Reader = TopicReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<usize>, Error> {
        Ok(vec![0, 1])
    }

    fn open(&self, part: usize, context: &ReadContext) -> Result<TopicReader, Error> {
        // A crash may come while a life goes on where the one before was.
        self.0.tick()?;
        let taken: Taken = context.position()?.unwrap_or_default();
        let mut state = self.0.lock();
        if state.replays {
            let ids = (0..state.events.len() as u64).filter(|id| (id % 2) as usize == part);
            state.queues[part] = ids.filter(|id| !taken.ids.contains(id)).collect();
        }
        drop(state);
        Ok(TopicReader {
            world: self.0.clone(),
            part,
            taken,
        })
    }

    async fn acknowledge(&self, acks: Vec<Vec<u64>>) -> Result<(), Error> {
        self.0.tick()?;
        let mut state = self.0.lock();
        for id in acks.into_iter().flatten() {
            for table in ["raw", "seen"] {
                let row = id.to_string();
                if !state
                    .tables
                    .get(table)
                    .is_some_and(|t| t.rows.contains(&row))
                {
                    state
                        .wrong
                        .insert("acknowledged before its sinks have committed");
                }
            }
            state.out.remove(&id);
            state.acknowledged.insert(id);
        }
        drop(state);
        // Or before anybody hears of it.
        self.0.tick()
    }

    fn resume(&self) -> Resume {
        match self.0.lock().replays {
            true => Resume::Position,
            false => Resume::Redelivery,
        }
    }

    fn idle_after(&self) -> Option<Duration> {
        self.0.lock().lingers.then_some(IDLE)
    }
}

pub struct TopicReader {
    world: World,
    part: usize,
    taken: Taken,
}

impl TopicReader {
    /// Tells whether something may come yet; lets time go on while nothing does.
    fn waits(&self, nothing: bool) -> bool {
        let mut state = self.world.lock();
        state.delivered |= !nothing;
        let waits = state.lingers && state.queues.iter().any(|queue| !queue.is_empty());
        if nothing && waits && std::mem::take(&mut state.delivered) {
            // Not so far that the part that delivers would count as idle.
            if let Some(clock) = &state.clock {
                clock.advance(IDLE / 4);
            }
        }
        waits
    }
}

impl Reader<Event, Vec<u64>> for TopicReader {
    async fn read(&mut self, batch: &mut ReadBatch<Event, Vec<u64>>) -> Result<ReadStatus, Error> {
        self.world.tick()?;
        while self.world.is_full() {
            // Nothing wakes it but the next look at what was acknowledged.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let most = 1 + self.world.lock().random.as_mut().map_or(0, |r| r.below(12));
        let mut delivered = Vec::new();
        for _ in 0..most.min(batch.room() as u64) {
            let again = self.world.one_in(10);
            let mut state = self.world.lock();
            let Some(id) = state.queues[self.part].pop_front() else {
                break;
            };
            if again {
                // Delivered twice, close to each other.
                let at = state.queues[self.part].len().min(5);
                state.queues[self.part].insert(at, id);
            }
            state.out.insert(id);
            delivered.push(id);
            if self.taken.ids.insert(id) {
                let event = state.events[id as usize].clone();
                self.taken.latest = self.taken.latest.max(event.second);
                let time = Timestamp::from_millis(event.second * 1_000);
                batch.push(event, time);
            }
        }
        let nothing = delivered.is_empty();
        if !nothing {
            batch.acknowledge_with(delivered);
        }
        let waits = self.waits(nothing);
        if nothing && waits {
            tokio::task::yield_now().await;
        }
        Ok(if nothing && !waits {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::from_millis((self.taken.latest - DISORDER) * 1_000)
    }

    fn position(&mut self) -> Result<Position, Error> {
        Position::of(&self.taken)
    }
}
