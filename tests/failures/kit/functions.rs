//! The kit's DoFn, WindowFn, CombineFn and stateful DoFn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::window::Window;

use super::{Kit, Spot};

/// Goes through the life cycle.
#[derive(Clone)]
pub struct Life(pub Arc<Kit>);

impl DoFn for Life {
    type Input = String;
    type Outputs = Out<String>;

    fn setup(&mut self) -> Result<(), BoxError> {
        self.0.visit(Spot::Setup, None)?;
        self.0.count_setup();
        Ok(())
    }

    fn start_bundle(&mut self) -> Result<(), BoxError> {
        Ok(self.0.visit(Spot::StartBundle, None)?)
    }

    fn process(
        &mut self,
        record: String,
        _: &ElementContext,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        self.0.visit(Spot::Process, Some(&record))?;
        out.emit(record);
        Ok(())
    }

    fn finish_bundle(&mut self, _: &mut Out<String>) -> Result<(), BoxError> {
        Ok(self.0.visit(Spot::FinishBundle, None)?)
    }

    fn teardown(&mut self) -> Result<(), BoxError> {
        self.0.count_teardown();
        Ok(self.0.visit(Spot::Teardown, None)?)
    }
}

/// Sessions of a user's own.
#[derive(Clone)]
pub struct Chunks(pub Arc<Kit>);

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks")
    }
}

impl PartialEq for Chunks {
    fn eq(&self, _: &Chunks) -> bool {
        true
    }
}

impl WindowFn for Chunks {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let is_17 = timestamp == Timestamp::from_millis(17_000);
        let subject = if is_17 { "time-17" } else { "another" };
        self.0.visit_infallible(Spot::Assign, Some(subject));
        windows.push(Window::interval(
            timestamp,
            timestamp + Duration::from_secs(5),
        ));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        self.0.visit_infallible(Spot::Merge, None);
        let whole = windows.iter().copied().reduce(Window::span);
        whole.into_iter().collect()
    }
}

/// Counts.
#[derive(Clone)]
pub struct Tally(pub Arc<Kit>);

impl CombineFn for Tally {
    type Input = String;
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        self.0.visit_infallible(Spot::CreateAccumulator, None);
        0
    }

    fn add_input(&self, count: &mut u64, record: String) {
        self.0.visit_infallible(Spot::AddInput, Some(&record));
        *count += 1;
    }

    fn merge_accumulators(&self, count: &mut u64, other: u64) {
        self.0.visit_infallible(Spot::MergeAccumulators, None);
        *count += other;
    }

    fn extract_output(&self, count: u64) -> u64 {
        self.0.visit_infallible(Spot::ExtractOutput, None);
        count
    }
}

/// Passes counts on when a timer fires.
#[derive(Clone)]
pub struct Remind {
    pub kit: Arc<Kit>,
    pub seen: ValueCell<u64>,
    pub timer: EventTimer,
}

impl StatefulDoFn for Remind {
    type Key = String;
    type Value = u64;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        _: &String,
        count: u64,
        state: &mut StateContext<'_>,
        _: &mut Out<String>,
    ) -> Result<(), BoxError> {
        self.kit.visit(Spot::StatefulProcess, None)?;
        self.seen.write(state, count);
        let at = state.timestamp();
        self.timer.set(state, at);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &String,
        _: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        self.kit.visit(Spot::OnTimer, None)?;
        let count = self.seen.take(state).unwrap_or(0);
        out.emit(format!("{key}: {count}"));
        Ok(())
    }
}
