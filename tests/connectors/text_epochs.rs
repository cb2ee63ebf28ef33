//! Text files across lives: parts are cut back to their snapshot, and appear whole, at the end, once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pipeline_core::files::Compression;
use pipeline_core::prelude::*;
use pipeline_core::sink::Promise;
use pollster::block_on;

use super::epochs::{Life, recovery};
use super::text_files::{names, text};

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("number {n:05}")).collect()
}

/// The sinks under test: whole or in shards, plain or gzip.
fn sinks() -> Vec<fn(&Path) -> TextSink<String>> {
    vec![
        |folder| TextSink::lines(folder.join("n")).without_sharding(),
        |folder| TextSink::lines(folder.join("n")),
        |folder| TextSink::lines(folder.join("n.gz")).without_sharding(),
        |folder| TextSink::lines(folder.join("n")).suffix(".gz"),
    ]
}

fn visible(folder: &Path) -> Vec<String> {
    let mut all = names(folder);
    all.retain(|name| !name.starts_with('.'));
    all
}

fn hidden(folder: &Path) -> Vec<PathBuf> {
    let mut all = names(folder);
    all.retain(|name| name.starts_with('.') && !name.ends_with(".kept"));
    all.into_iter().map(|name| folder.join(name)).collect()
}

/// Returns the lines of all files that have their names, sorted.
fn lines(folder: &Path) -> Vec<String> {
    let texts = visible(folder)
        .into_iter()
        .map(|name| text(&folder.join(name)));
    let mut lines: Vec<String> = texts
        .flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

/// Ends a life as a kill does: what it had begun stays.
fn kill<T>(folder: &Path, life: T) {
    let there = hidden(folder);
    let there: Vec<_> = there.iter().map(|p| (p, fs::read(p).unwrap())).collect();
    drop(life);
    for (path, content) in there {
        fs::write(path, content).unwrap();
    }
}

fn finish(life: Life<impl Sink>) {
    block_on(life.close().finish(true)).unwrap();
}

#[test]
fn every_line_is_there_once_through_lives_with_other_workers() {
    for sink in sinks() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(sink(folder).promise(), Promise::Transactional);
        let mut life = Life::new(sink(folder), 2);
        let mut prepared = Vec::new();
        let mut epoch = 0;
        // A life takes epochs of 200 lines, and crashes in the middle of the next.
        for (number, workers) in [2, 3, 1, 1, 4].into_iter().enumerate() {
            if number > 0 {
                drop(life);
                life = Life::resume(sink(folder), workers, epoch, &prepared).unwrap();
            }
            for _ in 0..number {
                let lines = numbers(epoch as usize * 200..(epoch as usize + 1) * 200);
                for (n, lines) in lines.chunks(17).enumerate() {
                    life.write(n % workers, lines).unwrap();
                }
                epoch += 1;
                prepared = life.epoch(epoch);
            }
            if number == 0 {
                epoch = 1;
                life.write(0, &numbers(0..200)).unwrap();
                prepared = life.prepare(1);
            }
            for worker in 0..workers {
                // Enough of it to reach the file.
                life.write(worker, &vec!["rubbish".repeat(100); 200])
                    .unwrap();
                life.write(worker, &["latest".to_owned()]).unwrap();
            }
            assert!(visible(folder).is_empty());
            drop(life);
            life = Life::resume(sink(folder), workers, epoch, &prepared).unwrap();
        }
        finish(life);
        assert!(hidden(folder).is_empty());
        assert!(lines(folder) == numbers(0..11 * 200));
    }
}

#[test]
fn what_a_killed_life_had_begun_behind_its_snapshot_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let sink = || TextSink::lines(folder.path().join("n"));
    let mut life = Life::new(sink(), 1);
    life.write(0, &numbers(0..10)).unwrap();
    let prepared = life.epoch(1);
    drop(life);
    for workers in [3, 2] {
        kill(
            folder.path(),
            Life::resume(sink(), workers, 1, &prepared).unwrap(),
        );
        assert_eq!(hidden(folder.path()).len(), workers);
    }
    finish(Life::resume(sink(), 1, 1, &prepared).unwrap());
    assert_eq!(names(folder.path()), ["n-00000-of-00001"]);
    assert_eq!(lines(folder.path()), numbers(0..10));
}

