//! A stateful function that keeps something of every kind.

use serde::{Deserialize, Serialize};

use super::resumed::Key;
use crate::do_fn::Out;
use crate::error::BoxError;
use crate::state::{BagCell, EventTimer, StateCells, StateContext, ValueCell};
use crate::time::Timestamp;
use crate::transforms::StatefulDoFn;

/// Keeps a value, a bag and two timers; some values clear them or hold the watermark.
#[derive(Clone)]
pub(super) struct Remember {
    pub(super) last: ValueCell<Option<Last>>,
    pub(super) all: BagCell<u32>,
    pub(super) soon: EventTimer,
    pub(super) end: EventTimer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) value: u32,
    pub(super) at: Timestamp,
}

impl Remember {
    pub(super) fn declare(cells: &mut StateCells) -> Remember {
        Remember {
            last: cells.value("last"),
            all: cells.bag("all"),
            soon: cells.event_timer("soon"),
            end: cells.event_timer("end"),
        }
    }

    /// The same, declared in another order, with more: state is found by name.
    pub(super) fn declare_otherwise(cells: &mut StateCells) -> Remember {
        let _: ValueCell<String> = cells.value("new");
        let end = cells.event_timer("end");
        let all = cells.bag("all");
        let _ = cells.event_timer("later");
        Remember {
            end,
            all,
            last: cells.value("last"),
            soon: cells.event_timer("soon"),
        }
    }
}

impl StatefulDoFn for Remember {
    type Key = Key;
    type Value = u32;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        key: &Key,
        value: u32,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        let at = state.timestamp();
        let most = state.window().max_timestamp();
        match value % 8 {
            0 => {
                out.emit(format!("{key} had {:?}", self.last.take(state)));
                self.soon.clear(state);
            }
            1 => self.all.clear(state),
            2 => self.last.write(state, None),
            n => {
                self.all.add(state, value);
                self.last.write(state, Some(Last { value, at }));
                let soon = at.plus_millis(i64::from(n) * 5).min(most);
                if n < 6 {
                    self.soon.set_with_output(state, soon, at);
                } else {
                    self.soon.set(state, soon);
                    self.end.set(state, at.plus_millis(100).min(most));
                }
            }
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &Key,
        timer: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        let name = if timer == self.soon { "soon" } else { "end" };
        out.emit(format!(
            "{key} {name} {:?} {:?}",
            self.last.read(state),
            self.all.read(state)
        ));
        if timer == self.end {
            self.last.clear(state);
            self.all.clear(state);
        }
        Ok(())
    }
}
