//! What every storage does.

use bytes::Bytes;
use pipeline_gcp::storage::{Metadata, StorageErrorKind};

use super::{Bench, read};

fn none() -> Metadata {
    Metadata::new()
}

pub fn objects_are_put_looked_at_listed_and_deleted(bench: &Bench) {
    let names = ["a", "b/c", "b/d e+f%20ü=1&x?.json", "b/x/y", "ba"];
    for name in names {
        bench.put(name, name);
    }
    assert_eq!(bench.names(""), names);
    assert_eq!(bench.names("b/"), names[1..4]);
    assert_eq!(bench.names("b"), names[1..]);
    assert_eq!(bench.names("b/x"), names[3..4]);
    assert!(bench.names("nothing/").is_empty());
    for name in names {
        assert_eq!(bench.get(name), name.as_bytes());
    }
    let storage = &bench.storage;
    let listed = bench.run(storage.list(&bench.name("a"))).unwrap().remove(0);
    let first = bench.run(storage.stat(&bench.name("a"))).unwrap();
    assert_eq!(listed, first);
    assert_eq!(first.size, 1);
    let age = chrono::Utc::now().timestamp_millis() - first.updated.millis();
    assert!(age.abs() < 600_000, "{age}");
    bench.put("a", "longer");
    let second = bench.run(storage.stat(&bench.name("a"))).unwrap();
    assert_ne!(second.generation, first.generation);
    assert_eq!(second.size, 6);
    bench.run(storage.delete(&bench.name("a"))).unwrap();
    bench.run(storage.delete(&bench.name("a"))).unwrap();
    let gone = bench.run(storage.stat(&bench.name("a"))).unwrap_err();
    assert_eq!(gone.kind(), StorageErrorKind::NotFound);
    assert!(!gone.is_transient());
    let full = storage.full_name(&bench.name("a"));
    assert_eq!(gone.object(), full);
    assert!(
        gone.to_string()
            .starts_with(&format!("cannot look at {full}: ")),
        "{gone}"
    );
    assert_eq!(bench.names(""), names[1..]);
}

pub fn nothing_is_overwritten_if_it_must_not(bench: &Bench) {
    let storage = &bench.storage;
    let name = bench.name("once");
    let put = |text: &'static str| {
        let (storage, name) = (storage.clone(), name.clone());
        async move {
            storage
                .put_if_absent(&name, Bytes::from_static(text.as_bytes()), &none())
                .await
        }
    };
    bench.run(put("first")).unwrap();
    let error = bench.run(put("second")).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Exists, "{error}");
    assert_eq!(bench.get("once"), b"first");
    // Of many at once, one is there.
    let name = bench.name("race");
    let won = bench.run(async {
        let mut puts = tokio::task::JoinSet::new();
        for n in 0..8_u8 {
            let (storage, name) = (storage.clone(), name.clone());
            puts.spawn(async move {
                let put = storage.put_if_absent(&name, vec![n].into(), &none()).await;
                put.map(|()| n).map_err(|error| error.kind())
            });
        }
        puts.join_all().await
    });
    let winners: Vec<u8> = won.iter().filter_map(|put| put.ok()).collect();
    assert_eq!(winners.len(), 1, "{won:?}");
    assert_eq!(bench.get("race"), winners);
    let others = won.iter().filter_map(|put| put.err());
    assert!(
        others
            .into_iter()
            .all(|kind| kind == StorageErrorKind::Exists)
    );
}

