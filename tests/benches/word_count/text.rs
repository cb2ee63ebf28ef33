//! The text: words by a Zipf-like law, in lines of about 80 bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use oorandom::Rand64;

const VOCABULARY: usize = 100_000;

/// Writes about `bytes` bytes, always the same ones.
pub fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut random = Rand64::new(20_240_201);
    let vocabulary: Vec<String> = (0..VOCABULARY).map(|_| word(&mut random)).collect();
    // The word of rank n comes up in proportion to 1 / (n + 2.7), as Mandelbrot has it.
    let mut below = Vec::with_capacity(VOCABULARY);
    let mut sum = 0.0;
    for rank in 0..VOCABULARY {
        sum += 1.0 / (rank as f64 + 2.7);
        below.push(sum);
    }
    let unfinished = path.with_extension("unfinished");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let (mut written, mut line) = (0, String::new());
    while written < bytes {
        line.clear();
        while line.len() < 78 {
            let at = random.rand_float() * sum;
            let rank = below.partition_point(|b| *b <= at).min(VOCABULARY - 1);
            let begins = line.is_empty() || line.ends_with(". ");
            line.push_str(&vocabulary[rank]);
            if begins {
                line[..1].make_ascii_uppercase();
            }
            line.push_str(match random.rand_range(0..12) {
                0 => ", ",
                1 => ". ",
                _ => " ",
            });
        }
        let line = line.trim_end();
        writeln!(out, "{line}")?;
        written += line.len() as u64 + 1;
    }
    out.into_inner().map_err(|e| e.into_error())?;
    std::fs::rename(unfinished, path)
}

/// Makes a word of 1 to 12 letters, most of them short.
fn word(random: &mut Rand64) -> String {
    let length = 1 + random.rand_range(0..7) + random.rand_range(0..6);
    let letter = |_| char::from(b'a' + random.rand_range(0..26) as u8);
    (0..length).map(letter).collect()
}
