//! Holds the shipped crates to the laws of their house: who may import whom, how long a file may
//! be, and what may not stand outside tests.
//!
//! The text of the sources is read as it is: a law that needed a compiler would be looked at less.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns all Rust files below a folder of the workspace, with their paths from its root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be listed") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("it is inside");
                let name = name.to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).expect("the file can be read");
                found.push((name, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// Returns the lines of code that are neither comments nor in a test module, with their numbers.
///
/// A test module is what follows `#[cfg(test)]` and a `mod` with a body, to the end of the file.
fn shipped(text: &str) -> Vec<(usize, &str)> {
    let mut code = Vec::new();
    let mut tests_follow = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if tests_follow && trimmed.starts_with("mod ") && trimmed.ends_with('{') {
            break;
        }
        let is_attribute = trimmed.starts_with("#[");
        tests_follow = trimmed == "#[cfg(test)]" || (tests_follow && is_attribute);
        if !trimmed.starts_with("//") {
            code.push((index + 1, line));
        }
    }
    code
}

fn is_test(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// Returns where one of `words` stands in the shipped code of the files that `of` selects.
fn offences(folder: &str, of: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    let mut looked_at = 0;
    for (name, text) in sources(folder) {
        if is_test(&name) || !of(&name) {
            continue;
        }
        looked_at += 1;
        for (number, line) in shipped(&text) {
            for word in words {
                if line.contains(word) {
                    offences.push(format!("{name}:{number} has `{word}`: {}", line.trim()));
                }
            }
        }
    }
    assert!(looked_at > 0, "the law is about files that are not there");
    offences
}

/// Asserts that the modules of the core do not name others of it.
fn assert_never_imports(modules: &[&str], others: &[&str]) {
    let folders: Vec<String> = modules
        .iter()
        .map(|m| format!("pipeline-core/src/{m}"))
        .collect();
    let is_in = |name: &str| {
        folders.iter().any(|f| {
            let rest = name.strip_prefix(f.as_str());
            rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        })
    };
    let words: Vec<String> = others.iter().map(|o| format!("crate::{o}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let offences = offences("pipeline-core/src", is_in, &words);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn sources_transforms_and_sinks_know_no_engine() {
    assert_never_imports(&["source", "transforms", "sink"], &["exec", "runners"]);
}

#[test]
fn the_graph_is_data() {
    assert_never_imports(
        &["graph"],
        &["exec", "runners", "transforms", "source", "sink"],
    );
}

#[test]
fn the_executor_knows_no_runner() {
    assert_never_imports(&["exec"], &["runners", "transforms", "source", "sink"]);
}

#[test]
fn windows_coders_and_state_know_no_engine() {
    assert_never_imports(
        &["window", "coder", "state"],
        &["exec", "runners", "transforms"],
    );
}

#[test]
fn the_core_knows_no_cloud() {
    let words = ["pipeline_gcp", "googleapis", "pubsub", "bigquery"];
    let offences = offences("pipeline-core/src", |_| true, &words);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    let manifest =
        fs::read_to_string(root().join("pipeline-core/Cargo.toml")).expect("it is there");
    assert!(!manifest.contains("pipeline-gcp"));
}

#[test]
fn only_the_portable_runner_names_protos() {
    let elsewhere = |name: &str| !name.contains("/runners/portable/");
    let words = ["prost::", "tonic::", "beam_proto", "proto::"];
    let offences = offences("pipeline-core/src", elsewhere, &words);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// The machine's clock and environment are read in two places of the core: the clock that is an
/// argument, and what stands below `runners/`.
#[test]
fn nothing_ambient() {
    let inside = |name: &str| !name.contains("/runners/") && !name.ends_with("/clock.rs");
    let words = ["SystemTime::now", "Instant::now", "env::var", "thread_rng"];
    let offences = offences("pipeline-core/src", inside, &words);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn no_file_has_more_than_500_lines() {
    for folder in ["pipeline-core", "pipeline-gcp", "examples", "tests"] {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{name} has {lines} lines: it is two concepts");
        }
    }
}

#[test]
fn nothing_shipped_gives_up() {
    let words = [
        ".unwrap()",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
    ];
    for folder in ["pipeline-core/src", "pipeline-gcp/src"] {
        let offences = offences(folder, |_| true, &words);
        assert!(offences.is_empty(), "{}", offences.join("\n"));
    }
}

/// The reader of sources is not blind: it finds what is there, and only outside tests.
#[test]
fn the_reader_sees() {
    let text = "use crate::exec::A;\n// crate::exec in a comment\n#[cfg(test)]\nmod tests {\n    use crate::exec::B;\n}\n";
    let seen: Vec<_> = shipped(text).into_iter().map(|(n, _)| n).collect();
    assert_eq!(seen, [1, 3]);
    let found = offences(
        "pipeline-core/src",
        |n| n.contains("/runners/"),
        &["crate::exec"],
    );
    assert!(!found.is_empty(), "the runners import the executor");
}
