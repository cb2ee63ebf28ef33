//! How much memory a run may take: the share of each node that keeps data per key under a limit, and
//! a guard that ends the job, with its reason, before the system would kill it without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::run::Run;
use super::runner::DirectRunner;
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind};
use crate::state::fold_table::FLUSH_BYTES;
use crate::state::spill::{IS_THERE, Memory};

/// What a run needs besides what is kept per key: code, batches on their way, the store's blocks.
const BESIDE: u64 = 128 << 20;

/// What keeps data per key for as long as windows and timers say.
const KEEPERS: [Kind; 4] = [
    Kind::GroupByKey,
    Kind::CoGroupByKey,
    Kind::CombineMerge,
    Kind::StatefulParDo,
];

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(200);

/// How often it looks when the process has more than [`NEAR`]: within 200 ms a job can take tens of MiB.
const LOOK_CLOSELY: Duration = Duration::from_millis(20);

/// The part of the memory, in percent, from which on the guard looks closely.
const NEAR: u64 = 75;

/// What the machine has left, in percent, is too little, if this process has more than half of all: others take the
/// rest, and it is the largest that is killed.
const LEAST_LEFT: u64 = 3;

/// The part of the memory, in percent, that the process may take before the job is ended.
const MOST: u64 = 92;

/// Returns the memory of a run.
pub(super) fn memory(runner: &DirectRunner, graph: &Graph, workers: usize) -> Result<Memory> {
    let share = match runner.memory_limit {
        Some(_) if !IS_THERE => {
            return Err(Error::option(
                "memory_limit needs the feature 'spill' of pipeline-core, which is off",
            ));
        }
        Some(limit) => Some(share(limit, graph, workers)),
        None => None,
    };
    let folder = runner.spill_folder.clone();
    let folder = folder.unwrap_or_else(temporary);
    Ok(Memory::new(graph.nodes.len(), share, folder))
}

/// Returns the bytes that a node which keeps data per key may hold on one worker. What is combined
/// in front of an exchange takes no more than [`FLUSH_BYTES`] of them.
fn share(limit: u64, graph: &Graph, workers: usize) -> u64 {
    let together = limit.saturating_sub(BESIDE).max(limit / 4) / workers.max(1) as u64;
    let of_kind = |kind| graph.nodes.iter().filter(|node| node.kind == kind).count() as u64;
    let lifts = of_kind(Kind::CombineLift);
    let keepers: u64 = KEEPERS.into_iter().map(of_kind).sum();
    let of_lifts = lifts * FLUSH_BYTES as u64;
    if together >= of_lifts + keepers * FLUSH_BYTES as u64 {
        (together - of_lifts) / keepers.max(1)
    } else {
        together / (keepers + lifts).max(1)
    }
}

/// Names a folder that no other run has.
fn temporary() -> PathBuf {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("pipeline-spill-{}-{run}", std::process::id()))
}

/// Looks after the memory of the process until it is dropped.
pub(super) struct Guard(Option<(Sender<()>, JoinHandle<()>)>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((until_dropped, thread)) = self.0.take() {
            drop(until_dropped);
            // It must not be the last to hold what the run holds.
            let _ = thread.join();
        }
    }
}

impl Guard {
    /// Begins to look after a run, if the system says what there is.
    pub(super) fn start(run: &Arc<Run>) -> Result<Guard> {
        let most = run.runner.machine_memory.or_else(machine_memory);
        let Some(most) = most.filter(|_| resident().is_some()) else {
            return Ok(Guard(None));
        };
        let (until_dropped, dropped) = channel();
        let run = Arc::downgrade(run);
        let thread = std::thread::Builder::new().name("pipeline-memory".to_owned());
        let spawned = thread.spawn(move || {
            let mut pause = LOOK;
            while dropped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let (Some(run), Some(resident)) = (run.upgrade(), resident()) else {
                    return;
                };
                if resident > most / 100 * MOST || resident > most / 2 && is_full() {
                    run.give_up(too_much(&run, resident, most));
                    return;
                }
                pause = match resident > most / 100 * NEAR {
                    true => LOOK_CLOSELY,
                    false => LOOK,
                };
            }
        });
        let thread = spawned.map_err(|error| Error::io("starting a thread", error))?;
        Ok(Guard(Some((until_dropped, thread))))
    }
}

