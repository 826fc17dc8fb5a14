//! `work-factory key new`: makes a key to the API.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use service_runtime::{Key, Keys, Scope};

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, and show it this once: only the hash of the key is kept
    New {
        /// The key's name, such as its holder: letters, digits, dots, underscores, hyphens
        name: String,
        /// What the key allows: post, read, manage; several with commas
        #[arg(long = "scope", value_name = "SCOPES", value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// The file to add the key to, made where it does not exist; without, the line is shown
        #[arg(long, value_name = "PATH", env = "API_KEYS_FILE")]
        file: Option<PathBuf>,
    },
}

/// Makes a key. The key alone goes to standard output; advice goes to standard error.
pub(crate) fn run(command: KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::New { name, scopes, file } = command;
    let (secret, key) = Key::new(&name, scopes).map_err(anyhow::Error::msg)?;
    let advice = match &file {
        Some(path) => {
            add(path, &key)
                .with_context(|| format!("failed to add the key to {}", path.display()))?;
            format!(
                "Its line was added to {}; an API that reads it knows the key within a second.",
                path.display()
            )
        }
        None => format!("Add this line to the file that API_KEYS_FILE names:\n{}", key.line()),
    };
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "The key follows, and is shown this once. {advice}");
    std::io::stdout()
        .lock()
        .write_all(format!("{}\n", secret.reveal()).as_bytes())
        .context("failed to show the key")
}

/// Adds the key's line to the file in one write, so that a reader sees the whole line or nothing of
/// it.
fn add(path: &Path, key: &Key) -> anyhow::Result<()> {
    let there = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    if Keys::parse(&there).map_err(anyhow::Error::msg)?.has(&key.name) {
        bail!("there is a key named {} already: take another name, or delete its line", key.name);
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let begin = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    options.open(path)?.write_all(format!("{begin}{}\n", key.line()).as_bytes())?;
    Ok(())
}