#[test]
fn an_epoch_without_a_line_leaves_the_part_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.gz");
    let sink = || TextSink::lines(&path).without_sharding();
    let mut life = Life::new(sink(), 1);
    let first = life.epoch(1);
    assert_eq!(life.epoch(2), first);
    drop(life);
    let mut life = Life::resume(sink(), 1, 2, &first).unwrap();
    life.write(0, &numbers(0..1)).unwrap();
    let third = life.epoch(3);
    assert!(third != first);
    assert_eq!(life.epoch(4), third);
    finish(life);
    assert_eq!(lines(folder.path()), numbers(0..1));
}

#[test]
fn a_table_keeps_its_header_and_its_number_of_fields() {
    let folder = tempfile::tempdir().unwrap();
    let row = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let sink = || TextSink::csv(folder.path().join("rows")).without_sharding();
    let mut life = Life::new(sink(), 2);
    life.write(1, &[row("a b")]).unwrap();
    let prepared = life.epoch(1);
    drop(life);
    let mut life = Life::resume(sink(), 2, 1, &prepared).unwrap();
    let refused = life.write(1, &[row("c"), row("d e")]).unwrap();
    assert_eq!(
        refused,
        [0],
        "it has fewer fields than the one of the life before"
    );
    finish(life);
    assert_eq!(text(&folder.path().join("rows")), "a,b\nd,e\n");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cities");
    let sink = || TextSink::csv(&path).without_sharding();
    let city = |name: &str| City {
        name: name.to_owned(),
        orders: 1,
    };
    let mut life = Life::new(sink(), 3);
    life.write(2, &[city("Izmir")]).unwrap();
    let prepared = life.epoch(1);
    drop(life);
    let mut life = Life::resume(sink(), 1, 1, &prepared).unwrap();
    life.write(0, &[city("Bonn")]).unwrap();
    let prepared = life.epoch(2);
    drop(life);
    let mut life = Life::resume(sink(), 3, 2, &prepared).unwrap();
    life.write(2, &[city("Oslo")]).unwrap();
    finish(life);
    assert_eq!(text(&path), "name,orders\nBonn,1\nIzmir,1\nOslo,1\n");
    // A run without a record.
    let life = Life::resume(sink(), 1, 2, &[]).unwrap();
    finish(life);
    assert_eq!(text(&path), "name,orders\n");
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct City {
    name: String,
    orders: u32,
}

/// Copies hidden files away, to be put back as a crash would have left them.
fn copies(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let copy = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    hidden(folder).into_iter().map(copy).collect()
}

#[test]
fn a_publication_that_broke_off_is_completed() {
    for sink in sinks() {
        // How many parts the crash had left: all, some, none; and whether the first was being added to.
        for left in 0..=3 {
            for grown in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let folder = folder.path();
                let mut life = Life::new(sink(folder), 3);
                for worker in 0..3 {
                    life.write(worker, &numbers(worker * 100..(worker + 1) * 100))
                        .unwrap();
                }
                let prepared = life.epoch(1);
                let parts = copies(folder);
                assert_eq!(parts.len(), 3);
                finish(life);
                let published = visible(folder);
                let shards = published.len();
                // The last parts are still there under their temporary names, and not under others.
                for (number, (path, bytes)) in parts.iter().enumerate().skip(3 - left) {
                    fs::write(path, bytes).unwrap();
                    if grown {
                        let mut file = OpenOptions::new().append(true).open(path).unwrap();
                        file.write_all(b"half an added part").unwrap();
                    }
                    if shards == 3 || left == 3 {
                        let gone = published.get(number).unwrap_or(&published[0]);
                        let _ = fs::remove_file(folder.join(gone));
                    }
                }
                for _ in 0..2 {
                    Life::end_again(sink(folder), 2, 1, &prepared);
                    assert_eq!(visible(folder), published, "{left} {grown}");
                    assert!(hidden(folder).is_empty(), "{left} {grown}");
                    assert!(lines(folder) == numbers(0..300), "{left} {grown}");
                }
            }
        }
    }
}

