//! Names inputs, finds them by pattern, opens them.

use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{
    Compression, FileError, FileRange, LineOptions, LineReader, Packing,
    compression::{Decompressed, read_head},
};

/// Names something to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// The standard input of the process, written `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// Returns the length in bytes; 0 of what has none, as a pipe.
    pub(crate) fn length(&self) -> Result<u64, FileError> {
        match self {
            Input::Stdin => Ok(0),
            Input::File(path) => Ok(metadata(path)?.len()),
        }
    }

    /// Returns the length, and a number that follows from it and from when the input was modified last.
    pub(crate) fn look(&self) -> Result<(u64, u32), FileError> {
        let Input::File(path) = self else {
            return Ok((0, 0));
        };
        let metadata = metadata(path)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&metadata.len().to_le_bytes());
        let modified = metadata.modified().ok();
        if let Some(since) = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            hasher.update(&since.as_nanos().to_le_bytes());
        }
        Ok((metadata.len(), hasher.finalize()))
    }

    /// Returns the checksum of the bytes before `at`, so many at most; `None` if they cannot be read.
    pub(crate) fn checksum_before(&self, at: u64, most: u64) -> Option<u32> {
        let Input::File(path) = self else {
            return None;
        };
        let mut file = File::open(path).ok()?;
        let length = at.min(most);
        file.seek(SeekFrom::Start(at - length)).ok()?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact(&mut bytes).ok()?;
        Some(crc32fast::hash(&bytes))
    }

    /// Tells whether a read may wait for somebody who writes: it is no regular file.
    pub(crate) fn may_block(&self) -> Result<bool, FileError> {
        match self {
            Input::Stdin => Ok(true),
            Input::File(path) => Ok(!metadata(path)?.is_file()),
        }
    }
}

fn metadata(path: &Path) -> Result<Metadata, FileError> {
    path.metadata().map_err(|e| FileError::new("read", path, e))
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Stdin => f.write_str("-"),
            Input::File(path) => path.display().fmt(f),
        }
    }
}

/// Finds the inputs that a pattern names, sorted by path.
///
/// `-` is standard input, an existing path is itself, and anything else may hold `*`, `?`, `[…]` and `**` as the crate
/// `glob` reads them. Folders are passed over.
///
/// # Errors
/// When no file is there, with the pattern's name; when the pattern or a folder cannot be read.
pub fn expand(pattern: &str) -> Result<Vec<Input>, FileError> {
    let path = Path::new(pattern);
    if pattern == "-" {
        return Ok(vec![Input::Stdin]);
    }
    let is_pattern = pattern.contains(['*', '?', '[']);
    if path.exists() || !is_pattern {
        if metadata(path)?.is_dir() {
            let why = "it is a folder; name its files, for example with a pattern that ends in /*";
            return Err(FileError::because(
                "read",
                path,
                io::ErrorKind::IsADirectory,
                why,
            ));
        }
        return Ok(vec![Input::File(path.into())]);
    }
    let paths = glob::glob(pattern).map_err(|e| {
        FileError::because("read", path, io::ErrorKind::InvalidInput, e.to_string())
    })?;
    let mut inputs = Vec::new();
    for found in paths {
        let found = found.map_err(|e| {
            let place = e.path().to_path_buf();
            FileError::new("read", &place, e.into())
        })?;
        if !found.is_dir() {
            inputs.push(Input::File(found));
        }
    }
    if inputs.is_empty() {
        let why = "no file has such a name; check the pattern and the folder it is in";
        return Err(FileError::because(
            "read",
            path,
            io::ErrorKind::NotFound,
            why,
        ));
    }
    inputs.sort();
    Ok(inputs)
}

/// Splits an input into at most `parts` ranges of at least `min_bytes` bytes each.
///
/// What is compressed, or is no regular file, is one range.
///
/// # Errors
/// When the file cannot be read.
pub fn ranges(
    input: &Input,
    compression: Compression,
    parts: u64,
    min_bytes: u64,
) -> Result<Vec<FileRange>, FileError> {
    let Input::File(path) = input else {
        return Ok(vec![FileRange::ALL]);
    };
    let failed = |e| FileError::new("read", path, e);
    let metadata = metadata(path)?;
    if !metadata.is_file() {
        return Ok(vec![FileRange::ALL]);
    }
    let head = read_head(&mut open_file(path)?).map_err(failed)?;
    if compression.packing(path, &head)? != Packing::Plain {
        return Ok(vec![FileRange::ALL]);
    }
    Ok(FileRange::split(metadata.len(), parts, min_bytes))
}

/// Tells whether a regular file is to be decompressed.
///
/// # Errors
/// When the file cannot be read, or is not what it should be.
pub(crate) fn is_packed(input: &Input, compression: Compression) -> Result<bool, FileError> {
    let Input::File(path) = input else {
        return Ok(false);
    };
    let head = read_head(&mut open_file(path)?).map_err(|e| FileError::new("read", path, e))?;
    Ok(compression.packing(path, &head)? != Packing::Plain)
}

