//! How far the input has been taken in: what a snapshot holds of it, and how a later run goes on behind it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline_core::Error;
use pipeline_core::runners::direct::{Beside, StopHandle};
use serde::{Deserialize, Serialize};

use super::file_source::Lines;
use super::input::{Line, LineCounts, LineId};
use super::program::Message;

/// Where an input stood when a snapshot was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPosition {
    /// The last line such that it and all before it are in the snapshot.
    pub line: Option<LineId>,
    /// The lines up to there; of an input that had ended, all of them.
    pub counts: LineCounts,
    /// The input had ended, and all of it is in the snapshot.
    pub ended: bool,
}

impl SavedPosition {
    /// Reads on to behind the line that the snapshot of that number ended with.
    ///
    /// # Errors
    /// The input is not the one that it was, or cannot be read.
    pub fn skip(&self, lines: &mut Lines, input: &str, epoch: u64) -> Result<(), Message> {
        let Some(last) = self.line else {
            return Ok(());
        };
        let changed = |how: String| {
            Err(format!(
                "--input {input} has changed since snapshot {epoch} was taken, which goes on with it: {how}. Put back \
                 what was there, end that run by --drain with what it has taken in, or begin anew with another \
                 --state_dir"
            ))
        };
        loop {
            let line = lines.next_line();
            let line = line.map_err(|error| format!("--input {input}: {error}"))?;
            let Some(Line::Record { id, .. } | Line::TooLong { id, .. }) = line else {
                let (number, all) = (last.number(), lines.counts().lines);
                return changed(format!(
                    "the snapshot ended with line {number}, and now there are {all}"
                ));
            };
            if id == last {
                return Ok(());
            }
            if id.number() >= last.number() {
                let number = last.number();
                return changed(format!(
                    "its first {number} lines are not those that are in the snapshot"
                ));
            }
        }
    }
}

/// Follows the lines of the input on their way, from a thread that reads them to a pipeline that takes them in, in
/// another order perhaps.
#[derive(Debug)]
pub struct Position(Mutex<Way>);

#[derive(Debug)]
struct Way {
    /// Up to where everything has been taken in.
    reached: SavedPosition,
    /// What was handed out behind that: in the order of the input, and whether it has been taken in.
    out: VecDeque<(LineId, LineCounts, bool)>,
    /// All lines, when the input has ended.
    all: Option<LineCounts>,
}

impl Position {
    /// Begins where a run before has come to.
    pub fn at(reached: SavedPosition) -> Self {
        Position(Mutex::new(Way {
            all: reached.ended.then_some(reached.counts),
            reached,
            out: VecDeque::new(),
        }))
    }

    /// Hears that a line is on its way; the counts are those up to it.
    pub fn hand_out(&self, id: LineId, counts: LineCounts) {
        self.way().out.push_back((id, counts, false));
    }

    /// Hears that lines have been taken in; one that is not on its way has been before.
    pub fn take_in(&self, ids: impl IntoIterator<Item = LineId>) {
        let way = &mut *self.way();
        for id in ids {
            if let Ok(place) = way.out.binary_search_by_key(&id, |(id, ..)| *id) {
                way.out[place].2 = true;
            }
        }
        while let Some((id, counts, true)) = way.out.front() {
            way.reached.line = Some(*id);
            way.reached.counts = *counts;
            way.out.pop_front();
        }
    }

    /// Hears that nothing comes behind what was handed out.
    pub fn end(&self, all: LineCounts) {
        self.way().all = Some(all);
    }

    /// Returns up to where everything has been taken in.
    pub fn reached(&self) -> SavedPosition {
        let way = self.way();
        match way.all {
            Some(counts) if way.out.is_empty() => SavedPosition {
                line: way.reached.line,
                counts,
                ended: true,
            },
            _ => way.reached.clone(),
        }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a snapshot holds beside the pipeline: which run it is of, and the position.
pub struct Saver {
    /// The flags that must be the same when the run goes on, with their values.
    pub flags: Vec<(String, String)>,
    /// Follows the input.
    pub position: Arc<Position>,
    /// Whether the run is being drained.
    pub stop: StopHandle,
}

/// What a [`Saver`] has saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// The flags of the run.
    pub flags: Vec<(String, String)>,
    /// Where its input stood.
    pub position: SavedPosition,
    /// The run was being drained: its input is not read any more.
    pub draining: bool,
}

impl Beside for Saver {
    fn save(&self) -> Result<Vec<u8>, Error> {
        let saved = Saved {
            flags: self.flags.clone(),
            position: self.position.reached(),
            draining: self.stop.is_draining(),
        };
        serde_json::to_vec(&saved).map_err(|error| Error::connector(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::file_source::lines;
    use super::*;

    const INPUT: &str = "a\n\nb\nc\nd";

    fn reader(text: &'static str) -> Lines {
        lines(Box::new(Cursor::new(text)))
    }

    /// The lines that are left, with the counts up to each.
    fn rest(lines: &mut Lines) -> Vec<(LineId, LineCounts)> {
        let mut rest = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let (Line::Record { id, .. } | Line::TooLong { id, .. }) = line;
            rest.push((id, lines.counts()));
        }
        rest
    }

    #[test]
    fn reaches_the_last_line_before_the_first_that_is_missing() {
        let mut lines = reader(INPUT);
        let all = rest(&mut lines);
        let [a, b, c, d] = [0, 1, 2, 3].map(|line| all[line].0);
        let position = Position::at(SavedPosition::default());
        for (id, counts) in &all {
            position.hand_out(*id, *counts);
        }
        assert_eq!(position.reached(), SavedPosition::default());
        position.take_in([b]);
        assert_eq!(position.reached().line, None);
        position.take_in([d, a]);
        // Again, as a message comes that was not acknowledged.
        position.take_in([a, b]);
        assert_eq!(position.reached().line, Some(b));
        assert_eq!(position.reached().counts.lines, 3);
        position.end(lines.counts());
        assert!(!position.reached().ended);
        position.take_in([c]);
        let reached = position.reached();
        assert_eq!((reached.line, reached.ended), (Some(d), true));
        assert_eq!(Position::at(reached.clone()).reached(), reached);
    }

    #[test]
    fn goes_on_behind_the_line_and_only_there() {
        let all = rest(&mut reader(INPUT));
        for (place, (line, counts)) in all.iter().enumerate() {
            let saved = SavedPosition {
                line: Some(*line),
                counts: *counts,
                ended: false,
            };
            let text = serde_json::to_string(&saved).unwrap();
            let saved: SavedPosition = serde_json::from_str(&text).unwrap();
            let mut again = reader(INPUT);
            saved.skip(&mut again, "x", 7).unwrap();
            assert_eq!(rest(&mut again), all[place + 1..]);
            for (other, says) in [
                ("a\n\nB\nC\nD", "are not those"),
                ("", "and now there are 0"),
            ] {
                let skipped = saved.skip(&mut reader(other), "x", 7);
                // The first line is the same in one of them.
                if place > 0 || other.is_empty() {
                    let error = skipped.unwrap_err();
                    assert!(
                        error.contains(says) && error.contains("--input x"),
                        "{error}"
                    );
                    assert!(error.contains("snapshot 7"), "{error}");
                }
            }
        }
    }
}
