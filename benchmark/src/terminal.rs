//! What a command prints: its own messages on standard error, its result on standard output.

use std::io::Write as _;

/// Prints a line on standard error.
#[expect(clippy::print_stderr, reason = "a command's own messages")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Prints text on standard output. An error is ignored: the reader has closed its end.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
