//! What may not fit into memory: lines far longer than a record may be, and state beyond a limit.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use crate::child::{EXPECTED, Place, Running, SAMPLE};
use crate::dirty::{message, order};

#[test]
fn a_line_of_300_mb_takes_no_memory() {
    const LENGTH: u64 = 300_000_000;
    let place = Place::new();
    let path = place.path().join("long.json");
    let mut file = File::create(&path).unwrap();
    // A hole in the file: a line of that many zeros that takes no room on the disk.
    file.seek(SeekFrom::Start(LENGTH)).unwrap();
    let good = format!(
        "\n{}\n{}\n",
        message(1, "Courier", "10:00:00"),
        order(1, "IST")
    );
    file.write_all(good.as_bytes()).unwrap();
    drop(file);

    for streaming in ["--streaming=true", "--streaming=false"] {
        let place = Place::new();
        let ended = place.finish(&["--input", path.to_str().unwrap(), streaming]);
        assert_eq!(place.csv().lines().count(), 2);
        let letters = place.letters();
        assert_eq!(letters.len(), 1);
        let reason = letters[0]["reason"].as_str().unwrap();
        assert!(reason.contains("300000000 bytes"), "{reason}");
        assert_eq!(letters[0]["original"], "\0".repeat(1024));
        let peak = ended.peak;
        assert!(peak > 0 && peak < 100 * 1024, "peak: {peak} KiB");
    }
}

/// Runs with a limit that nothing fits into, and no place for temporary files.
fn within_nothing(place: &Place, flags: &[&str]) -> Running {
    let mut command = place.command(flags);
    command.args(["--memory_limit", "1B"]);
    command.env("TMPDIR", place.path().join("no such folder"));
    Running::of(&mut command)
}

#[test]
fn what_is_beyond_the_limit_is_beside_the_snapshots_while_it_runs() {
    let place = Place::new();
    let spill = place.state().join("spill");
    let input = place.file("in.json", SAMPLE);
    let flags = ["--input", &input];
    let slowly = [&flags[..], &["--publish_interval", "3ms"]].concat();
    let mut running = within_nothing(&place, &slowly);
    running.wait_for("200 rows", || place.base_rows() >= 200);
    assert!(spill.exists(), "nothing was spilled");
    running.kill();
    assert!(spill.exists(), "the test shows nothing");
    let (epoch, _) = place.unfinished().unwrap();

    let ended = within_nothing(&place, &flags).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.csv(), EXPECTED);
    ended.assert_agrees(400);
    assert!(!spill.exists());
}

#[test]
fn what_a_killed_run_had_spilled_goes_with_the_next_start_whatever_its_limit() {
    let place = Place::new();
    let batch = ["--streaming", "false"];
    let spill = place.warehouse().join("spill");
    for limit in [None, Some("1B"), Some("1GiB")] {
        fs::create_dir_all(&spill).unwrap();
        fs::write(spill.join("left"), "by a job that was killed").unwrap();
        let limit = limit.map(|limit| ["--memory_limit", limit]);
        place.finish(&[&batch[..], limit.as_ref().map_or(&[], |l| &l[..])].concat());
        assert_eq!(place.csv(), EXPECTED);
        assert!(!spill.exists() && !place.state().exists(), "{limit:?}");
    }
}