fn too_much(run: &Run, resident: u64, most: u64) -> Error {
    let mib = |bytes: u64| bytes >> 20;
    let held = run.memory.held().zip(&run.graph.nodes);
    let largest = held.max_by_key(|(held, _)| *held);
    let holder = match largest {
        Some((held, node)) if held > 0 => format!(
            "of the groupings and stateful functions '{}' holds most, about {} MiB",
            node.path,
            mib(held)
        ),
        _ => "no grouping or stateful function holds much of it".to_owned(),
    };
    let remedy = match run.runner.memory_limit {
        None => "give DirectRunner::memory_limit (feature `spill`)",
        Some(_) => "give a lower DirectRunner::memory_limit",
    };
    Error::option(format!(
        "out of memory: the process holds {} MiB of the {} MiB that there are, and would soon be \
         killed; {holder}. To have groups and state that do not fit kept on disk, {remedy}; what one \
         key has in one window must fit in any case: if it does not, use more memory, shorter \
         windows, or a combine instead of a group_by_key or a bag",
        mib(resident),
        mib(most),
    ))
}

/// Returns the bytes of memory that this process has.
fn resident() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Tells whether the machine has next to no memory left, whoever has it.
fn is_full() -> bool {
    let Ok(text) = fs::read_to_string("/proc/meminfo") else {
        return false;
    };
    let (total, available) = (kib(&text, "MemTotal:"), kib(&text, "MemAvailable:"));
    let left = total.zip(available);
    left.is_some_and(|(total, available)| available < total / 100 * LEAST_LEFT)
}

/// Returns the bytes of memory that this process can have: the machine's, or less where its control
/// group (or one around it) has less.
fn machine_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kib(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups
        .lines()
        .flat_map(|line| group_limits(line, Path::new("/sys/fs/cgroup")));
    limits.chain(machine).min()
}

/// Returns the limits that a line of /proc/self/cgroup leads to, of version 2 or 1.
fn group_limits(line: &str, root: &Path) -> Vec<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
    let (root, name) = match controllers {
        Some("") => (root.to_owned(), "memory.max"),
        Some(some) if some.split(',').any(|c| c == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = path.unwrap_or_default().trim_start_matches('/');
    // In a container the path may be that outside of it: the root is there in any case.
    let folders = Path::new(path).ancestors().map(|folder| root.join(folder));
    let texts = folders.filter_map(|folder| fs::read_to_string(folder.join(name)).ok());
    // "max" says that there is no limit.
    texts.filter_map(|text| text.trim().parse().ok()).collect()
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;
    use crate::pipeline::Pipeline;

    #[test]
    fn shares_are_the_limit_together() {
        let pipeline = Pipeline::build(|p| {
            let sums = p.create("In", vec![(1_u8, 2_u64)]).sum_per_key("Sum");
            sums.group_by_key("Group").check("Any", |_| ());
        });
        let pipeline = pipeline.unwrap();
        let share = |limit| share(limit, pipeline.graph(), 2);
        // One is combined in front of an exchange; a merge and a grouping keep data.
        assert_eq!(share(1 << 30), (((1024 - 128) / 2 - 32) / 2) << 20);
        assert_eq!(share(64 << 20), (64 << 20) / 4 / 2 / 3);
        assert_eq!(share(1), 0);
    }

    #[test]
    fn the_least_limit_of_the_control_groups_around_the_process_counts() {
        let scratch = Scratch::new("cgroup");
        let write = |path: &str, text: &str| {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "4096\n");
        write("memory/c/memory.limit_in_bytes", "512\n");
        let limits = |line| group_limits(line, scratch.path());
        assert_eq!(limits("0::/a/b"), [4096]);
        assert_eq!(limits("7:cpu,memory:/c"), [512]);
        assert_eq!(limits("7:cpu:/c"), [0; 0]);
        assert_eq!(kib("VmPeak: 3 kB\nVmRSS:\t  2 kB\n", "VmRSS:"), Some(2048));
        assert!(resident() < machine_memory());
    }
}
