//! Reads lines on a thread of its own, so that a read that blocks blocks nobody else.

use std::{
    io::{self, Read},
    thread,
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Line, LineReader};

/// How many batches wait at most; with the one that is being read they bound the memory.
const QUEUED_BATCHES: usize = 2;

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
        let (sender, receiver) = channel(QUEUED_BATCHES);
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

    /// Appends the next batch to `out`, when there is one, and returns the number of its lines; 0 is the end.
    ///
    /// A future that is dropped has taken nothing.
    ///
    /// # Errors
    /// What the reader said; after it comes the end.
    pub async fn next_batch(&mut self, out: &mut Vec<Line>) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let result = self.receiver.recv().await.unwrap_or_else(|| {
            Err(io::Error::other(
                "the thread that reads lines stopped before the end of its input",
            ))
        });
        let mut batch = result.inspect_err(|_| self.ended = true)?;
        self.stripped_crs = batch.stripped_crs;
        self.skipped_bom = batch.skipped_bom;
        let lines = batch.lines.len();
        self.ended = lines == 0;
        out.append(&mut batch.lines);
        Ok(lines)
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
    sender: &Sender<io::Result<Batch>>,
) {
    loop {
        let mut lines = Vec::new();
        let result = reader.next_batch(max_lines, &mut lines).map(|_| Batch {
            lines,
            stripped_crs: reader.stripped_crs(),
            skipped_bom: reader.skipped_bom(),
        });
        let last = !matches!(&result, Ok(batch) if !batch.lines.is_empty());
        if sender.blocking_send(result).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::future::Future;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };
    use std::time::Duration;

    use super::*;
    use crate::files::LineOptions;

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

    fn block_on<R>(future: impl Future<Output = R>) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let limited = async { tokio::time::timeout(Duration::from_secs(20), future).await };
        runtime.block_on(limited).unwrap()
    }

    /// Asks for a batch, and gives up soon.
    fn gives_up(lines: &mut BackgroundLines, out: &mut Vec<Line>) -> bool {
        let short = Duration::from_millis(20);
        block_on(async { tokio::time::timeout(short, lines.next_batch(out)).await }).is_err()
    }

    #[test]
    fn a_reader_that_blocks_does_not_block_the_caller() {
        let (sender, mut lines, _) = pipe();
        let mut out = Vec::new();
        assert!(gives_up(&mut lines, &mut out));
        sender.send(Ok("\u{feff}one\r\ntwo\nthr")).unwrap();
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 2);
        assert!(gives_up(&mut lines, &mut out));
        sender.send(Ok("ee")).unwrap();
        drop(sender);
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 1);
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 0);
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 0);
        let texts: Vec<&[u8]> = out.iter().map(|l| &l.bytes[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"two", b"three"]);
        assert_eq!((lines.stripped_crs(), lines.skipped_bom()), (1, true));
    }

    #[test]
    fn errors_come_through_and_a_panic_is_no_end() {
        let (sender, mut lines, _) = pipe();
        sender.send(Err(io::Error::other("unplugged"))).unwrap();
        let mut out = Vec::new();
        let error = block_on(lines.next_batch(&mut out)).unwrap_err();
        assert_eq!(error.to_string(), "unplugged");
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 0);

        let (sender, mut lines, _) = pipe();
        sender.send(Ok("panic")).unwrap();
        let error = block_on(lines.next_batch(&mut out)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("stopped before the end"), "{error}");
    }

    #[test]
    fn a_slow_consumer_holds_the_reader_back() {
        let (sender, mut lines, reads) = pipe();
        for _ in 0..50 {
            sender.send(Ok("line\n")).unwrap();
        }
        let mut out = Vec::new();
        assert_eq!(block_on(lines.next_batch(&mut out)).unwrap(), 1);
        thread::sleep(Duration::from_millis(50));
        // One taken, two queued, one that waits for room.
        assert!(reads.load(Ordering::SeqCst) <= 4);
        drop(sender);
        while block_on(lines.next_batch(&mut out)).unwrap() > 0 {}
        assert_eq!(out.len(), 50);
    }
}
