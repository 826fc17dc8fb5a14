//! A small file that is replaced as a whole: one line of JSON, which a person can read, and one
//! with its checksum.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{Disk, DiskFile};

/// A longer document is none.
const BYTES_MAX: u64 = 64 << 20;

/// The reason why a document can't be read.
#[derive(Debug)]
pub enum Unreadable {
    /// There is no such file.
    Missing,
    /// It is not what was written.
    Bad,
    /// It has another format.
    Format(u32),
    /// The system can't read it.
    Io(io::Error),
}

/// Reads a document of this format. Its member `format` says which it has.
///
/// # Errors
/// See [`Unreadable`].
pub fn read<T: DeserializeOwned, D: Disk>(
    disk: &D,
    name: &str,
    expected: u32,
) -> Result<T, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let file = disk.open(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::Io(error),
    })?;
    let length = file.length().map_err(Unreadable::Io)?;
    if length > BYTES_MAX {
        return Err(Unreadable::Bad);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_at(0, &mut bytes).map_err(Unreadable::Io)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable::Bad)?;
    let (json, checksum) = text.split_once('\n').ok_or(Unreadable::Bad)?;
    if checksum != checksum_line(json) {
        return Err(Unreadable::Bad);
    }
    let Version { format } = serde_json::from_str(json).map_err(|_| Unreadable::Bad)?;
    if format != expected {
        return Err(Unreadable::Format(format));
    }
    serde_json::from_str(json).map_err(|_| Unreadable::Bad)
}

/// Replaces a document, or makes it; durable on return.
///
/// # Errors
/// Where the system can't. Either the old or the new one is there then.
pub fn write<T: Serialize, D: Disk>(disk: &D, name: &str, document: &T) -> io::Result<()> {
    let new = format!("{name}.new");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let json = serde_json::to_string(document).map_err(io::Error::other)?;
    let file = disk.create(&new)?;
    file.write_at(0, format!("{json}\n{}", checksum_line(&json)).as_bytes())?;
    file.sync()?;
    disk.rename(&new, name)?;
    disk.sync_names()
}

fn checksum_line(json: &str) -> String {
    format!("{:016x}\n", xxh3_64(json.as_bytes()))
}
