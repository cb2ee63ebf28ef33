//! Pieces: written once, found by every snapshot that names them, gone when none does.

use bytes::Bytes;

use super::*;
use crate::graph::snapshot::Piece;

/// Writes a snapshot with those pieces of one node; returns the bytes of state that were written.
fn write(snapshots: &Snapshots, epoch: u64, pieces: &[(u64, &str)]) -> u64 {
    let mut writing = snapshots.begin(&head(epoch)).unwrap();
    let mut written = 0;
    for (number, text) in pieces {
        let piece = Piece {
            of: 4,
            number: *number,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        };
        let frame = Frame {
            piece: Some(piece),
            ..frame(0, "pieces", 0, &[])
        };
        written += writing.frame(&frame).unwrap();
    }
    writing.finish().unwrap();
    written
}

fn read(snapshots: &Snapshots) -> Vec<(u64, String)> {
    let state = NodeState {
        frames: snapshots.unfinished().unwrap(),
        path: "Count/Merge".into(),
    };
    let mut pieces = Vec::new();
    let each = |of, number, bytes: Bytes| {
        assert_eq!(of, 4);
        pieces.push((number, String::from_utf8(bytes.to_vec()).unwrap()));
    };
    state.pieces("pieces", each).unwrap();
    pieces
}

fn owned(pieces: &[(u64, &str)]) -> Vec<(u64, String)> {
    let owned = |(number, text): &(u64, &str)| (*number, (*text).to_owned());
    pieces.iter().map(owned).collect()
}

fn logs(folder: &Path) -> Vec<String> {
    let mut names = names(folder);
    names.retain(|name| name.starts_with("log-"));
    names
}

#[test]
fn a_piece_is_written_once_over_several_lives() {
    let scratch = Scratch::new("pieces-once");
    let (one, two, three) = ((1, "one"), (2, "two and two"), (3, ""));
    {
        let snapshots = Snapshots::open(scratch.path()).unwrap();
        assert_eq!(write(&snapshots, 1, &[one]), 3);
        assert_eq!(write(&snapshots, 2, &[one, two]), 11);
        assert_eq!(write(&snapshots, 3, &[one, two]), 0);
    }
    {
        let snapshots = Snapshots::open(scratch.path()).unwrap();
        assert_eq!(read(&snapshots), owned(&[one, two]));
        assert_eq!(write(&snapshots, 4, &[two, three]), 0);
        // What was let go is forgotten: its number could be anything.
        assert_eq!(write(&snapshots, 5, &[one, two]), 3);
    }
    let snapshots = Snapshots::open(scratch.path()).unwrap();
    assert_eq!(read(&snapshots), owned(&[one, two]));
}

#[test]
fn a_log_goes_when_no_snapshot_that_is_kept_names_it() {
    let scratch = Scratch::new("pieces-gone");
    let folder = scratch.path();
    for life in 0..3 {
        let snapshots = Snapshots::open(folder).unwrap().keep(2);
        for epoch in 2 * life + 1..=2 * life + 2 {
            // The piece of each epoch, and the one before.
            let texts = [epoch, epoch - 1].map(|number| (number, number.to_string()));
            let pieces = texts
                .each_ref()
                .map(|(number, text)| (*number, text.as_str()));
            write(&snapshots, epoch, &pieces);
        }
    }
    // 5 and 6 name pieces of 4, 5 and 6, and those are in the logs of the last two lives.
    assert_eq!(logs(folder), ["log-000000000003", "log-000000000005"]);
    let snapshots = Snapshots::open(folder).unwrap().keep(2);
    assert_eq!(read(&snapshots), owned(&[(6, "6"), (5, "5")]));
    write(&snapshots, 7, &[]);
    write(&snapshots, 8, &[]);
    assert!(logs(folder).is_empty());
    write(&snapshots, 9, &[(9, "9")]);
    drop(snapshots);
    let snapshots = Snapshots::open(folder).unwrap();
    assert_eq!(read(&snapshots), owned(&[(9, "9")]));
}

#[test]
fn a_snapshot_is_whole_only_with_its_pieces() {
    let scratch = Scratch::new("pieces-damaged");
    let folder = scratch.path();
    let log = folder.join("log-000000000002");
    {
        let snapshots = Snapshots::open(folder).unwrap();
        write(&snapshots, 1, &[]);
        write(&snapshots, 2, &[(1, "what is in it")]);
    }
    let whole = fs::read(&log).unwrap();
    let refused = |of: &str| {
        let snapshots = Snapshots::open(folder).unwrap();
        assert_eq!(
            (snapshots.resumed().unwrap().epoch, snapshots.damaged()),
            (1, Some(2)),
            "{of}"
        );
    };
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&log, damaged).unwrap();
        refused("a bit");
    }
    fs::write(&log, &whole[1..]).unwrap();
    refused("an end");
    fs::remove_file(&log).unwrap();
    refused("the log");
    // What a process that was killed has appended does no harm.
    fs::write(&log, [&whole[..], b"and more"].concat()).unwrap();
    assert_eq!(
        read(&Snapshots::open(folder).unwrap()),
        owned(&[(1, "what is in it")])
    );
}

#[test]
fn an_earlier_format_is_refused() {
    let scratch = Scratch::new("pieces-earlier");
    write(&Snapshots::open(scratch.path()).unwrap(), 1, &[]);
    let path = file(scratch.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 1;
    fs::write(&path, bytes).unwrap();
    let refused = Snapshots::open(scratch.path()).unwrap_err().to_string();
    assert!(refused.contains("format version is 1"), "{refused}");
}
