//! Generated conversations as an input to read.

use std::io::Read;

use super::generate::Generator;

/// Gives the lines of a [`Generator`], without a newline behind the last.
pub struct Generated {
    lines: Generator,
    line: Vec<u8>,
    read: usize,
    first: bool,
}

impl Generated {
    /// Generates `conversations` conversations from `seed`.
    pub fn new(seed: u64, conversations: u32) -> Self {
        Generated {
            lines: Generator::new(seed, conversations),
            line: Vec::new(),
            read: 0,
            first: true,
        }
    }
}

impl Read for Generated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.read == self.line.len() {
                let Some(line) = self.lines.next() else {
                    break;
                };
                self.line.clear();
                self.read = 0;
                if !self.first {
                    self.line.push(b'\n');
                }
                self.first = false;
                self.line.extend_from_slice(line.as_bytes());
            }
            let size = (self.line.len() - self.read).min(buffer.len() - filled);
            let from = &self.line[self.read..self.read + size];
            buffer[filled..filled + size].copy_from_slice(from);
            self.read += size;
            filled += size;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_generators_lines() {
        let mut text = String::new();
        let input = &mut Generated::new(3, 5);
        input.read_to_string(&mut text).unwrap();
        let lines: Vec<String> = Generator::new(3, 5).collect();
        assert_eq!(text, lines.join("\n"));
    }
}
