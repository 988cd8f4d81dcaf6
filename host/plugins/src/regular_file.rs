//! Reading files that somebody else may have put there: what is no regular file is not waited for, and what is large is not read whole.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// What a regular file has, if that is no more than so many bytes.
///
/// What is opened is looked at, not what the name led to before: a pipe would wait for ever, and a device has no end.
pub fn read_regular(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, metadata) = open_regular(path)?;
    bounded(file, metadata.len(), most)
}

/// The same as text.
pub fn read_regular_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read_regular(path, most)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "its text is not UTF-8"))
}

/// Why a file couldn't be read, in words that have no number of the system's.
pub fn why_unread(error: &Error) -> String {
    match error.get_ref() {
        Some(own) => own.to_string(),
        None => error.kind().to_string(),
    }
}

/// A regular file, open to be read.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata)> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata))
}

/// Refuses what is no regular file.
pub(crate) fn check_regular(metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () if kind.is_symlink() => "a link",
        () => "a socket",
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what}, and a file was wanted"),
    ))
}

/// What is left of a file, if that is no more than so many bytes: it may grow while it is read.
pub(crate) fn bounded(file: File, length: u64, most: u64) -> Result<Vec<u8>> {
    let too_large = |bytes: String| {
        let message = format!("it has {bytes} bytes, the limit is {most}");
        Err(Error::new(ErrorKind::FileTooLarge, message))
    };
    if length > most {
        return too_large(length.to_string());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return too_large("more".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_of_a_bounded_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        std::fs::write(path("bytes"), [0xff]).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let check = |name: &str, most: u64, expected: std::result::Result<&str, &str>| {
            let found = read_regular_text(&path(name), most).map_err(|error| why_unread(&error));
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{name} {most}");
        };
        check("file", 5, Ok("12345"));
        check("link", 5, Ok("12345"));
        check("file", 4, Err("it has 5 bytes, the limit is 4"));
        check("pipe", 5, Err("it is a pipe, and a file was wanted"));
        check("zero", 5, Err("it is a device, and a file was wanted"));
        check(".", 5, Err("it is a directory, and a file was wanted"));
        check("bytes", 5, Err("its text is not UTF-8"));
        check("nothing", 5, Err("entity not found"));
    }

    /// `/proc` tells no length.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_says_is_not_read_whole() {
        let error = read_regular(Path::new("/proc/self/status"), 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
