//! Failures in the middle leave nothing half-written.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{EXPECTED, Place, Running};

/// A file system of a given size, as long as the value lives.
pub struct Disk {
    pub folder: PathBuf,
    _in: Place,
}

impl Disk {
    /// `None` where this user may not mount one.
    pub fn of(size: &str) -> Option<Self> {
        let place = Place::new();
        let folder = place.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(&folder).output();
        mounted
            .is_ok_and(|mounted| mounted.status.success())
            .then(|| Disk { folder, _in: place })
    }

    /// Gives it another size.
    pub fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]);
        assert!(mount.arg(&self.folder).status().unwrap().success());
    }

    pub fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.folder).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, so that a run which is killed at this moment does not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// The program with its files where the test wants them.
fn run(warehouse: &Path, output: &Path, letters: &Path, flags: &[&str]) -> crate::child::Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_courier_chat"));
    command
        .arg("--warehouse")
        .arg(warehouse)
        .arg("--output")
        .arg(output);
    command.arg("--dead_letter_output").arg(letters).args(flags);
    Running::of(&mut command).end()
}

#[test]
fn a_full_disk_under_the_warehouse_ends_the_run() {
    let Some(disk) = Disk::of("256k") else {
        return limited_file();
    };
    let place = Place::new();
    let warehouse = disk.folder.join("warehouse");
    let (output, letters) = (place.output(), place.dead_letter_output());
    let state = place.path().join("state");
    let state = ["--state_dir", state.to_str().unwrap()];
    for flags in [&state, &["--streaming", "false"]] {
        let ended = run(&warehouse, &output, &letters, flags);
        let says = [
            "no room left on the disk",
            warehouse.to_str().unwrap(),
            "Start again",
        ];
        ended.assert_failed(1, &says);
        assert!(!output.exists() && !letters.exists());
    }
    // The first left a snapshot, and goes on from there.
    disk.resize("64m");
    let ended = run(&warehouse, &output, &letters, &state);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.resumed().is_some(), "{}", ended.stdout);
    assert_eq!(place.csv(), EXPECTED);
    ended.assert_agrees(400);
}

#[test]
fn a_full_disk_under_the_output_leaves_no_half_of_it() {
    let Some(disk) = Disk::of("16k") else {
        return limited_file();
    };
    let place = Place::new();
    let output = disk.folder.join("final.csv");
    let ended = run(
        &place.warehouse(),
        &output,
        &place.dead_letter_output(),
        &[],
    );
    ended.assert_failed(
        1,
        &["--output: ", output.to_str().unwrap(), "No space left"],
    );
    assert!(disk.names().is_empty(), "{:?}", disk.names());
    // Everything but the file is there, so a further run makes it.
    place.finish(&[]);
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn a_full_disk_under_the_dead_letters_leaves_no_half_of_them() {
    let Some(disk) = Disk::of("16k") else {
        return limited_file();
    };
    let place = Place::new();
    let input = place.file("in.json", "no event at all\n".repeat(5_000));
    let letters = disk.folder.join("dead.ndjson");
    for streaming in ["--streaming=true", "--streaming=false"] {
        let flags = ["--input", &input, streaming];
        let ended = run(&place.warehouse(), &place.output(), &letters, &flags);
        ended.assert_failed(
            1,
            &[
                "WriteDeadLetters",
                letters.to_str().unwrap(),
                "No space left",
            ],
        );
        assert!(disk.names().is_empty(), "{:?}", disk.names());
        place.assert_no_results();
    }
}

/// The same by a limit on the size of files (in units of 512 bytes), where no file system can be mounted: the
/// first is met while the tables are made, the second while rows are written.
fn limited_file() {
    for limit in ["64", "400"] {
        let place = Place::new();
        let mut command = Command::new("sh");
        // The signal of the limit is ignored, so that writing fails instead.
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_courier_chat")])
            .arg("--warehouse")
            .arg(place.warehouse())
            .arg("--output")
            .arg(place.output())
            .arg("--dead_letter_output")
            .arg(place.dead_letter_output())
            // Elsewhere the snapshots would be too large, before the warehouse is.
            .args(["--streaming", "false"]);
        let ended = Running::of(&mut command).end();
        ended.assert_failed(
            1,
            &[
                "the warehouse failed while ",
                place.warehouse().to_str().unwrap(),
            ],
        );
        place.assert_no_results();
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_failure_like_a_full_disk() {
    limited_file();
}

#[test]
fn an_input_that_breaks_off_leaves_no_results() {
    // A file that can be opened, and fails when it is read.
    const BROKEN: &str = "/proc/self/mem";
    for streaming in ["--streaming=true", "--streaming=false"] {
        let place = Place::new();
        let ended = place.run(&["--input", BROKEN, streaming]);
        ended.assert_failed(1, &["input", "Input/output error", "Start again"]);
        place.assert_no_results();
        // What an earlier run wrote stays.
        place.file("final.csv", "earlier");
        place.file("dead.ndjson", "earlier");
        place
            .run(&["--input", BROKEN, streaming])
            .assert_failed(1, &[]);
        assert_eq!(place.csv(), "earlier");
        let letters = std::fs::read_to_string(place.dead_letter_output()).unwrap();
        assert_eq!(letters, "earlier");
    }
}