pub fn ranges_are_read_and_what_was_replaced_is_told(bench: &Bench) {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    bench.put("big", &bytes);
    bench.put("empty", "");
    let storage = &*bench.storage;
    let object = bench.run(storage.stat(&bench.name("big"))).unwrap();
    let length = bytes.len() as u64;
    for (start, end) in [
        (0, u64::MAX),
        (0, 1),
        (5, 5),
        (1_234_567, 2_345_678),
        (length - 1, u64::MAX),
        (length, u64::MAX),
    ] {
        let got = bench.run(read(storage, &object, start..end)).unwrap();
        assert!(
            got == bytes[start as usize..end.min(length) as usize],
            "{start} {end}"
        );
    }
    let empty = bench.run(storage.stat(&bench.name("empty"))).unwrap();
    assert!(bench.run(read(storage, &empty, 0..10)).unwrap().is_empty());

    bench.put("big", "another");
    let error = bench.run(read(storage, &object, 0..u64::MAX)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Replaced, "{error}");
    assert!(error.to_string().contains("it was replaced"), "{error}");
    bench.run(storage.delete(&bench.name("big"))).unwrap();
    let error = bench.run(read(storage, &object, 0..u64::MAX)).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotFound, "{error}");
}

pub fn files_are_uploaded_whole(bench: &Bench) {
    let storage = &bench.storage;
    let metadata = Metadata::from([("pipeline-file".to_owned(), "run-7".to_owned())]);
    for length in [0, 1, 8 * 1024 * 1024, 19 * 1024 * 1024 + 1] {
        let bytes: Vec<u8> = (0..length as u64).map(|n| (n * n / 1000) as u8).collect();
        let file = bench.folder.path().join("file");
        std::fs::write(&file, &bytes).unwrap();
        bench
            .run(storage.upload(&bench.name("up"), &file, &metadata))
            .unwrap();
        assert!(bench.get("up") == bytes, "{length}");
        if bench.keeps_metadata {
            let info = bench.run(storage.stat(&bench.name("up"))).unwrap();
            assert_eq!(info.metadata, metadata);
        }
    }
    let gone = bench.folder.path().join("gone");
    let error = bench
        .run(storage.upload(&bench.name("up"), &gone, &metadata))
        .unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(bench.names(""), ["up"]);
}

pub fn copies_keep_what_is_there(bench: &Bench) {
    let storage = &bench.storage;
    let metadata = Metadata::from([("pipeline-file".to_owned(), "x".to_owned())]);
    let bytes = Bytes::from_static(b"content");
    bench
        .run(storage.put(&bench.name("from"), bytes, &metadata))
        .unwrap();
    bench.put("there", "as it was");
    bench
        .run(storage.copy_if_absent(&bench.name("from"), &bench.name("a/to")))
        .unwrap();
    assert_eq!(bench.get("a/to"), b"content");
    if bench.keeps_metadata {
        let info = bench.run(storage.stat(&bench.name("a/to"))).unwrap();
        assert_eq!(info.metadata, metadata);
    }
    let error = bench.run(storage.copy_if_absent(&bench.name("from"), &bench.name("there")));
    assert_eq!(error.unwrap_err().kind(), StorageErrorKind::Exists);
    assert_eq!(bench.get("there"), b"as it was");
    let error = bench.run(storage.copy_if_absent(&bench.name("gone"), &bench.name("b")));
    assert_eq!(error.unwrap_err().kind(), StorageErrorKind::NotFound);
    // The copy stands for itself.
    bench.put("from", "changed");
    assert_eq!(bench.get("a/to"), b"content");
    bench.run(storage.delete(&bench.name("from"))).unwrap();
    assert_eq!(bench.get("a/to"), b"content");
}

pub fn names_that_are_none_are_refused(bench: &Bench) {
    let storage = &bench.storage;
    for name in ["../x", "a//b", "a/", "a\nb"] {
        let name = bench.name(name);
        let put = bench
            .run(storage.put(&name, Bytes::new(), &none()))
            .unwrap_err();
        let copy = bench
            .run(storage.copy_if_absent(&bench.name("x"), &name))
            .unwrap_err();
        let delete = bench.run(storage.delete(&name)).unwrap_err();
        for error in [put, copy, delete] {
            assert_eq!(error.kind(), StorageErrorKind::Invalid, "{error}");
        }
    }
}
