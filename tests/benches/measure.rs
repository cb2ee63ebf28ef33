//! One measurement: a row in a process of its own.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// What is given to a row.
pub struct Task<'a> {
    /// Where [`crate::word_count::prepare`] and others have put the input.
    pub folder: &'a Path,
    /// The input is this many times smaller than it should be.
    pub divisor: u64,
}

/// What is measured: a name and a function that gives the digest of its result.
pub struct Row {
    pub name: &'static str,
    pub run: fn(&Task<'_>) -> Result<Measured, Box<dyn Error>>,
}

/// What a row found, and what it cost up to there; the digest is made afterwards.
pub struct Measured {
    pub cost: Cost,
    pub elements: u64,
    pub digest: u64,
}

/// What a piece of work cost this process.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub cpu: Duration,
    pub wall: Duration,
}

/// Runs `work`, and tells what it cost.
pub fn timed<R, E: Into<Box<dyn Error>>>(
    work: impl FnOnce() -> Result<R, E>,
) -> Result<(R, Cost), Box<dyn Error>> {
    let (cpu, wall) = (cpu()?, Instant::now());
    let result = work().map_err(Into::into)?;
    let cost = Cost {
        wall: wall.elapsed(),
        cpu: self::cpu()? - cpu,
    };
    Ok((result, cost))
}

/// Returns the time that all threads of this process have had, in user code and in the system.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

/// The most memory that this process has held, in KiB. (The figure of `getrusage` includes what
/// the parent held when it made the process.)
pub fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or("/proc/self/status has no VmHWM")?.parse()?)
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub cpu_micros: u64,
    pub wall_micros: u64,
    pub peak_kib: u64,
    pub elements: u64,
    pub digest: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample {
            cpu_micros,
            wall_micros,
            peak_kib,
            elements,
            digest,
        } = self;
        write!(
            f,
            "{cpu_micros} {wall_micros} {peak_kib} {elements} {digest}"
        )
    }
}

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().ok_or("a measurement has too few numbers");
        Ok(Sample {
            cpu_micros: next()??,
            wall_micros: next()??,
            peak_kib: next()??,
            elements: next()??,
            digest: next()??,
        })
    }
}

/// Measures a row in this process.
pub fn here(row: &Row, folder: &Path, divisor: u64) -> Result<Sample, Box<dyn Error>> {
    let measured = (row.run)(&Task { folder, divisor })?;
    Ok(Sample {
        cpu_micros: measured.cost.cpu.as_micros() as u64,
        wall_micros: measured.cost.wall.as_micros() as u64,
        peak_kib: peak_kib()?,
        elements: measured.elements,
        digest: measured.digest,
    })
}

/// Measures a row in a process of its own.
pub fn in_child(row: &Row, folder: &Path, small: bool) -> Result<Sample, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--row", row.name, "--input"]).arg(folder);
    if small {
        command.arg("--small");
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}: {said}", row.name, output.status).into());
    }
    String::from_utf8(output.stdout)?.parse()
}

/// Returns the folder under `target` that keeps the input from one run to the next.
pub fn input_folder(small: bool) -> Result<PathBuf, Box<dyn Error>> {
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().find(|p| p.ends_with("target"));
    let target = target.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let folder = target.join(if small {
        "bench-input-small"
    } else {
        "bench-input"
    });
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
