//! Lines of objects.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::write::GzEncoder;
use pipeline_core::prelude::*;
use pipeline_gcp::storage::{ObjectSource, Watch};

use super::Bench;

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range
        .map(|n| format!("number {n:06} {}", "x".repeat(n % 37)))
        .collect()
}

fn text(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

/// Runs a pipeline that keeps the lines; returns them sorted.
fn lines(source: ObjectSource, runner: &DirectRunner) -> Result<Vec<String>, Error> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let pipeline = Pipeline::build(|p| {
        p.read_lines("Read", source)
            .drop_dead_letters("counted")
            .check("Keep", move |all| *keep.lock().unwrap() = all);
    })?;
    runner.run(&pipeline)?;
    let kept = kept.lock().unwrap();
    let mut lines: Vec<String> = kept
        .iter()
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    lines.sort();
    Ok(lines)
}

pub fn lines_of_all_objects_are_read_once(bench: &Bench) {
    for n in 0..7 {
        bench.put(
            &format!("logs/2024/{n}.txt"),
            text(&numbers(n * 100..(n + 1) * 100)),
        );
    }
    bench.put("logs/2024/.pipeline/job/x.txt", "not published\n");
    bench.put("logs/other.csv", "not asked for\n");
    for workers in [1, 3] {
        let runner = DirectRunner::new().workers(workers);
        let all = lines(ObjectSource::new(bench.place("logs/**/*.txt")), &runner).unwrap();
        assert_eq!(all, numbers(0..700));
        let two = lines(
            ObjectSource::new(bench.place("logs/2024/[23].txt")),
            &runner,
        )
        .unwrap();
        assert_eq!(two, numbers(200..400));
        let one = lines(ObjectSource::new(bench.place("logs/2024/5.txt")), &runner).unwrap();
        assert_eq!(one, numbers(500..600));
    }
    let long = ObjectSource::new(bench.place("logs/2024/0.txt")).max_line_bytes(20);
    let pipeline = Pipeline::build(|p| {
        let read = p.read_lines("Read", long);
        read.ok.check("Short", |short| assert_eq!(short.len(), 21));
        let name = bench.storage.full_name(&bench.name("logs/2024/0.txt"));
        read.dead_letters.check("Long", move |long| {
            assert_eq!(long.len(), 79);
            assert!(
                long.iter().all(|bad| bad.reason().contains(&name)),
                "{:?}",
                long[0]
            );
        });
    });
    DirectRunner::new().run(&pipeline.unwrap()).unwrap();
}

pub fn packed_objects_are_read(bench: &Bench) {
    let expected = numbers(0..20_000);
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text(&expected).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    bench.put("p/a.gz", &gzip);
    bench.put("p/told-by-its-bytes", &gzip);
    let runner = DirectRunner::new().workers(2);
    for name in ["p/a.gz", "p/told-by-its-bytes"] {
        let source = ObjectSource::new(bench.place(name)).min_split_bytes(1000);
        assert!(lines(source, &runner).unwrap() == expected, "{name}");
    }
    bench.put("p/cut.gz", &gzip[..gzip.len() - 100]);
    let error = lines(ObjectSource::new(bench.place("p/cut.gz")), &runner)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("p/cut.gz: the gzip data ends too early"),
        "{error}"
    );
    bench.put("p/none.gz", "plain\n");
    let error = lines(ObjectSource::new(bench.place("p/none.gz")), &runner)
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is no gzip file"), "{error}");
    // `one two` 500 times, as the reference implementation packs it.
    let hex = "28b52ffd04587d0000406f6e652074776f0a0100959f5fb8fbf6c799";
    let pairs = hex
        .as_bytes()
        .chunks(2)
        .map(|two| std::str::from_utf8(two).unwrap());
    let zstd: Vec<u8> = pairs
        .map(|two| u8::from_str_radix(two, 16).unwrap())
        .collect();
    bench.put("p/z.zst", zstd);
    let read = lines(ObjectSource::new(bench.place("p/z.zst")), &runner);
    if cfg!(feature = "gcp") {
        assert_eq!(read.unwrap(), vec!["one two"; 500]);
    } else if let Err(error) = read {
        assert!(
            error.to_string().contains("build with the feature `zstd`"),
            "{error}"
        );
    }
}

