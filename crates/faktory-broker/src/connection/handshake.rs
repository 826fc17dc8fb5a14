//! The handshake: the greeting goes out, the client's HELLO comes in, and a password is checked.

use bytes::{Bytes, BytesMut};
use faktory_wire::{Greeting, Hello, LineDecoder, Reply, password_hash};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::close;
use super::writer::send;

/// The most bytes in the first line of a client, which is not yet known to be one.
const FIRST_LINE_MAX: usize = 64 << 10;

/// Why a handshake did not succeed.
enum Failed {
    /// The client left, or the connection broke.
    Gone,
    /// The client is told this reason.
    Refused(String),
}

/// The challenge to a client that must know the password: the salt of this connection, and the
/// number of hashes to compute.
struct Challenge {
    iterations: u32,
    salt: String,
}

impl Challenge {
    fn new() -> Self {
        Self {
            iterations: fastrand::u32(4000..8096),
            salt: format!("{:x}", fastrand::u64(..) >> 1),
        }
    }

    /// True where a client answered with the hash of the password. The comparison takes the same
    /// time wherever the hashes differ.
    fn is_met(&self, password: &str, hash: &str) -> bool {
        let expected = password_hash(password, &self.salt, self.iterations);
        expected.as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

/// Greets a client and reads its HELLO. `None` where the client left, or was refused and told why;
/// the connection then has no further use. Bytes behind the HELLO stay in `buffer`.
pub(super) async fn handshake(
    password: Option<&str>,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> Option<Hello> {
    match shake_hands(password, reader, writer, buffer).await {
        Ok(hello) => Some(hello),
        Err(Failed::Gone) => None,
        Err(Failed::Refused(reason)) => {
            close::refuse(reader, writer, &Reply::error(reason)).await;
            None
        }
    }
}

async fn shake_hands(
    password: Option<&str>,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> Result<Hello, Failed> {
    let asked = password.map(|password| (password, Challenge::new()));
    let (iterations, salt) =
        asked.as_ref().map(|(_, challenge)| (challenge.iterations, challenge.salt.clone())).unzip();
    let mut wire = Vec::new();
    Greeting { v: 2, iterations, salt }.encode(&mut wire);
    send(writer, &wire).await.map_err(|_| Failed::Gone)?;

    let line = first_line(reader, buffer).await?;
    let hello = Hello::parse(&line).map_err(|error| Failed::Refused(error.to_string()))?;
    if let Some((password, challenge)) = asked {
        check_password(password.to_owned(), challenge, hello.pwdhash.clone()).await?;
    }
    wire.clear();
    Reply::OK.encode(&mut wire);
    send(writer, &wire).await.map_err(|_| Failed::Gone)?;
    Ok(hello)
}

async fn first_line(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Bytes, Failed> {
    let mut decoder = LineDecoder::new(FIRST_LINE_MAX);
    loop {
        match decoder.decode(buffer) {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => {}
            Err(error) => return Err(Failed::Refused(error.to_string())),
        }
        if reader.read_buf(buffer).await.map_err(|_| Failed::Gone)? == 0 {
            return Err(Failed::Gone);
        }
    }
}

/// Hashing takes milliseconds, so it runs on a thread that serves no connections.
async fn check_password(
    password: String,
    challenge: Challenge,
    hash: Option<String>,
) -> Result<(), Failed> {
    let checking = tokio::task::spawn_blocking(move || {
        challenge.is_met(&password, hash.as_deref().unwrap_or_default())
    });
    match checking.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failed::Refused("Invalid password".into())),
        Err(_) => Err(Failed::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_hash_of_the_right_password_meets_a_challenge() {
        let challenge = Challenge::new();
        let hash = password_hash("secret", &challenge.salt, challenge.iterations);
        assert!(challenge.is_met("secret", &hash));
        assert!(!challenge.is_met("other", &hash));
        assert!(!challenge.is_met("secret", &hash[1..]));
        assert!(!challenge.is_met("secret", &format!("{hash}0")));
        assert!(!challenge.is_met("secret", ""));
    }

    #[test]
    fn each_connection_gets_a_salt_of_its_own() {
        let challenges: Vec<Challenge> = (0..100).map(|_| Challenge::new()).collect();
        let salts: std::collections::HashSet<_> =
            challenges.iter().map(|challenge| &challenge.salt).collect();
        assert_eq!(salts.len(), 100);
        assert!(challenges.iter().all(|challenge| (4000..8096).contains(&challenge.iterations)));
    }
}
