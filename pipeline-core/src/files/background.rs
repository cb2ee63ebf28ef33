//! Reads lines on a thread of its own, so that a read that blocks blocks nobody else.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use super::{Line, LineReader};

/// How many batches wait at most; with the one that is being read they bound the memory.
const QUEUED_BATCHES: usize = 2;

/// What came of asking for lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineBatch {
    /// Lines were appended.
    Lines,
    /// Nothing has come yet.
    Pending,
    /// There are no more lines.
    End,
}

/// Hands out lines that another thread reads: of standard input, of a pipe, of anything that may block.
///
/// At most two batches wait, so a slow consumer holds the reader back. When it is dropped the thread ends with its next
/// batch; a read that never returns keeps the thread, not the process.
pub struct BackgroundLines {
    receiver: Receiver<io::Result<Batch>>,
    ended: bool,
    stripped_crs: u64,
    skipped_bom: bool,
}

/// The lines of one read and the counts after them; no lines at the end.
struct Batch {
    lines: Vec<Line>,
    stripped_crs: u64,
    skipped_bom: bool,
}

impl BackgroundLines {
    /// Starts the thread, which reads batches of at most `max_lines` lines (one at least).
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn<R>(lines: LineReader<R>, max_lines: usize) -> io::Result<Self>
    where
        R: Read + Send + 'static,
    {
        let (sender, receiver) = sync_channel(QUEUED_BATCHES);
        let name = "read-lines".to_string();
        thread::Builder::new()
            .name(name)
            .spawn(move || send_all(lines, max_lines.max(1), &sender))?;
        Ok(BackgroundLines {
            receiver,
            ended: false,
            stripped_crs: 0,
            skipped_bom: false,
        })
    }

    /// Appends the next batch to `out`; waits for it no longer than `wait`, not at all if that is zero.
    ///
    /// # Errors
    /// What the reader said; after it comes the end.
    pub fn next_batch(&mut self, wait: Duration, out: &mut Vec<Line>) -> io::Result<LineBatch> {
        if self.ended {
            return Ok(LineBatch::End);
        }
        let result = match self.receiver.recv_timeout(wait) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => return Ok(LineBatch::Pending),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other(
                "the thread that reads lines stopped before the end of its input",
            )),
        };
        let mut batch = result.inspect_err(|_| self.ended = true)?;
        self.stripped_crs = batch.stripped_crs;
        self.skipped_bom = batch.skipped_bom;
        self.ended = batch.lines.is_empty();
        out.append(&mut batch.lines);
        Ok(if self.ended {
            LineBatch::End
        } else {
            LineBatch::Lines
        })
    }

    /// Returns how many `\r` were taken off the lines handed out so far.
    pub fn stripped_crs(&self) -> u64 {
        self.stripped_crs
    }

    /// Tells whether a byte order mark was skipped.
    pub fn skipped_bom(&self) -> bool {
        self.skipped_bom
    }
}

/// Reads to the end, or until nobody listens any more.
fn send_all<R: Read>(
    mut reader: LineReader<R>,
    max_lines: usize,
    sender: &SyncSender<io::Result<Batch>>,
) {
    loop {
        let mut lines = Vec::new();
        let result = reader.next_batch(max_lines, &mut lines).map(|_| Batch {
            lines,
            stripped_crs: reader.stripped_crs(),
            skipped_bom: reader.skipped_bom(),
        });
        let last = !matches!(&result, Ok(batch) if !batch.lines.is_empty());
        if sender.send(result).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;
    use crate::files::LineOptions;

    const LONG: Duration = Duration::from_secs(20);

    /// Gives what it is sent; blocks until then.
    struct Pipe(mpsc::Receiver<io::Result<&'static str>>, Arc<AtomicUsize>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(text) = self.0.recv() else {
                return Ok(0);
            };
            let text = text?;
            assert_ne!(text, "panic");
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(text.len())
        }
    }

    fn pipe() -> (
        mpsc::Sender<io::Result<&'static str>>,
        BackgroundLines,
        Arc<AtomicUsize>,
    ) {
        let (sender, receiver) = mpsc::channel();
        let reads = Arc::new(AtomicUsize::new(0));
        let reader = LineReader::new(Pipe(receiver, reads.clone()), LineOptions::default());
        (sender, BackgroundLines::spawn(reader, 10).unwrap(), reads)
    }

    #[test]
    fn a_reader_that_blocks_does_not_block_the_caller() {
        let (sender, mut lines, _) = pipe();
        let mut out = Vec::new();
        assert_eq!(
            lines.next_batch(Duration::ZERO, &mut out).unwrap(),
            LineBatch::Pending
        );
        sender.send(Ok("\u{feff}one\r\ntwo\nthr")).unwrap();
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::Lines);
        assert_eq!(
            lines.next_batch(Duration::ZERO, &mut out).unwrap(),
            LineBatch::Pending
        );
        sender.send(Ok("ee")).unwrap();
        drop(sender);
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::Lines);
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::End);
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::End);
        let texts: Vec<&[u8]> = out.iter().map(|l| &l.bytes[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"two", b"three"]);
        assert_eq!((lines.stripped_crs(), lines.skipped_bom()), (1, true));
    }

    #[test]
    fn errors_come_through_and_a_panic_is_no_end() {
        let (sender, mut lines, _) = pipe();
        sender.send(Err(io::Error::other("unplugged"))).unwrap();
        let mut out = Vec::new();
        assert_eq!(
            lines.next_batch(LONG, &mut out).unwrap_err().to_string(),
            "unplugged"
        );
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::End);

        let (sender, mut lines, _) = pipe();
        sender.send(Ok("panic")).unwrap();
        let error = lines.next_batch(LONG, &mut out).unwrap_err().to_string();
        assert!(error.contains("stopped before the end"), "{error}");
    }

    #[test]
    fn a_slow_consumer_holds_the_reader_back() {
        let (sender, mut lines, reads) = pipe();
        for _ in 0..50 {
            sender.send(Ok("line\n")).unwrap();
        }
        let mut out = Vec::new();
        assert_eq!(lines.next_batch(LONG, &mut out).unwrap(), LineBatch::Lines);
        thread::sleep(Duration::from_millis(50));
        // One taken, two queued, one that waits for room.
        assert!(reads.load(Ordering::SeqCst) <= 4);
        drop(sender);
        while lines.next_batch(LONG, &mut out).unwrap() != LineBatch::End {}
        assert_eq!(out.len(), 50);
    }
}