#[test]
fn a_run_behind_a_finished_one_does_not_meet_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n");
    let sink = || TextSink::lines(&path).without_sharding();
    let mut life = Life::new(sink(), 2);
    life.write(0, &numbers(0..10)).unwrap();
    let prepared = life.epoch(1);
    finish(life);
    // The next run is killed before its first snapshot, twice.
    for _ in 0..2 {
        let again = sink();
        block_on(again.recover(Some(recovery(1, &prepared, true)))).unwrap();
        assert!(
            hidden(folder.path()).is_empty(),
            "what was killed is removed"
        );
        let mut writer = again.open_in_epochs(0).unwrap();
        let records = numbers(50..60);
        let batch = WriteBatch::new(&records, 0);
        block_on(writer.write(&batch)).unwrap();
        kill(folder.path(), writer);
        assert_eq!(hidden(folder.path()).len(), 1);
        assert_eq!(lines(folder.path()), numbers(0..10));
    }
    // What the first run has published may have been taken away.
    fs::remove_file(&path).unwrap();
    let again = sink();
    block_on(again.recover(Some(recovery(1, &prepared, true)))).unwrap();
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_stopped_run_shows_how_far_it_came_and_goes_on() {
    for sink in sinks() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut life = Life::new(sink(folder), 2);
        life.write(0, &numbers(0..100)).unwrap();
        let prepared = life.epoch(1);
        block_on(life.close().suspend()).unwrap();
        assert!(lines(folder) == numbers(0..100));
        assert_eq!(hidden(folder).len(), 2);
        let before = visible(folder);
        let mut life = Life::resume(sink(folder), 2, 1, &prepared).unwrap();
        life.write(1, &numbers(100..200)).unwrap();
        life.epoch(2);
        assert!(lines(folder) == numbers(0..100), "as it was, until the end");
        finish(life);
        assert_eq!(visible(folder), before);
        assert!(hidden(folder).is_empty());
        assert!(lines(folder) == numbers(0..200));
    }
}

#[test]
fn a_run_that_fails_keeps_what_a_snapshot_names_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let sink = || TextSink::lines(folder.path().join("n")).without_sharding();
    let mut life = Life::new(sink(), 2);
    life.write(0, &numbers(0..10)).unwrap();
    block_on(life.close().finish(false)).unwrap();
    assert!(names(folder.path()).is_empty());

    let mut life = Life::new(sink(), 2);
    life.write(0, &numbers(0..10)).unwrap();
    let prepared = life.epoch(1);
    block_on(life.close().finish(false)).unwrap();
    let parts = hidden(folder.path());
    assert_eq!(parts.len(), 2);

    let refusal = |prepared: &[Vec<u8>]| {
        let error = Life::resume(sink(), 1, 1, prepared).err().unwrap();
        error.to_string()
    };
    fs::write(&parts[0], "short").unwrap();
    let error = refusal(&prepared);
    assert!(error.contains("it has 5 bytes, and had 130"), "{error}");
    assert!(error.contains(parts[0].to_str().unwrap()), "{error}");
    fs::remove_file(&parts[0]).unwrap();
    let error = refusal(&prepared);
    assert!(error.contains("snapshot 1 goes on with it"), "{error}");
    assert!(refusal(&[vec![9, 9, 9]]).contains("cannot be read"));
}

#[test]
fn a_part_whose_bytes_have_changed_is_refused() {
    for sink in sinks() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut life = Life::new(sink(folder), 1);
        // Larger than what is read or written at once.
        let some = numbers(0..50_000);
        life.write(0, &some).unwrap();
        life.epoch(1);
        life.write(0, &numbers(50_000..50_010)).unwrap();
        let prepared = life.epoch(2);
        life.write(0, &numbers(0..5)).unwrap();
        life.prepare(3);
        drop(life);
        let part = hidden(folder).remove(0);
        let whole = fs::read(&part).unwrap();
        let refused = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(&part, &bytes).unwrap();
            let refused = Life::resume(sink(folder), 2, 2, &prepared).err()?;
            assert_eq!(fs::read(&part).unwrap(), bytes, "it is left as it was");
            Some(refused.to_string())
        };
        for at in [0, whole.len() / 3] {
            let refused = refused(at).unwrap();
            assert!(refused.contains("are not those that it had"), "{refused}");
            assert!(refused.contains(part.to_str().unwrap()), "{refused}");
        }
        // What was written behind the snapshot does not count.
        assert_eq!(refused(whole.len() - 1), None);
        let mut life = Life::resume(sink(folder), 1, 2, &prepared).unwrap();
        life.write(0, &numbers(50_010..50_020)).unwrap();
        life.epoch(3);
        finish(life);
        assert!(lines(folder) == numbers(0..50_020));
    }
}

