//! Where the input is and where results go, tried before any work.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_core::files::{AtomicFile, Compression, Decompressed};

use super::file_source::OpenInput;
use super::generated::Generated;
use super::options::Options;
use super::program::Message;

/// How the names of the files end that the warehouse has or may make; SQLite keeps its logs beside its file.
const WAREHOUSE_FILES: [&str; 5] = [
    "sqlite",
    "sqlite-wal",
    "sqlite-shm",
    "sqlite-journal",
    "lock",
];

/// Returns what opens the input, having tried it.
///
/// # Errors
/// There is no such file, or it cannot be opened.
pub fn open_input(options: &Options) -> Result<OpenInput, Message> {
    if let Some((seed, conversations)) = options.generated() {
        return Ok(Arc::new(move || {
            Ok(Box::new(Generated::new(seed, conversations)) as Box<dyn Read + Send>)
        }));
    }
    let path = options.input.clone();
    if path == "-" {
        return Ok(Arc::new(|| Ok(decompressed(std::io::stdin(), "-"))));
    }
    let refused =
        |error| format!("--input {path}: {error}; name an NDJSON file, or - for standard input");
    let found = std::fs::metadata(&path).map_err(refused)?;
    if found.is_dir() {
        return Err(format!("--input {path}: is a folder; name an NDJSON file"));
    }
    // A pipe is opened once, to be read: closed again, it would end its writer, and what was written be lost.
    if found.is_file() {
        File::open(&path).map_err(refused)?;
    }
    Ok(Arc::new(move || {
        Ok(decompressed(File::open(&path)?, &path))
    }))
}

/// Reads gzip as what is in it, and anything else as it is.
fn decompressed(input: impl Read + Send + 'static, name: &str) -> Box<dyn Read + Send> {
    Box::new(Decompressed::new(input, Path::new(name), Compression::Auto))
}

/// Tells whether the input may keep its reader waiting: standard input does, and a pipe of another name.
pub fn may_wait(options: &Options) -> bool {
    let publishes = options.google.input_subscription.is_none();
    publishes && options.generated().is_none() && !Path::new(&options.input).is_file()
}

/// Finds out whether the result files could be written, so that nobody hears of it after hours of work.
///
/// # Errors
/// A folder is missing or may not be written, or two files are one.
pub fn try_outputs(options: &Options) -> Result<(), Message> {
    let (output, letters) = (options.output(), options.dead_letter_output());
    let own = |name: &&str| real(&options.warehouse.join(format!("warehouse.{name}")));
    let own = WAREHOUSE_FILES.iter().map(own);
    let mut taken: Vec<_> = own.map(|own| ("the warehouse's own file", own)).collect();
    if options.generated().is_none() && options.input != "-" {
        taken.push(("--input", real(Path::new(&options.input))));
    }
    for (flag, path) in [("--output", output), ("--dead_letter_output", letters)] {
        let shown = path.display();
        let place = real(&path);
        if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == place) {
            return Err(format!(
                "{flag} {shown}: is also {other}; name another file"
            ));
        }
        taken.push((flag, place));
        // The warehouse makes its folder itself.
        if path.parent() == Some(&options.warehouse) && !options.warehouse.exists() {
            continue;
        }
        let mut tried = AtomicFile::create(&path, Compression::Auto).map(drop);
        if flag == "--output" {
            // Beside dead letters may be what the last snapshot goes on with: their sink knows.
            tried = tried.and_then(|()| AtomicFile::remove_left_behind(&path).map(drop));
        }
        tried.map_err(|error| format!("{flag}: {error}"))?;
    }
    Ok(())
}

/// Writes a file that is there whole or not at all; in gzip, if its name ends with `.gz`, as the dead letters are.
///
/// # Errors
/// The disk is full, or fails.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), Message> {
    let write = || {
        let mut file = AtomicFile::create(path, Compression::Auto)?;
        file.write(content)?;
        file.commit()
    };
    write().map_err(|error| format!("--output: {error}"))
}

/// Names a file, there or not, in one way only.
pub fn real(path: &Path) -> PathBuf {
    let folder = || path.parent()?.canonicalize().ok();
    let within = || Some(folder()?.join(path.file_name()?));
    let found = path.canonicalize().ok().or_else(within);
    found
        .or_else(|| std::path::absolute(path).ok())
        .unwrap_or_else(|| path.to_owned())
}
