//! Lines far longer than a record may be.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use crate::child::Place;
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