#[test]
fn what_was_killed_before_its_first_snapshot_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sink = || TextSink::lines(folder.join("n")).without_sharding();
    // As processes leave them that are gone: never in a snapshot, with and without a part's number.
    let rubbish = [".n.1-0-0.part", ".n.1-0-1.part", ".n.2-7.part"];
    // Those of other outputs, and what only looks alike.
    let others = [
        ".n.x.1-0-0.part",
        ".m.1-0.part",
        ".n.1.part",
        ".n.a-0.part",
        ".n.1-0-0-0.part",
    ];
    for name in rubbish.iter().chain(&others) {
        fs::write(folder.join(name), "left").unwrap();
    }
    // A run that is under way, before its first snapshot and behind it.
    let mut begun = Life::new(sink(), 1);
    let mut running = Life::new(sink(), 1);
    running.write(0, &numbers(0..3)).unwrap();
    let prepared = running.epoch(1);
    let there = |names: &[&str]| names.iter().all(|name| folder.join(name).exists());
    assert!(there(&others) && rubbish.iter().all(|name| !there(&[name])));
    assert_eq!(hidden(folder).len(), others.len() + 2);
    begun.write(0, &numbers(0..3)).unwrap();
    drop((begun, running));
    // It was killed, and its snapshot may be somewhere.
    assert_eq!(hidden(folder).len(), others.len() + 1);
    for _ in 0..2 {
        finish(Life::new(sink(), 1));
    }
    assert_eq!(hidden(folder).len(), others.len() + 1);
    finish(Life::resume(sink(), 1, 1, &prepared).unwrap());
    assert_eq!(lines(folder), numbers(0..3));
    let kept = names(folder).iter().any(|name| name.ends_with(".kept"));
    assert!(!kept && hidden(folder).len() == others.len());
}

#[test]
fn a_sink_of_another_format_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n");
    let mut life = Life::new(TextSink::lines(&path), 1);
    life.write(0, &numbers(0..3)).unwrap();
    let prepared = life.epoch(1);
    drop(life);
    let refusal = |sink: TextSink<String>| {
        let refused = Life::resume(sink, 1, 1, &prepared).err();
        refused.unwrap().to_string()
    };
    let json = refusal(TextSink::json(&path));
    assert!(
        json.contains("written as Lines, and is to go on as Json"),
        "{json}"
    );
    let gzip = refusal(TextSink::lines(&path).compression(Compression::Gzip));
    assert!(
        gzip.contains("as Lines, and is to go on as Lines, gzip"),
        "{gzip}"
    );
    finish(Life::resume(TextSink::<String>::lines(&path), 1, 1, &prepared).unwrap());
    assert_eq!(lines(folder.path()), numbers(0..3));
}

#[test]
fn a_part_that_somebody_writes_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let sink = || TextSink::lines(folder.path().join("n"));
    let mut life = Life::new(sink(), 1);
    life.write(0, &numbers(0..3)).unwrap();
    let prepared = life.epoch(1);
    // A copy of the folder with the snapshots.
    let refused = Life::resume(sink(), 1, 1, &prepared).err().unwrap();
    let refused = refused.to_string();
    assert!(refused.contains("another run is writing it"), "{refused}");
    finish(life);
    assert_eq!(lines(folder.path()), numbers(0..3));
}

#[test]
fn dead_letters_are_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let letters = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&letters);
    let pipeline = Pipeline::build(|p| {
        p.create("Texts", numbers(0..4))
            .try_map("Parse", |text| Ok(text.parse::<i64>()?))
            .dead_letters
            .check("Take", move |letters| *taken.lock().unwrap() = letters);
    });
    DirectRunner::new().run(&pipeline.unwrap()).unwrap();
    let letters = letters.lock().unwrap();
    let sink = || TextSink::dead_letters(&path);
    let mut life = Life::new(sink(), 2);
    life.write(0, &letters[..1]).unwrap();
    life.write(1, &letters[1..2]).unwrap();
    let prepared = life.epoch(1);
    life.write(1, &letters[2..]).unwrap();
    drop(life);
    let mut life = Life::resume(sink(), 1, 1, &prepared).unwrap();
    life.write(0, &letters[2..]).unwrap();
    finish(life);
    let written = text(&path);
    assert_eq!(written.lines().count(), 4);
    for letter in letters.iter() {
        let original = std::str::from_utf8(&letter.original).unwrap();
        assert_eq!(written.matches(original).count(), 1, "{written}");
    }
}
