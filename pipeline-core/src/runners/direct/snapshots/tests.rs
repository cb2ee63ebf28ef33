use std::fs;
use std::path::{Path, PathBuf};

use super::*;

mod pieces;
use crate::files::scratch::Scratch;
use crate::graph::snapshot::{Frame, NodeState, SavedFrames};
use crate::time::Timestamp;

fn head(epoch: u64) -> Head {
    Head {
        epoch,
        drained: false,
        finished: false,
        now: Timestamp::from_millis(7),
        workers: 2,
        paths: vec!["Read".to_owned(), "Count/Merge".to_owned()],
        prints: Vec::new(),
        messages: 100 * epoch,
        beside: vec![("publisher".to_owned(), vec![1, 2, epoch as u8])],
        metrics: vec![("Read".to_owned(), "out".to_owned(), 5)],
    }
}

fn frame(worker: usize, name: &'static str, keys: u64, payload: &[u8]) -> Frame {
    Frame {
        node: 1,
        worker,
        name,
        keys,
        payload: payload.to_vec(),
        piece: None,
    }
}

/// Writes a small snapshot of that epoch.
fn write(snapshots: &Snapshots, epoch: u64) {
    let mut writing = snapshots.begin(&head(epoch)).unwrap();
    let about = format!("state of epoch {epoch}, of a length that matters");
    for worker in 0..2 {
        let payload = format!("{about} on {worker}");
        writing
            .frame(&frame(worker, "groups", 3, payload.as_bytes()))
            .unwrap();
        writing.frame(&frame(worker, "empty", 0, &[])).unwrap();
    }
    writing.finish().unwrap();
}

fn file(folder: &Path, epoch: u64) -> PathBuf {
    folder.join(format!("snapshot-{epoch:012}"))
}

