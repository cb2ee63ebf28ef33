//! What the tests of text files share: folders, gzip by another road, and what a pipeline read.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::{read::MultiGzDecoder, write::GzEncoder};
use pipeline_core::prelude::*;

/// Runs with one worker, with several, and in the two modes that tell types and bundles.
pub fn runners() -> [(&'static str, DirectRunner); 4] {
    [
        ("one worker", DirectRunner::new().workers(1)),
        ("three workers", DirectRunner::new().workers(3)),
        (
            "every edge encoded",
            DirectRunner::new().workers(2).encode_edges(true),
        ),
        (
            "bundles of one",
            DirectRunner::new().workers(2).max_bundle(1),
        ),
    ]
}

/// Returns the names in a folder, sorted, hidden ones too.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Packs `text` as several members.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let members = text.chunks(text.len() / 2 + 1);
    let members = members.map(|part| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    });
    members.collect::<Vec<_>>().concat()
}

/// Returns the text of a file, unpacked if its name ends with `.gz`.
pub fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut text = String::new();
        MultiGzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
        return text;
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the lines of all files in a folder, sorted.
pub fn all_lines(folder: &Path) -> Vec<String> {
    let files = names(folder).into_iter().map(|name| folder.join(name));
    let mut lines: Vec<String> = files
        .flat_map(|file| text(&file).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

/// Keeps what a collection held.
pub fn keep<T: Element>(collection: &PCollection<T>, name: &str) -> Arc<Mutex<Vec<T>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    collection.check(name, move |all| *keep.lock().unwrap() = all);
    kept
}

/// What `read_lines` gave: lines and dead letters, sorted, and the counts.
pub struct Lines {
    pub ok: Vec<Bytes>,
    pub dead_letters: Vec<BadRecord>,
    pub result: RunResult,
}

pub fn read_lines(source: &Text, runner: &DirectRunner) -> Result<Lines, Error> {
    let mut kept = None;
    let pipeline = Pipeline::build(|p| {
        let lines = p.read_lines("Lines", source.clone());
        kept = Some((
            keep(&lines.ok, "Ok"),
            keep(&lines.dead_letters, "DeadLetters"),
        ));
    })?;
    let result = runner.run(&pipeline)?;
    let (ok, dead_letters) = kept.unwrap();
    let mut ok = std::mem::take(&mut *ok.lock().unwrap());
    ok.sort();
    let mut dead_letters = std::mem::take(&mut *dead_letters.lock().unwrap());
    dead_letters.sort_by(|a, b| (&a.errors, &a.original).cmp(&(&b.errors, &b.original)));
    Ok(Lines {
        ok,
        dead_letters,
        result,
    })
}

/// Names the files of a folder that end like this.
pub fn pattern(folder: &Path, end: &str) -> String {
    PathBuf::from(folder).join(end).display().to_string()
}
