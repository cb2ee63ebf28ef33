//! The table that is printed at the end. A row on two threads is compared with the loop by hand on
//! two, where there is one; all others with the first row.

use std::fmt::Write;

use crate::measure::{Row, Sample};

type Lines<'a> = [(&'a Row, Vec<Sample>)];

/// Draws the table of one group.
pub fn render(title: &str, lines: &Lines<'_>) -> String {
    let mut text = String::new();
    let Some((_, first)) = lines.first() else {
        return text;
    };
    let cpu_of = |samples: &[Sample]| median(samples, |s| s.cpu_micros);
    let on_two = |row: &Row| row.name.ends_with("2 threads") || row.name.ends_with("2 workers");
    let pair = lines
        .iter()
        .find(|(row, _)| row.name.ends_with("2 threads"));
    let pair = pair.map_or(first, |(_, samples)| samples);
    let width = lines.iter().map(|(row, _)| row.name.len()).max();
    let width = width.unwrap_or(0);
    let _ = writeln!(
        text,
        "\n{title}\n{:<width$} {:>8} {:>8} {:>8} {:>12} {:>9}",
        "", "CPU s", "ratio", "wall s", "ns/element", "peak MiB"
    );
    for (row, samples) in lines {
        let cpu = cpu_of(samples);
        let base = cpu_of(if on_two(row) { pair } else { first });
        let _ = writeln!(
            text,
            "{:<width$} {:>8.3} {:>8.2} {:>8.3} {:>12.1} {:>9.1}",
            row.name,
            cpu / 1e6,
            cpu / base,
            median(samples, |s| s.wall_micros) / 1e6,
            cpu * 1e3 / median(samples, |s| s.elements).max(1.0),
            median(samples, |s| s.peak_kib) / 1024.0,
        );
    }
    text
}

/// Tells of results that are not those of the group's first row.
pub fn differences(lines: &Lines<'_>) -> Vec<String> {
    let Some((first, expected)) = lines.first().map(|(row, samples)| (row, samples[0])) else {
        return Vec::new();
    };
    let wrong = lines.iter().filter(|(_, samples)| {
        samples
            .iter()
            .any(|s| (s.digest, s.elements) != (expected.digest, expected.elements))
    });
    wrong
        .map(|(row, _)| {
            format!(
                "the result of '{}' differs from that of '{}'",
                row.name, first.name
            )
        })
        .collect()
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> f64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle] as f64
    } else {
        (values[middle - 1] + values[middle]) as f64 / 2.0
    }
}