pub fn large_objects_are_shared_out(bench: &Bench) {
    let expected = numbers(0..30_000);
    bench.put("large.txt", text(&expected));
    for (workers, min) in [(1, 1_000), (3, 1_000), (2, 300_000)] {
        let source = ObjectSource::new(bench.place("large.*")).min_split_bytes(min);
        let all = lines(source, &DirectRunner::new().workers(workers)).unwrap();
        assert!(all == expected, "{workers} {min}");
    }
}

pub fn what_is_replaced_while_it_is_read_is_an_error(bench: &Bench) {
    bench.put("a.txt", text(&numbers(0..100)));
    bench.put("b.txt", text(&numbers(100..200)));
    let (storage, name) = (Arc::clone(&bench.storage), bench.name("b.txt"));
    let handle = bench.runtime.handle().clone();
    let pipeline = Pipeline::build(|p| {
        let source = ObjectSource::new(bench.place("*.txt")).min_split_bytes(u64::MAX);
        let replaced = std::sync::Once::new();
        p.read_lines("Read", source)
            .drop_dead_letters("none")
            .map("Replace", move |line: bytes::Bytes| {
                // The other object is replaced when lines of the first have come.
                replaced.call_once(|| {
                    let (storage, name, handle) = (storage.clone(), name.clone(), handle.clone());
                    let put = move || {
                        let none = Default::default();
                        handle
                            .block_on(storage.put(&name, "x\n".into(), &none))
                            .unwrap();
                    };
                    std::thread::spawn(put).join().unwrap();
                });
                line
            })
            .check("None", |_| {});
    });
    // Bundles of ten: the first lines go through before the second object is opened.
    let runner = DirectRunner::new().workers(1).max_bundle(10);
    let error = runner.run(&pipeline.unwrap()).unwrap_err().to_string();
    assert!(error.contains("it was replaced"), "{error}");
    assert!(
        error.contains("b.txt") && error.contains("'Read/Read'"),
        "{error}"
    );
}

pub fn new_objects_are_read_as_they_come(bench: &Bench) {
    bench.put("w/0.txt", text(&numbers(0..10)));
    let watch = Watch::every(Duration::from_millis(20)).stop_when_idle(Duration::from_millis(1500));
    let source = ObjectSource::new(bench.place("w/*.txt")).watch(watch);
    let (storage, prefix) = (Arc::clone(&bench.storage), bench.name("w/"));
    let handle = bench.runtime.handle().clone();
    let writing = std::thread::spawn(move || {
        let put = |name: &str, lines: &[String]| {
            let bytes = text(lines).into_bytes().into();
            let name = format!("{prefix}{name}");
            handle
                .block_on(storage.put(&name, bytes, &Default::default()))
                .unwrap();
        };
        for n in 1..6 {
            std::thread::sleep(Duration::from_millis(60));
            put(&format!("{n}.txt"), &numbers(n * 10..(n + 1) * 10));
        }
        // Another generation is another object.
        std::thread::sleep(Duration::from_millis(100));
        put("0.txt", &numbers(60..70));
    });
    let all = lines(source, &DirectRunner::new().workers(2)).unwrap();
    writing.join().unwrap();
    assert_eq!(all, numbers(0..70));
    // One that is not there yet is waited for by its very name.
    let watch = Watch::every(Duration::from_millis(5)).stop_when_idle(Duration::from_millis(50));
    let source = ObjectSource::new(bench.place("w/never")).watch(watch);
    assert!(
        lines(source, &DirectRunner::new().workers(2))
            .unwrap()
            .is_empty()
    );
}

