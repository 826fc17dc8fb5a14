//! JSON objects written member by member, for lines whose order of members and raw values matter.

use std::fmt;
use std::io::Write;

/// A JSON object that is being written. Values that are JSON already are copied unchanged.
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// An object that has at least one member already and is not closed.
    pub(crate) const fn continued(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b',' }
    }

    /// Writes a member; `write` appends its value as JSON.
    pub(crate) fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.member(name, |out| write_string(out, value));
    }

    pub(crate) fn number(&mut self, name: &str, value: impl fmt::Display) {
        // A write into memory can't fail.
        self.member(name, |out| drop(write!(out, "{value}")));
    }

    /// Closes the object.
    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Appends a value that serde writes.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    let start = out.len();
    // A write into memory can't fail. If it did, a null would keep the object whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    // A write into memory can't fail. If it did, an empty string would keep the line whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}
