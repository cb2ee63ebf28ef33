//! Shares files out among workers.

use crate::error::Result;
use crate::files::{Compression, FileRange, Input, ranges};

/// What it costs to open a file, in bytes that could be read meanwhile.
const BYTES_PER_FILE: u64 = 16 * 1024;

/// A part of a [`Text`](super::Text): ranges of files, to be read one after the other.
#[derive(Debug)]
pub struct TextSplit {
    pub(super) shares: Vec<Share>,
    /// A number that follows from the names, lengths and times of all files of the source.
    pub(super) files: u32,
}

/// A range of an input.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) input: Input,
    pub(super) range: FileRange,
    /// A number that follows from the length and the time of the file.
    pub(super) stamp: u32,
}

/// Makes about `desired` splits of about the same size: large files are divided, small ones put
/// together.
pub(super) fn plan(
    inputs: Vec<Input>,
    compression: Compression,
    desired: usize,
    min_bytes: u64,
) -> Result<Vec<TextSplit>> {
    let mut sized = Vec::with_capacity(inputs.len());
    let mut files = crc32fast::Hasher::new();
    for input in inputs {
        let (length, stamp) = input.look()?;
        files.update(input.to_string().as_bytes());
        files.update(&stamp.to_le_bytes());
        sized.push((input, length, stamp));
    }
    let files = files.finalize();
    let of = |shares| TextSplit { shares, files };
    let total: u64 = sized.iter().map(|(_, length, _)| cost(*length)).sum();
    let target = total.div_ceil(desired.max(1) as u64).max(min_bytes).max(1);
    let mut splits = Vec::new();
    let (mut split, mut split_cost) = (Vec::new(), 0);
    for (input, length, stamp) in sized {
        let parts = match length.div_ceil(target) {
            0 | 1 => vec![FileRange::ALL],
            parts => ranges(&input, compression, parts, min_bytes)?,
        };
        let part_cost = cost(length / parts.len() as u64);
        for range in parts {
            if !split.is_empty() && split_cost + part_cost > target {
                splits.push(of(std::mem::take(&mut split)));
                split_cost = 0;
            }
            let input = input.clone();
            split.push(Share {
                input,
                range,
                stamp,
            });
            split_cost += part_cost;
        }
    }
    splits.extend((!split.is_empty()).then(|| of(split)));
    Ok(splits)
}

fn cost(length: u64) -> u64 {
    length.max(BYTES_PER_FILE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::{expand, scratch::Scratch};

    /// Returns, for each split, the number of its shares, of files of these lengths.
    fn shares(name: &str, lengths: &[usize], desired: usize, min_bytes: u64) -> Vec<usize> {
        let folder = Scratch::new(name);
        for (n, length) in lengths.iter().enumerate() {
            fs::write(folder.path().join(format!("{n:04}")), vec![b'x'; *length]).unwrap();
        }
        let inputs = expand(&format!("{}/*", folder.path().display())).unwrap();
        let splits = plan(inputs, Compression::Auto, desired, min_bytes).unwrap();
        splits.iter().map(|split| split.shares.len()).collect()
    }

    #[test]
    fn a_large_file_is_divided_as_desired() {
        assert_eq!(shares("plan-large", &[1_000_000], 8, 1), [1; 8]);
        assert_eq!(shares("plan-some", &[1_000_000], 8, 400_000), [1; 2]);
        assert_eq!(shares("plan-one", &[1_000_000], 1, 1), [1]);
    }

    #[test]
    fn small_files_are_put_together() {
        assert_eq!(shares("plan-small", &[10; 1000], 8, 1), [125; 8]);
        assert_eq!(shares("plan-few", &[10, 0, 20], 8, 1 << 20), [3]);
        let mixed = shares("plan-mixed", &[400_000, 10, 10, 400_000], 2, 1);
        assert_eq!(mixed.iter().sum::<usize>(), 4);
        assert!(mixed.len() <= 3, "{mixed:?}");
    }

    #[test]
    fn standard_input_is_one_split() {
        let splits = plan(vec![Input::Stdin], Compression::Auto, 8, 1).unwrap();
        assert_eq!(splits.len(), 1);
        assert_eq!(splits[0].shares[0].range, FileRange::ALL);
    }
}