fn frames(saved: &Arc<Saved>, path: &str, name: &str) -> Vec<String> {
    let state = NodeState {
        frames: Arc::clone(saved) as Arc<dyn SavedFrames>,
        path: path.into(),
    };
    let frames = state.bytes(name).unwrap();
    frames
        .into_iter()
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read() {
    let scratch = Scratch::new("snapshots-round-trip");
    let folder = scratch.path().join("of/its/own");
    {
        let snapshots = Snapshots::open(&folder).unwrap();
        assert!(snapshots.resumed().is_none() && snapshots.unfinished().is_none());
        assert_eq!(snapshots.next_epoch(), 1);
        write(&snapshots, 1);
        // An epoch is never used again.
        assert!(snapshots.begin(&head(1)).is_err());
        write(&snapshots, 2);
    }
    let snapshots = Snapshots::open(&folder).unwrap();
    assert_eq!(snapshots.next_epoch(), 3);
    assert_eq!(snapshots.damaged(), None);
    let resumed = snapshots.resumed().unwrap();
    assert_eq!((resumed.epoch, resumed.keys, resumed.messages), (2, 6, 200));
    assert_eq!(resumed.beside("publisher"), Some(&[1, 2, 2][..]));
    assert_eq!(resumed.beside("another"), None);
    let saved = snapshots.unfinished().unwrap();
    assert_eq!(format!("{:?}", saved.head()), format!("{:?}", head(2)));
    let about = "state of epoch 2, of a length that matters";
    assert_eq!(
        frames(&saved, "Count/Merge", "groups"),
        [format!("{about} on 0"), format!("{about} on 1")]
    );
    assert_eq!(frames(&saved, "Count/Merge", "empty"), ["", ""]);
    assert!(frames(&saved, "Count/Merge", "another").is_empty());
    assert!(frames(&saved, "Read", "groups").is_empty());
    assert!(frames(&saved, "Write", "groups").is_empty());
}

#[test]
fn a_run_that_ended_is_not_resumed_and_its_epochs_go_on() {
    let scratch = Scratch::new("snapshots-finished");
    {
        let snapshots = Snapshots::open(scratch.path()).unwrap();
        write(&snapshots, 1);
        let last = Head {
            finished: true,
            ..head(2)
        };
        snapshots.begin(&last).unwrap().finish().unwrap();
    }
    let snapshots = Snapshots::open(scratch.path()).unwrap();
    assert!(snapshots.resumed().is_none());
    assert!(snapshots.unfinished().is_none());
    assert_eq!(snapshots.saved.as_ref().unwrap().head().epoch, 2);
    assert_eq!(snapshots.next_epoch(), 3);
}

#[test]
fn so_many_are_kept_and_rubbish_goes() {
    let scratch = Scratch::new("snapshots-kept");
    let folder = scratch.path();
    fs::write(folder.join(".snapshot-000000000009.1-1.part"), "half").unwrap();
    fs::write(folder.join("snapshot-notes"), "mine").unwrap();
    let snapshots = Snapshots::open(folder).unwrap().keep(2);
    (1..=4).for_each(|epoch| write(&snapshots, epoch));
    // One that is given up leaves nothing, and its number is free.
    let mut given_up = snapshots.begin(&head(5)).unwrap();
    given_up
        .frame(&frame(0, "groups", 1, &[0; 200_000]))
        .unwrap();
    drop(given_up);
    let kept = [
        "lock",
        "snapshot-000000000003",
        "snapshot-000000000004",
        "snapshot-notes",
    ];
    assert_eq!(names(folder), kept);
    write(&snapshots.clone().keep(0), 5);
    assert_eq!(
        names(folder),
        ["lock", "snapshot-000000000005", "snapshot-notes"]
    );
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let scratch = Scratch::new("snapshots-locked");
    let first = Snapshots::open(scratch.path()).unwrap();
    let refused = Snapshots::open(scratch.path()).unwrap_err().to_string();
    let pid = format!("(pid {})", std::process::id());
    assert!(
        refused.contains("in use by another job") && refused.contains(&pid),
        "{refused}"
    );
    let second = first.clone();
    drop(first);
    assert!(Snapshots::open(scratch.path()).is_err());
    drop(second);
    assert!(Snapshots::open(scratch.path()).is_ok());
}

/// Everything that a disk can do to one file, at every 97th byte and in the first and last 64.
fn damages(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut damages: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    let near_ends = (0..64).chain(whole.len() - 64..whole.len());
    for place in (0..whole.len()).step_by(97).chain(near_ends) {
        for bit in 0..8 {
            let mut damaged = whole.to_vec();
            damaged[place] ^= 1 << bit;
            damages.push(damaged);
        }
    }
    damages.push([whole, b"x"].concat());
    damages.push([whole, whole].concat());
    damages
}

#[test]
fn a_damaged_snapshot_is_never_a_fresh_start() {
    let scratch = Scratch::new("snapshots-damaged");
    let folder = scratch.path();
    write(&Snapshots::open(folder).unwrap(), 1);
    let whole = fs::read(file(folder, 1)).unwrap();
    let mut newer = 0;
    for (number, damaged) in damages(&whole).iter().enumerate() {
        fs::write(file(folder, 1), damaged).unwrap();
        let refused = Snapshots::open(folder).err();
        let refused = refused.unwrap_or_else(|| panic!("damage {number} was not noticed"));
        let message = refused.to_string();
        let is_newer = message.contains("format version");
        newer += usize::from(is_newer);
        assert!(is_newer || message.contains("no snapshot in"), "{message}");
    }
    // The bits of the version that make it greater.
    assert_eq!(newer, 31);
}

#[test]
fn a_damaged_newest_falls_back_to_the_one_before() {
    let scratch = Scratch::new("snapshots-fallback");
    let folder = scratch.path();
    {
        let snapshots = Snapshots::open(folder).unwrap();
        (1..=3).for_each(|epoch| write(&snapshots, epoch));
    }
    let whole = fs::read(file(folder, 3)).unwrap();
    for damaged in damages(&whole).iter().step_by(50) {
        if damaged
            .get(8..12)
            .is_some_and(|version| version != [2, 0, 0, 0])
        {
            continue;
        }
        fs::write(file(folder, 3), damaged).unwrap();
        let snapshots = Snapshots::open(folder).unwrap();
        assert_eq!(snapshots.resumed().unwrap().epoch, 2);
        assert_eq!(snapshots.damaged(), Some(3));
        assert_eq!(snapshots.next_epoch(), 4);
    }
    fs::copy(file(folder, 1), file(folder, 2)).unwrap();
    let snapshots = Snapshots::open(folder).unwrap();
    assert_eq!(snapshots.resumed().unwrap().epoch, 1);
    assert_eq!((snapshots.damaged(), snapshots.next_epoch()), (Some(3), 4));
}

#[test]
fn a_newer_version_is_refused_whatever_else_is_there() {
    let scratch = Scratch::new("snapshots-newer");
    let folder = scratch.path();
    {
        let snapshots = Snapshots::open(folder).unwrap();
        (1..=2).for_each(|epoch| write(&snapshots, epoch));
    }
    let mut newest = fs::read(file(folder, 2)).unwrap();
    newest[8] = 3;
    fs::write(file(folder, 2), newest).unwrap();
    let refused = Snapshots::open(folder).unwrap_err().to_string();
    assert!(
        refused.contains("format version 3, and this program reads version 2"),
        "{refused}"
    );
}

#[test]
fn a_snapshot_that_changes_while_it_is_used_is_noticed() {
    let scratch = Scratch::new("snapshots-changed");
    write(&Snapshots::open(scratch.path()).unwrap(), 1);
    let snapshots = Snapshots::open(scratch.path()).unwrap();
    let saved = snapshots.unfinished().unwrap();
    let path = file(scratch.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|w| w == b"state").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let read =
        |each: &mut dyn FnMut(&[u8]) -> Result<()>| saved.for_each("Count/Merge", "groups", each);
    let refused = read(&mut |_| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("no longer is"), "{refused}");
    fs::write(&path, &bytes[..at]).unwrap();
    assert!(read(&mut |_| Ok(())).is_err());
}
