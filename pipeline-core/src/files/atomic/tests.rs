//! Tests of files that appear when they are complete.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use proptest::prelude::*;

use super::*;
use crate::files::scratch::Scratch;

fn names(folder: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn unpack(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    MultiGzDecoder::new(File::open(path).unwrap())
        .read_to_end(&mut out)
        .unwrap();
    out
}

#[test]
fn the_old_file_stays_until_the_new_one_is_complete() {
    let folder = Scratch::new("replace");
    let path = folder.path().join("out.txt");
    fs::write(&path, "old").unwrap();
    let mut file = AtomicFile::create(&path, Compression::Auto).unwrap();
    assert_eq!(file.path(), path);
    file.write(&[b'x'; 200_000]).unwrap();
    let pending = names(&folder);
    assert_eq!(pending.len(), 2);
    assert!(
        pending[0].starts_with(".out.txt.") && pending[0].ends_with(".part"),
        "{pending:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"old");
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), [b'x'; 200_000]);
    assert_eq!(names(&folder), ["out.txt"]);
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let folder = Scratch::new("drop");
    let mut file = AtomicFile::create(folder.path().join("out"), Compression::Auto).unwrap();
    file.write(&[1; 100_000]).unwrap();
    drop(file);
    assert!(names(&folder).is_empty());
}

#[test]
fn files_of_one_name_do_not_meet_before_they_are_committed() {
    let folder = Scratch::new("two");
    let path = folder.path().join("n".repeat(250));
    let mut first = AtomicFile::create(&path, Compression::Auto).unwrap();
    let mut second = AtomicFile::create(&path, Compression::Auto).unwrap();
    first.write(b"first").unwrap();
    second.write(b"second").unwrap();
    first.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    second.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");
}

#[test]
fn refusals_name_the_path() {
    let folder = Scratch::new("refused");
    let missing = folder.path().join("no/such/out.csv");
    let error = AtomicFile::create(&missing, Compression::Auto)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("cannot write {}: No such file", missing.display())),
        "{error}"
    );
    for taken in [folder.path(), Path::new("/dev/null"), Path::new("/")] {
        let error = AtomicFile::create(taken, Compression::Auto)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("{}: it is not a regular file", taken.display())),
            "{error}"
        );
    }
    assert!(
        AtomicFile::create("", Compression::Auto)
            .unwrap_err()
            .to_string()
            .contains("no file name")
    );
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let folder = Scratch::new("link");
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut file = AtomicFile::create(&link, Compression::Auto).unwrap();
    file.write(b"new").unwrap();
    file.commit().unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"new");
}

/// A device that is always full, so that the real error of the system is met.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_a_retry_leaves_no_half_copy() {
    let folder = Scratch::new("full");
    for gzip in [Compression::Uncompressed, Compression::Gzip] {
        let path = folder.path().join("out");
        let mut file = AtomicFile::create(&path, gzip).unwrap();
        file.write(b"head\n").unwrap();
        file.flush().unwrap();
        let position = file.position().unwrap();

        let full = File::options().write(true).open("/dev/full").unwrap();
        let real = std::mem::replace(&mut file.file, full);
        let mut seed = 1_u64;
        let noise = [(); 400_000].map(|()| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        });
        let error = file.write(&noise).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("cannot write {}: ", path.display())),
            "{message}"
        );
        assert!(
            message.ends_with("; free some space or choose another disk"),
            "{message}"
        );

        // Half of the batch had come to the disk when it was full.
        file.file = real;
        file.file.write_all(b"half").unwrap();
        file.truncate_to(position).unwrap();
        file.write(b"tail\n").unwrap();
        file.commit().unwrap();
        let written = if gzip == Compression::Gzip {
            unpack(&path)
        } else {
            fs::read(&path).unwrap()
        };
        assert_eq!(written, b"head\ntail\n");
        assert_eq!(names(&folder), ["out"]);
    }
}

#[test]
fn a_failed_commit_removes_the_temporary_file() {
    let folder = Scratch::new("commit");
    let path = folder.path().join("out");
    let mut file = AtomicFile::create(&path, Compression::Auto).unwrap();
    file.write(b"text").unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    assert!(file.commit().is_err());
    assert_eq!(names(&folder), ["out"]);
    assert!(path.is_dir());
}

#[test]
fn gzip_is_chosen_by_name_and_nothing_is_a_file_too() {
    let folder = Scratch::new("empty");
    let path = folder.path().join("out.csv.GZ");
    AtomicFile::create(&path, Compression::Auto)
        .unwrap()
        .commit()
        .unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
    assert_eq!(unpack(&path), b"");
    let plain = folder.path().join("plain.gz");
    AtomicFile::create(&plain, Compression::Uncompressed)
        .unwrap()
        .commit()
        .unwrap();
    assert_eq!(fs::metadata(&plain).unwrap().len(), 0);
}

#[test]
fn a_position_behind_the_end_is_refused() {
    let folder = Scratch::new("behind");
    let mut file = AtomicFile::create(folder.path().join("out"), Compression::Auto).unwrap();
    file.write(b"0123456789").unwrap();
    let end = file.position().unwrap();
    file.truncate_to(FilePosition(4)).unwrap();
    assert!(
        file.truncate_to(end)
            .unwrap_err()
            .to_string()
            .contains("not as long as")
    );
}

