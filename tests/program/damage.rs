//! Damaged snapshots, and no room for them: the one before is used, or it is said why not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::child::{EXPECTED, Ended, Place, SAMPLE};
use crate::failures::Disk;

/// The snapshots in a folder, the newest last.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let of_name = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("snapshot-")
    };
    let mut paths: Vec<PathBuf> = paths.filter(of_name).collect();
    paths.sort();
    paths
}

/// The three snapshots of a run that was killed, and its input.
fn killed(place: &Place) -> (Vec<PathBuf>, String) {
    let mut input = String::new();
    for line in SAMPLE.lines() {
        input.push_str(&format!("{line}\nno event\n"));
    }
    let input = place.file("in.json", input);
    run_on(place, &input, &place.state(), 0);
    (snapshots(&place.state()), input)
}

/// Runs on until three snapshots and more rows are there, and kills it; at a pace at which it is far from its end.
fn run_on(place: &Place, input: &str, state: &Path, rows: i64) {
    let mut running = place.start(&[
        "--input",
        input,
        "--publish_interval",
        "20ms",
        "--snapshot_interval",
        "50ms",
        "--state_dir",
        state.to_str().unwrap(),
    ]);
    let begun = snapshots(state).last().map_or(0, |newest| epoch(newest));
    running.wait_for("three snapshots", || {
        let there = snapshots(state);
        let newest = there.last().map_or(0, |newest| epoch(newest));
        place.base_rows() > rows && there.len() == 3 && newest >= begun + 3
    });
    running.kill();
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    // With the logs that they name; the lock is the new folder's own.
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "lock" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Every line and every dead letter is there, and once.
#[track_caller]
fn assert_whole(place: &Place, ended: &Ended) {
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(place.lines(), all_lines());
    assert_eq!(place.letters().len(), 1801);
    ended.assert_agrees(400);
    assert_eq!(ended.count("records taken in"), 2 * 1801);
    place.assert_no_parts();
}

/// The numbers of the lines that are events: every second one.
fn all_lines() -> Vec<usize> {
    (0..1801).map(|number| 2 * number + 1).collect()
}

fn epoch(path: &Path) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.strip_prefix("snapshot-").unwrap().parse().unwrap()
}

#[test]
fn behind_a_damaged_snapshot_the_run_goes_on_from_the_one_before() {
    let flip = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 0x10;
        bytes
    };
    let damages: [&dyn Fn(Vec<u8>) -> Vec<u8>; 4] = [
        &|bytes| bytes[..bytes.len() / 2].to_vec(),
        &|_| Vec::new(),
        &|bytes| {
            let middle = bytes.len() / 2;
            flip(bytes, middle)
        },
        &|bytes| {
            let last = bytes.len() - 1;
            flip(bytes, last)
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let place = Place::new();
        let (snapshots, input) = killed(&place);
        let newest = &snapshots[2];
        fs::write(newest, damage(fs::read(newest).unwrap())).unwrap();
        let ended = place.finish(&["--input", &input]);
        assert_eq!(ended.resumed(), Some(epoch(&snapshots[1])), "{number}");
        let warning = format!("the snapshot {} is damaged", newest.display());
        assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
        assert_whole(&place, &ended);
    }
}

#[test]
fn behind_a_snapshot_that_was_removed_the_run_goes_on_from_the_one_before() {
    for removed in 1..=2 {
        let place = Place::new();
        let (snapshots, input) = killed(&place);
        for path in &snapshots[3 - removed..] {
            fs::remove_file(path).unwrap();
        }
        let ended = place.finish(&["--input", &input]);
        assert_eq!(ended.resumed(), Some(epoch(&snapshots[2 - removed])));
        assert_whole(&place, &ended);
    }
}

#[test]
fn behind_an_older_copy_of_the_folder_nothing_is_lost() {
    let place = Place::new();
    let (snapshots, input) = killed(&place);
    let backup = place.path().join("backup");
    copy(&place.state(), &backup);
    run_on(&place, &input, &place.state(), place.base_rows() + 20);
    copy(&backup, &place.state());
    let ended = place.finish(&["--input", &input]);
    assert_eq!(ended.resumed(), Some(epoch(&snapshots[2])));
    assert_whole(&place, &ended);
}

#[test]
fn behind_a_copy_of_the_folder_that_went_further_nothing_is_lost() {
    let place = Place::new();
    let (snapshots, input) = killed(&place);
    let other = place.path().join("other");
    copy(&place.state(), &other);
    run_on(&place, &input, &other, place.base_rows() + 20);
    let ended = place.finish(&["--input", &input]);
    assert_eq!(ended.resumed(), Some(epoch(&snapshots[2])));
    assert_whole(&place, &ended);
}

#[test]
fn if_no_snapshot_is_whole_the_run_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let (snapshots, input) = killed(&place);
    for path in &snapshots {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    }
    let before = place.tables();
    for _ in 0..2 {
        let ended = place.run(&["--input", &input]);
        let newest = snapshots[2].to_str().unwrap();
        ended.assert_failed(1, &["--state_dir: no snapshot in ", "is whole", newest]);
        assert!(snapshots.iter().all(|path| path.exists()));
        assert!(place.tables() == before);
    }
}

#[test]
fn a_start_that_is_refused_for_its_snapshots_makes_no_warehouse() {
    let place = Place::new();
    let state = place.path().join("elsewhere");
    let state_dir = state.to_str().unwrap();
    let mut running = place.start(&["--publish_interval", "5ms", "--state_dir", state_dir]);
    running.wait_for("a row", || place.base_rows() > 0);
    running.kill();
    let other = Place::new();
    other
        .run(&["--state_dir", state_dir])
        .assert_failed(1, &["its --warehouse is ", "and now it is"]);
    assert!(!other.warehouse().exists());
    for path in snapshots(&state) {
        fs::write(path, "damaged").unwrap();
    }
    let refused = other.run(&["--state_dir", state_dir]);
    refused.assert_failed(1, &["--state_dir: no snapshot in "]);
    assert!(!other.warehouse().exists());
    // A flag that would be of no use.
    for flag in [["--snapshot_interval", "1s"], ["--snapshot_bytes", "1MiB"]] {
        let refused = other.run(&["--streaming", "false", flag[0], flag[1]]);
        refused.assert_failed(1, &[flag[0], "give that as well"]);
        assert!(!other.warehouse().exists());
    }
}

#[test]
fn a_full_disk_under_the_snapshots_ends_the_run_and_the_last_one_stands() {
    let Some(disk) = Disk::of("160k") else {
        return;
    };
    let place = Place::new();
    let state = disk.folder.join("state");
    let flags = [
        "--state_dir",
        state.to_str().unwrap(),
        "--publish_interval",
        "2ms",
    ];
    let ended = place.run(&[&flags[..], &["--snapshot_interval", "20ms"]].concat());
    ended.assert_failed(
        1,
        &["No space left", state.to_str().unwrap(), "Start again"],
    );
    let names = fs::read_dir(&state).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.remove(0), "lock");
    assert!(
        names.last().is_some_and(|n| n.starts_with("snapshot-"))
            && names
                .iter()
                .all(|n| n.starts_with("snapshot-") || n.starts_with("log-")),
        "{names:?}"
    );
    assert!(place.base_rows() < 1801);
    // Still full: again the same, from where it was.
    let last: u64 = names.last().unwrap()["snapshot-".len()..].parse().unwrap();
    disk.resize("16m");
    let ended = place.finish(&flags);
    assert_eq!(ended.resumed(), Some(last));
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(ended.count("records taken in"), 1801);
    place.assert_no_parts();
}