/// Opens a range of an input for reading lines, decompressed.
///
/// Standard input and pipes may block in reads: give their reader to [`BackgroundLines`](super::BackgroundLines).
///
/// # Errors
/// When the file cannot be opened, or a part is asked of something that [`ranges`] would not split. How it is compressed is
/// seen at the first read; that error names the file too.
pub fn open_lines(
    input: &Input,
    compression: Compression,
    range: FileRange,
    options: LineOptions,
) -> Result<LineReader<Box<dyn Read + Send>>, FileError> {
    let Input::File(path) = input else {
        let stdin = Decompressed::new(io::stdin(), Path::new("-"), compression);
        let lines = whole(Path::new("-"), range, options, Box::new(stdin))?;
        return Ok(lines.of("standard input"));
    };
    if input.may_block()? {
        let pipe = Pipe {
            path: path.clone(),
            file: None,
        };
        let reader = Decompressed::new(pipe, path, compression);
        return whole(path, range, options, Box::new(reader));
    }
    let mut file = open_file(path)?;
    if range == FileRange::ALL {
        let reader = Decompressed::new(file, path, compression);
        return whole(path, range, options, Box::new(reader));
    }
    let failed = |e| FileError::new("read", path, e);
    let head = read_head(&mut file).map_err(failed)?;
    if compression.packing(path, &head)? != Packing::Plain {
        return Err(no_part(path));
    }
    file.seek(SeekFrom::Start(range.first_byte_read()))
        .map_err(failed)?;
    let reader = Decompressed::new(file, path, Compression::Uncompressed);
    let reader: Box<dyn Read + Send> = Box::new(reader);
    Ok(LineReader::at(reader, range, options).of(path.display().to_string()))
}

fn whole(
    path: &Path,
    range: FileRange,
    options: LineOptions,
    reader: Box<dyn Read + Send>,
) -> Result<LineReader<Box<dyn Read + Send>>, FileError> {
    if range == FileRange::ALL {
        Ok(LineReader::new(reader, options).of(path.display().to_string()))
    } else {
        Err(no_part(path))
    }
}

fn no_part(path: &Path) -> FileError {
    let why = "compressed files and standard input can only be read as a whole";
    FileError::because("read a part of", path, io::ErrorKind::InvalidInput, why)
}

/// A file that is opened when it is first read: to open a pipe can take as long as to read it.
struct Pipe {
    path: PathBuf,
    file: Option<File>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open_file(&self.path)?,
        };
        self.file.insert(file).read(buffer)
    }
}

fn open_file(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|e| FileError::new("read", path, e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, io::Write};

    use super::*;
    use crate::files::{AtomicFile, scratch::Scratch};

    #[test]
    fn patterns_name_files_in_order() {
        let folder = Scratch::new("patterns");
        for name in ["b.txt", "a.txt", "c.csv", "[x].txt"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("d.txt")).unwrap();
        let found = |pattern: &str| -> Result<Vec<String>, String> {
            let inputs = expand(&format!("{}/{pattern}", folder.path().display()));
            let inputs = inputs.map_err(|e| e.to_string())?;
            Ok(inputs
                .iter()
                .map(|i| i.to_string().rsplit('/').next().unwrap().to_string())
                .collect())
        };
        assert_eq!(found("?.txt").unwrap(), ["a.txt", "b.txt"]);
        assert_eq!(found("a.*").unwrap(), ["a.txt"]);
        assert_eq!(
            found("[x].txt").unwrap(),
            ["[x].txt"],
            "an existing name is no pattern"
        );
        assert_eq!(found("[bc].*").unwrap(), ["b.txt", "c.csv"]);
        assert_eq!(expand("-").unwrap(), [Input::Stdin]);

        let error = found("*.json").unwrap_err();
        assert!(
            error.contains("/*.json: no file has such a name"),
            "{error}"
        );
        let error = found("gone.txt").unwrap_err();
        assert!(
            error.starts_with("cannot read ") && error.contains("/gone.txt: No such file"),
            "{error}"
        );
        assert!(
            error.ends_with("; check the spelling and the folder it is in"),
            "{error}"
        );
        assert!(found("d.txt").unwrap_err().contains("it is a folder"));
        assert!(found("[").unwrap_err().contains("/[: "));
    }

    #[test]
    fn ranges_of_a_file_share_its_lines_out_and_gzip_is_one_range() {
        let folder = Scratch::new("ranges");
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let plain = folder.path().join("t.txt");
        fs::write(&plain, &text).unwrap();
        let packed = folder.path().join("t.gz");
        let mut file = AtomicFile::create(&packed, Compression::Auto).unwrap();
        file.write(text.as_bytes()).unwrap();
        file.commit().unwrap();

        let read = |input: &Input, range| {
            let mut reader =
                open_lines(input, Compression::Auto, range, LineOptions::default()).unwrap();
            let mut lines = Vec::new();
            while reader.next_batch(64, &mut lines).unwrap() > 0 {}
            lines
                .into_iter()
                .map(|l| String::from_utf8(l.bytes.to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        let expected: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        for (path, parts) in [(plain, 7), (packed.clone(), 1)] {
            let input = Input::File(path);
            let ranges = ranges(&input, Compression::Auto, 7, 10).unwrap();
            assert_eq!(ranges.len(), parts);
            let all: Vec<String> = ranges.iter().flat_map(|r| read(&input, *r)).collect();
            assert_eq!(all, expected);
        }
        let part = FileRange { start: 5, end: 9 };
        for input in [Input::File(packed), Input::Stdin] {
            let error = open_lines(&input, Compression::Auto, part, LineOptions::default());
            assert!(
                error
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("only be read as a whole")
            );
        }
        assert_eq!(
            ranges(&Input::Stdin, Compression::Auto, 7, 10).unwrap(),
            [FileRange::ALL]
        );
    }

    #[test]
    fn a_wrong_name_is_named_when_it_is_read() {
        let folder = Scratch::new("wrong");
        let path = folder.path().join("plain.gz");
        fs::File::create(&path).unwrap().write_all(b"text").unwrap();
        let input = Input::File(path);
        assert!(ranges(&input, Compression::Auto, 2, 1).is_err());
        let mut reader = open_lines(
            &input,
            Compression::Auto,
            FileRange::ALL,
            LineOptions::default(),
        )
        .unwrap();
        let error = reader
            .next_batch(1, &mut Vec::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("plain.gz: it is no gzip file"), "{error}");
    }
}
