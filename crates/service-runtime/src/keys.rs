//! Keys to the API, with the scopes that each key allows. A file has a line for each key; of the
//! key itself only the SHA-256 is kept.
//!
//! A key is 256 random bits, so that a plain hash is enough: nobody can guess the bits, and a slow
//! hash would only let strangers keep the API busy.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// The beginning of every key, by which people and scanners of leaked secrets recognise a key.
const MARK: &str = "wf_";
/// Random bytes of a key, behind its beginning.
const RANDOM: usize = 32;
/// The beginning of a hash in a file of keys.
const HASH: &str = "sha256:";
/// Characters of a key's name at the most.
const NAME_MAX: usize = 64;

/// A part of the API that a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Posting jobs.
    Post,
    /// Reading figures.
    Read,
    /// Managing queues and sets.
    Manage,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Post, Self::Read, Self::Manage];

    /// The scope's word in a file of keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| "post, read or manage".into())
    }
}

/// The hash of a key, which tells keys apart and opens nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash of a key]")
    }
}

/// A key's name, its scopes and its hash; the key itself is nowhere kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name, mostly that of the key's holder.
    pub name: String,
    /// The parts of the API that the key allows.
    pub scopes: BTreeSet<Scope>,
    hash: [u8; 32],
}

impl Key {
    /// A new key of this name: the secret, which is nowhere kept, and the key's entry.
    ///
    /// # Errors
    /// Where the name is not 1 to 64 letters, digits, `.`, `_` or `-`, there is no scope, or the
    /// system has no random numbers.
    pub fn new(
        name: &str,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(Secret, Self), String> {
        check_name(name)?;
        let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
        if scopes.is_empty() {
            return Err("a key needs a scope: post, read or manage".into());
        }
        let mut random = [0; RANDOM];
        rand::rngs::OsRng
            .try_fill_bytes(&mut random)
            .map_err(|error| format!("the system gives no random numbers: {error}"))?;
        let secret = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = Sha256::digest(&secret).into();
        Ok((Secret::new(secret), Self { name: name.into(), scopes, hash }))
    }

    /// The key's hash.
    #[must_use]
    pub const fn hash(&self) -> KeyHash {
        KeyHash(self.hash)
    }

    /// The key's line in a file of keys.
    #[must_use]
    pub fn line(&self) -> String {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} {HASH}{hash}", self.name, scopes.join(","))
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let accepted =
            || "a line is: NAME SCOPES sha256:HASH, as `work-factory key new` writes it".to_owned();
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [name, scopes, hash] = parts.as_slice() else { return Err(accepted()) };
        check_name(name)?;
        let scopes = scopes
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|known| format!("a scope is {known}"))?;
        let hash = hash.strip_prefix(HASH).and_then(unhex).ok_or_else(accepted)?;
        Ok(Self { name: (*name).into(), scopes, hash })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(format!(
            "a key's name is 1 to {NAME_MAX} letters, digits, dots, underscores or hyphens"
        ))
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The keys of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads a file's text: a key on each line, except empty lines and lines that begin with `#`.
    ///
    /// # Errors
    /// With the number of the first line that is no key, and what is accepted; never with the line,
    /// which may be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()))
        {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key: Key = line.parse().map_err(|detail| format!("line {number}: {detail}"))?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(format!("line {number}: a key of this name stands above"));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The entry of a key that a client presents, if there is one. A wrong key takes as long as a
    /// right one.
    #[must_use]
    pub fn find(&self, presented: &str) -> Option<&Key> {
        self.of_hash(KeyHash(Sha256::digest(presented).into()))
    }

    /// The entry of a key that was found before, if it is still among these keys.
    #[must_use]
    pub fn of_hash(&self, hash: KeyHash) -> Option<&Key> {
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.hash.ct_eq(&hash.0)) {
                found = Some(key);
            }
        }
        found
    }

    /// The number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where there is a key of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|key| key.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_found_by_its_secret_and_by_nothing_else() {
        let (secret, key) = Key::new("ci", [Scope::Read, Scope::Post]).unwrap();
        let (other, _) = Key::new("ci", [Scope::Post]).unwrap();
        let line = key.line();
        assert!(
            line.starts_with("ci post,read sha256:") && !line.contains(secret.reveal()),
            "{line}"
        );
        let keys = Keys::parse(&format!("# ours\n\n  {line}\n")).unwrap();
        assert_eq!(keys.find(secret.reveal()), Some(&key));
        assert_eq!(keys.of_hash(key.hash()), Some(&key));
        assert_eq!(Keys::default().of_hash(key.hash()), None);
        assert!(secret.reveal().starts_with("wf_") && secret.reveal().len() == 46);
        for wrong in [other.reveal(), "", "wf_", line.as_str(), "ci"] {
            assert_eq!(keys.find(wrong), None);
        }
    }

    #[test]
    fn a_fault_names_the_number_of_its_line_and_does_not_repeat_the_line() {
        let good = Key::new("a", [Scope::Post]).unwrap().1.line();
        let hash = good.split(' ').next_back().unwrap();
        for (line, says) in [
            ("wf_secret".to_owned(), "NAME SCOPES"),
            (format!("b post,fly {hash}"), "post, read or manage"),
            (format!("b/c post {hash}"), "a key's name"),
            ("b post sha256:wf_secret".to_owned(), "sha256:HASH"),
            (good.clone(), "of this name"),
        ] {
            let error = Keys::parse(&format!("{good}\n{line}\n")).unwrap_err();
            assert!(
                error.starts_with("line 2: ") && error.contains(says) && !error.contains("secret"),
                "{error}"
            );
        }
        assert!(Keys::parse("# none\n").unwrap().is_empty());
        assert!(Key::new("no spaces", [Scope::Post]).is_err() && Key::new("a", []).is_err());
    }
}
