//! The folder of snapshots: whether a run goes on from there, with these flags, and who has it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use pipeline_core::runners::direct::{Resumed, Snapshots};

use super::file_source::Behind;
use super::options::Options;
use super::places::{may_wait, real};
use super::position::Saved;
use super::program::Message;

/// The name under which snapshots hold the position of the input.
pub const INPUT: &str = "input";

/// The flags that must be the same when a run goes on, with their values.
pub fn flags(options: &Options) -> Vec<(String, String)> {
    let path = |path: &Path| real(path).display().to_string();
    let reads_file = options.google.input_subscription.is_none() && options.generated().is_none();
    let input = if reads_file && Path::new(&options.input).is_file() {
        path(Path::new(&options.input))
    } else {
        options.input_name()
    };
    let dataset = options.google.bq_dataset.clone().unwrap_or_default();
    [
        ("--input", input),
        ("--streaming", options.streaming.to_string()),
        ("--warehouse", path(&options.warehouse)),
        ("--bq_dataset", dataset),
        ("--dead_letter_output", path(&options.dead_letter_output())),
    ]
    .map(|(flag, value)| (flag.to_owned(), value))
    .into()
}

/// Returns where a run goes on, and whether it is only to be drained.
///
/// # Errors
/// The snapshot is not of a run with these flags, or its input cannot be read again.
pub fn unfinished(resumed: &Resumed, options: &Options) -> Result<(Behind, bool), Message> {
    let epoch = resumed.epoch;
    let folder = options.state_dir();
    let folder = folder.display();
    let saved = resumed.beside(INPUT).unwrap_or_default();
    let saved: Saved = serde_json::from_slice(saved).map_err(|error| {
        format!("snapshot {epoch} in {folder} is not one of this program: {error}")
    })?;
    let now = flags(options);
    for (flag, before) in &saved.flags {
        // A run that is drained reads nothing any more.
        if options.drain && flag == "--input" {
            continue;
        }
        match now.iter().find(|(known, _)| known == flag) {
            Some((_, now)) if now == before => {}
            now => {
                let now = now.map_or("not there", |(_, now)| now);
                return Err(format!(
                    "the run whose snapshot {epoch} is in {folder} has not ended, and is another: its {flag} is \
                     {before}, and now it is {now}. Start that one again to go on with it, end it by --drain with \
                     what it has taken in, or give another --state_dir"
                ));
            }
        }
    }
    let drains = options.drain || saved.draining;
    if may_wait(options) && !saved.position.ended && !drains {
        return Err(format!(
            "the run whose snapshot {epoch} is in {folder} has not ended, and {} cannot be read again. End it by \
             --drain with what it has taken in, or give another --state_dir to begin anew",
            options.input_name()
        ));
    }
    let behind = Behind {
        position: saved.position,
        epoch,
        input: options.input_name(),
    };
    Ok((behind, drains))
}

/// Makes sure, where the folder of snapshots is there and the warehouse is not, that it is not that of a run with other
/// flags.
///
/// # Errors
/// It is, or cannot be used.
pub fn check_elsewhere(options: &Options) -> Result<(), Message> {
    let folder = options.state_dir();
    if !folder.exists() {
        return Ok(());
    }
    let snapshots = Snapshots::open(&folder).map_err(|error| format!("--state_dir: {error}"))?;
    match snapshots.resumed() {
        Some(resumed) => unfinished(&resumed, options).map(|_| ()),
        None => Ok(()),
    }
}

/// Makes sure that a run without snapshots does not pass over one that has them and has not ended.
///
/// # Errors
/// There is such a run.
pub fn none_unfinished(options: &Options) -> Result<(), Message> {
    let folder = options.state_dir();
    if !folder.exists() {
        return Ok(());
    }
    let snapshots = Snapshots::open(&folder).map_err(|error| error.to_string())?;
    match snapshots.resumed() {
        None => Ok(()),
        Some(resumed) => Err(format!(
            "the run whose snapshot {} is in {} has not ended: start it again without --streaming false to go on with \
             it, or end it by --drain with what it has taken in",
            resumed.epoch,
            folder.display()
        )),
    }
}

/// How often somebody who waits for a job looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long is waited before that is said.
const SAY_AFTER: Duration = Duration::from_millis(500);

/// How often the snapshots of a job that has ended are tried to be opened.
const LOOKS: u32 = 20;

/// Has the running job drain, by SIGUSR1, and waits until it has ended, or for as long as the flags say. Returns what to say then, or nothing if no job
/// runs.
///
/// # Errors
/// The job cannot be told, does not end in time, or ends otherwise.
pub fn drain_running(options: &Options) -> Result<Option<Message>, Message> {
    let folder = options.state_dir();
    let shown = folder.display();
    let failed = |error: io::Error| format!("--drain: looking for the job in {shown}: {error}");
    let lock = folder.join("lock");
    let holder = || holder(&lock).map_err(failed);
    let Some(mut pid) = holder()? else {
        return Ok(None);
    };
    // A job that has just begun may not have written its number yet, and the one there be that of the job before.
    loop {
        std::thread::sleep(LOOK_EVERY);
        match holder()? {
            None => return Ok(None),
            Some(again) if again == pid && !pid.is_empty() => break,
            Some(again) => pid = again,
        }
    }
    ask_to_drain(&pid).map_err(|error| format!("--drain: telling the job (pid {pid}): {error}"))?;
    let (told, patience) = (Instant::now(), options.drain_timeout);
    let mut waits = false;
    while holder()?.as_ref() == Some(&pid) {
        if told.elapsed() > patience {
            return Err(format!(
                "--drain: the job (pid {pid}) was told, and has not ended within {}. It has not failed by that: it ends \
                 when what it took in is through its sinks. See whether it is held up (a process that was stopped, \
                 a warehouse that somebody else writes), and start --drain again to wait on, with --drain_timeout \
                 to wait longer",
                humantime::format_duration(patience)
            ));
        }
        if !waits && told.elapsed() > SAY_AFTER {
            waits = true;
            eprintln!(
                "waiting for the job (pid {pid}) to end, {} at most",
                humantime::format_duration(patience)
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
    // Somebody else may wait for the same, and look at this moment.
    let mut snapshots = Snapshots::open(&folder);
    for _ in 0..LOOKS {
        if snapshots.is_ok() {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        snapshots = Snapshots::open(&folder);
    }
    let snapshots = snapshots
        .map_err(|error| format!("the job (pid {pid}) has ended; how cannot be seen: {error}"))?;
    match snapshots.resumed() {
        None => Ok(Some(format!(
            "drained: the job (pid {pid}) has ended, and everything that it had taken in is in its tables\n"
        ))),
        Some(resumed) => Err(format!(
            "--drain: the job (pid {pid}) has ended without being drained; its snapshot {} is in {shown}. Start it \
             again with --drain to end it",
            resumed.epoch
        )),
    }
}

/// Returns the number of the process that has the lock, as its file says it.
fn holder(lock: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(lock) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock_shared() {
        // Given back at once, as the file is closed.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            Ok(Some(pid.trim().to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn ask_to_drain(pid: &str) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};

    let pid = pid.parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the lock names no process"))?;
    Ok(kill_process(pid, Signal::USR1)?)
}

/// Elsewhere there are no such signals.
#[cfg(not(unix))]
fn ask_to_drain(_pid: &str) -> io::Result<()> {
    let reason =
        "this system has no signal for it; stop it by Ctrl-C, and start it again with --drain";
    Err(io::Error::new(ErrorKind::Unsupported, reason))
}
