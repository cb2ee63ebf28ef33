//! Stops the run when the program is told to: Ctrl-C, or SIGTERM as service managers send it.

use std::io;
use std::sync::{Arc, OnceLock};
#[cfg(unix)]
use std::task::Poll;

use pipeline_core::runners::direct::StopHandle;
use tokio::runtime::Runtime;

use super::progress::Progress;

/// What told the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C (SIGINT).
    CtrlC,
    /// SIGTERM: what `kill`, systemd and Kubernetes send.
    Terminate,
}

impl Signal {
    /// Returns the exit code that shells give to a program which the signal ended.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::CtrlC => 130,
            Signal::Terminate => 143,
        }
    }
}

/// The signal by which a run was stopped, once there is one.
#[derive(Clone, Debug, Default)]
pub struct StoppedBy(Arc<OnceLock<Signal>>);

impl StoppedBy {
    /// Returns the first signal that came.
    pub fn signal(&self) -> Option<Signal> {
        self.0.get().copied()
    }
}

/// Stops the run at the first signal, and the program at a Ctrl-C after that. A further SIGTERM
/// changes nothing: who sends one may send several, and says SIGKILL to insist.
///
/// # Errors
/// When the process cannot listen to signals.
pub fn stop_on_signal(
    runtime: &Runtime,
    stop: StopHandle,
    progress: Progress,
) -> io::Result<StoppedBy> {
    // From here on a signal no longer ends the process by itself.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let stopped_by = StoppedBy::default();
    let first = stopped_by.clone();
    runtime.spawn(async move {
        let signal = signals.next().await;
        // It is there before the run can end by it.
        let _ = first.0.set(signal);
        stop.stop();
        progress.say(match signal {
            Signal::CtrlC => "stopping; press Ctrl-C again to quit at once",
            Signal::Terminate => "stopping at SIGTERM; press Ctrl-C (SIGINT) to quit at once",
        });
        while signals.next().await != Signal::CtrlC {}
        std::process::exit(Signal::CtrlC.exit_code().into());
    });
    Ok(stopped_by)
}

/// The signals on their way.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| match self.interrupt.poll_recv(context) {
            Poll::Ready(_) => Poll::Ready(Signal::CtrlC),
            Poll::Pending => {
                let terminate = self.terminate.poll_recv(context);
                terminate.map(|_| Signal::Terminate)
            }
        })
        .await
    }
}

/// Elsewhere there is Ctrl-C only.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::CtrlC,
            Err(_) => std::future::pending().await,
        }
    }
}