#[test]
fn parts_become_one_file_and_their_temporary_files_go() {
    for suffix in ["txt", "gz"] {
        let folder = Scratch::new("append");
        let path = folder.path().join("out");
        let file = || AtomicFile::create(path.with_extension(suffix), Compression::Auto).unwrap();
        let (mut whole, mut empty, mut part) = (file(), file(), file());
        whole.write(b"one ").unwrap();
        part.write(b"head").unwrap();
        let head = part.position().unwrap();
        part.write(&[b'x'; 200_000]).unwrap();
        part.write(b" three").unwrap();
        empty.write(b"").unwrap();
        whole.append(&mut empty, FilePosition::default()).unwrap();
        whole.append(&mut part, head).unwrap();
        drop((empty, part));
        whole.write(b" four").unwrap();
        assert_eq!(names(&folder).len(), 1);
        let named = folder.path().join(format!("named.{suffix}"));
        whole.commit_as(&named).unwrap();
        let written = if suffix == "gz" {
            unpack(&named)
        } else {
            fs::read(&named).unwrap()
        };
        assert_eq!(
            written,
            [b"one ", &[b'x'; 200_000][..], b" three four"].concat()
        );
        assert_eq!(names(&folder).len(), 1);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(u8, usize),
    Mark,
    Back(prop::sample::Index),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever is written and taken back, the file is what a vector would be.
    #[test]
    fn a_file_is_like_a_vector(
        steps in prop::collection::vec(prop_oneof![
            (any::<u8>(), prop_oneof![0..50_usize, 60_000..140_000_usize]).prop_map(|(b, n)| Step::Write(b, n)),
            Just(Step::Mark),
            any::<prop::sample::Index>().prop_map(Step::Back),
        ], 0..20),
        gzip in any::<bool>(),
    ) {
        let folder = Scratch::new(if gzip { "vector-gzip" } else { "vector" });
        let path = folder.path().join("out");
        let compression = if gzip { Compression::Gzip } else { Compression::Uncompressed };
        let mut file = AtomicFile::create(&path, compression).unwrap();
        let (mut expected, mut marks) = (Vec::new(), vec![(file.position().unwrap(), 0)]);
        for step in steps {
            match step {
                Step::Write(byte, length) => {
                    file.write(&vec![byte; length]).unwrap();
                    expected.extend(std::iter::repeat_n(byte, length));
                }
                Step::Mark => marks.push((file.position().unwrap(), expected.len())),
                Step::Back(index) => {
                    marks.truncate(index.index(marks.len()) + 1);
                    let (position, length) = marks[marks.len() - 1];
                    file.truncate_to(position).unwrap();
                    expected.truncate(length);
                }
            }
        }
        file.commit().unwrap();
        let written = if gzip { unpack(&path) } else { fs::read(&path).unwrap() };
        prop_assert!(written == expected);
    }
}

#[test]
fn a_saved_file_outlives_its_value_and_goes_on_where_it_was_saved() {
    let compression = Compression::Auto;
    for suffix in ["txt", "gz"] {
        let folder = Scratch::new("saved");
        let path = folder.path().join("out").with_extension(suffix);
        let tag = AtomicFile::new_tag(&path).unwrap();
        let mut number = 3;
        let mut create =
            || AtomicFile::create_tagged(&path, compression, &tag, &mut number).unwrap();
        drop(create());
        assert_eq!(names(&folder).len(), 0, "it was not saved");
        let (mut file, mut other) = (create(), create());
        file.write(b"one ").unwrap();
        let saved = file.save().unwrap();
        let (name, position) = (saved.name.clone(), saved.position);
        assert_eq!(name, format!(".out.{suffix}.{tag}-4.part"));
        file.write(&[b'x'; 200_000]).unwrap();
        other.save().unwrap();
        drop((file, other));
        assert_eq!(names(&folder).len(), 2);
        // A tag that is a beginning of it is another.
        let (begun, _) = tag.split_at(tag.len() - 1);
        AtomicFile::remove_tagged(&path, begun, &[]).unwrap();
        assert_eq!(names(&folder).len(), 2);
        AtomicFile::remove_tagged(&path, &tag, &[&name]).unwrap();
        assert_eq!(names(&folder), [name.as_str()]);
        for _ in 0..2 {
            let resumed = AtomicFile::resume(&path, compression, &saved);
            resumed.unwrap().write(b"two").unwrap();
        }
        let mut file = AtomicFile::resume(&path, compression, &saved).unwrap();
        file.write(b"x").unwrap();
        let longer = file.save().unwrap();
        file.truncate_to(position).unwrap();
        file.write(b"2").unwrap();
        let other = file.save().unwrap();
        assert_eq!(other.position, longer.position);
        assert_ne!(other.checksum, longer.checksum);
        drop(file);
        let refused = AtomicFile::resume(&path, compression, &longer).err();
        let refused = refused.unwrap().to_string();
        assert!(refused.contains("are not those"), "{refused}");
        let file = AtomicFile::resume(&path, compression, &other).unwrap();
        file.commit().unwrap();
        let written = if suffix == "gz" {
            unpack(&path)
        } else {
            fs::read(&path).unwrap()
        };
        assert_eq!(written, b"one 2");
        assert!(AtomicFile::resume(&path, compression, &saved).is_err());
        assert!(!AtomicFile::is_there(&path, &name));
    }
}
