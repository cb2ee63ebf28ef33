//! What a person sees while the pipeline runs.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline_core::{ELEMENTS_IN, ELEMENTS_OUT, MetricsSnapshot};

/// How often a line is printed where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows counts on standard error: a line that changes on a terminal, a line now and then elsewhere.
///
/// The line is gone when the last clone is dropped, so that an error stands by itself.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    printed: Arc<Mutex<Instant>>,
}

impl Progress {
    /// Begins to show.
    pub fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        Progress {
            bar,
            printed: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Shows the counts of a run.
    pub fn show(&self, counts: &MetricsSnapshot) {
        let message = format!(
            "{} records in, {} messages, {} final rows, {} dead letters",
            counts.get("Parse", ELEMENTS_IN),
            counts.get("PerVisit", ELEMENTS_IN),
            counts.get("WriteFinal", ELEMENTS_IN),
            counts.get("DeadLetters", ELEMENTS_OUT),
        );
        if self.bar.is_hidden() {
            let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
            if printed.elapsed() >= LINE_EVERY {
                *printed = Instant::now();
                self.say(&message);
            }
        } else {
            self.bar.set_message(message);
            self.bar.tick();
        }
    }

    /// Says something, above the line.
    pub fn say(&self, text: &str) {
        // Whether anybody can be told or not, work goes on.
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    /// Shows that the run is over and its results are being looked at, which takes a while if there are many.
    pub fn conclude(&self) {
        self.bar.set_message("reading the results back");
        self.bar.tick();
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
