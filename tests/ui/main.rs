//! Programs that must not compile, and what the compiler says about them.
//!
//! A case is a file of `cases`; each line `//~ text` in it says what must stand in the compiler's
//! message. Only our own words and the names of types are asked for, never the compiler's layout,
//! so that another version of it changes nothing. `compiles.rs` is the control: it shows that the
//! others fail for what they say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Returns the compiled libraries that this test itself was linked with could be among, newest
/// first.
fn libraries() -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("a test knows its program");
    let folder = program.parent().expect("it is in a folder");
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)
        .expect("the folder can be listed")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let is_ours = name.starts_with("libpipeline_core-") && name.ends_with(".rlib");
            let written = path.metadata().ok()?.modified().ok()?;
            is_ours.then_some((written, path))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Compiles a case against a library; returns the compiler's message if it refuses it.
fn compile(case: &Path, library: &Path) -> Result<(), String> {
    let folder = library.parent().expect("it is in a folder");
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .arg("--out-dir")
        .arg(scratch.path())
        .arg("--extern")
        .arg(format!("pipeline_core={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", folder.display()))
        .arg(case)
        .output()
        .expect("the compiler can be started");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the library that the control compiles against.
fn library(cases: &Path) -> PathBuf {
    let control = cases.join("compiles.rs");
    let mut refusals = Vec::new();
    for library in libraries() {
        match compile(&control, &library) {
            Ok(()) => return library,
            Err(refusal) => refusals.push(refusal),
        }
    }
    panic!("the control does not compile:\n{}", refusals.join("\n"));
}

#[test]
fn programs_that_must_not_compile() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/cases");
    let library = library(&cases);
    let mut refused = 0;
    for entry in std::fs::read_dir(&cases).expect("the folder can be listed") {
        let case = entry.expect("the entry can be read").path();
        let text = std::fs::read_to_string(&case).expect("the case can be read");
        let expected: Vec<_> = text
            .lines()
            .filter_map(|l| l.trim().strip_prefix("//~ "))
            .collect();
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        if name == "compiles.rs" {
            assert!(expected.is_empty(), "the control expects nothing");
            continue;
        }
        assert!(!expected.is_empty(), "{name} does not say what is expected");
        let Err(message) = compile(&case, &library) else {
            panic!("{name} compiles");
        };
        for part in expected {
            assert!(message.contains(part), "{name}: no `{part}` in\n{message}");
        }
        refused += 1;
    }
    assert!(refused >= 5, "only {refused} cases");
}