pub fn positions_go_on_anywhere(bench: &Bench) {
    let expected = numbers(0..3_000);
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, text(&expected[..1_000]).as_bytes()).unwrap();
    bench.put("r/a.gz", gzip.finish().unwrap());
    bench.put("r/b.txt", text(&expected[1_000..2_000]));
    bench.put("r/c.txt", text(&expected[2_000..]));
    for watched in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut lives = 0;
        loop {
            let pipeline = Pipeline::build(|p| {
                let mut source = ObjectSource::new(bench.place("r/*")).min_split_bytes(9_000);
                if watched {
                    let watch = Watch::every(Duration::from_millis(10));
                    source = source.watch(watch.stop_when_idle(Duration::from_millis(200)));
                }
                p.read_lines("Read", source)
                    .drop_dead_letters("none")
                    .write("Write", TextSink::lines(&out).without_sharding());
            });
            let snapshots = Snapshots::open(folder.path().join("snapshots")).unwrap();
            let count = std::sync::atomic::AtomicU32::new(0);
            let runner = DirectRunner::new()
                .workers(2)
                .max_bundle(100)
                .snapshots(&snapshots.interval(Duration::from_millis(1)))
                .at_moments(move |moment| {
                    use pipeline_core::runners::direct::Moment;
                    let counted = moment == Moment::Durable
                        && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
                    match counted && lives < 20 {
                        true => Err(Error::connector("crash")),
                        false => Ok(()),
                    }
                });
            lives += 1;
            match runner.run(&pipeline.unwrap()) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("crash"), "{error}"),
            }
        }
        assert!(lives > 3, "{lives}");
        let text = std::fs::read_to_string(&out).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort();
        assert!(lines == expected, "{watched}: {} lines", lines.len());
    }
}

pub fn what_is_not_there_is_an_error(bench: &Bench) {
    bench.put("folder/a.txt", "a\n");
    let runner = DirectRunner::new().workers(1);
    for (pattern, why) in [
        ("folder/*.json", "no object has such a name"),
        ("folder/b.txt", "cannot look at"),
        ("folder/", "it is a folder"),
        ("folder/[", "cannot read"),
    ] {
        let error = lines(ObjectSource::new(bench.place(pattern)), &runner)
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{pattern}: {error}");
        assert!(
            error.contains(&bench.storage.full_name(&bench.name(pattern))),
            "{pattern}: {error}"
        );
    }
}

#[derive(Clone, Debug, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
struct City {
    name: String,
    orders: Option<u64>,
}

pub fn tables_are_read(bench: &Bench) {
    let city = |name: &str, orders| City {
        name: name.to_owned(),
        orders,
    };
    let mut expected = vec![
        city("Izmir,\r\nTR", Some(3)),
        city("\"B\"", None),
        city("Oslo", Some(1)),
    ];
    // Enough to be several chunks, and records over their ends.
    expected.extend((0..20_000).map(|n| city(&format!("a\nb {n:06}"), Some(n))));
    bench.put(
        "t/1.csv",
        "name,orders\r\n\"Izmir,\r\nTR\",3\r\n\"\"\"B\"\"\",\r\n",
    );
    bench.put(
        "t/2.csv",
        "\u{feff}orders,more,name\n1,x,Oslo\nno,x,\"number\nhere\"\n",
    );
    let rows: String = (0..20_000)
        .map(|n| format!("\"a\nb {n:06}\",{n}\n"))
        .collect();
    bench.put("t/3.csv", format!("name,orders\n{rows}"));
    expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let expected = Arc::new(expected);
    for workers in [1, 3] {
        let expected = Arc::clone(&expected);
        let pipeline = Pipeline::build(|p| {
            let source = ObjectSource::new(bench.place("t/*.csv")).min_split_bytes(100);
            let cities = p.read_csv::<City>("Read", source.csv());
            cities.ok.check("All", move |mut cities| {
                cities.sort_by(|a, b| a.partial_cmp(b).unwrap());
                assert!(cities == *expected, "{} cities", cities.len());
            });
            cities.dead_letters.check("Bad", |bad| {
                assert_eq!(bad.len(), 1);
                assert_eq!(bad[0].original, "no,x,\"number\nhere\"");
            });
        });
        DirectRunner::new()
            .workers(workers)
            .run(&pipeline.unwrap())
            .unwrap();
    }
}
