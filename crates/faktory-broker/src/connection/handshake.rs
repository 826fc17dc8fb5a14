//! The handshake: the greeting goes out, the client's HELLO comes in, and its password is checked
//! (`password.rs`).

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use faktory_wire::{Abilities, Greeting, Hello, LineDecoder, Reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::close;
use super::password::{Challenge, Passwords};
use super::patience::Patience;
use super::writer::send;
use crate::catch_up::Arriving;

/// The most bytes in the first line of a client, which is not yet known to be one.
const FIRST_LINE_MAX: usize = 64 << 10;

/// Why a handshake did not succeed.
enum Failed {
    /// The client left, took too long, or the connection broke.
    Gone,
    /// The client is told this reason.
    Refused(String),
    /// The client does not know the password.
    WrongPassword,
}

/// A client that is not yet known, and what it has to know.
pub(super) struct Stranger<'a> {
    /// The address that it comes from.
    pub(super) address: IpAddr,
    /// Its socket, which tells whether bytes lie unread.
    pub(super) socket: &'a TcpStream,
    /// The check of its password; `None` where no password is asked for.
    pub(super) passwords: Option<&'a Passwords>,
    /// What the broker can do beyond Faktory.
    pub(super) abilities: Abilities,
    /// Keeps the connection's place from now on, before the HELLO is answered; false where the
    /// connection has lost its place.
    pub(super) keep_place: &'a (dyn Fn() -> bool + Sync),
}

impl Stranger<'_> {
    /// Greets the client and reads its HELLO, while there is patience. `None` where the client
    /// left, took too long, or was refused and told why; the connection then has no further use,
    /// and is no longer one that arrives while it is refused. Bytes behind the HELLO stay in
    /// `buffer`.
    pub(super) async fn shake_hands(
        &self,
        patience: &mut Patience,
        (reader, writer): (&mut (impl AsyncRead + Unpin), &mut (impl AsyncWrite + Unpin)),
        buffer: &mut BytesMut,
        arriving: Arriving,
    ) -> Option<(Hello, Arriving)> {
        let exchange = self.exchange(reader, writer, buffer);
        let exchange = patience.within(self.socket, exchange).await;
        let failed = match exchange.unwrap_or(Err(Failed::Gone)) {
            Ok(hello) => return Some((hello, arriving)),
            Err(failed) => failed,
        };
        drop(arriving);
        let reason = match failed {
            Failed::Gone => return None,
            Failed::Refused(reason) => reason,
            Failed::WrongPassword => {
                // Not within the timeout, which would cut off the reason.
                if let Some(passwords) = self.passwords {
                    passwords.refuse(self.address).await;
                }
                "Invalid password".into()
            }
        };
        close::refuse(reader, writer, &Reply::error(reason)).await;
        None
    }

    async fn exchange(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        buffer: &mut BytesMut,
    ) -> Result<Hello, Failed> {
        let asked = self.passwords.map(|passwords| (passwords, Challenge::new()));
        let (iterations, salt) = asked
            .as_ref()
            .map(|(_, challenge)| (challenge.iterations, challenge.salt.clone()))
            .unzip();
        let mut wire = Vec::new();
        let abilities = Some(self.abilities);
        Greeting { v: 2, iterations, salt, abilities }.encode(&mut wire);
        send(writer, &wire).await.map_err(|_| Failed::Gone)?;

        let line = first_line(reader, buffer).await?;
        let hello = Hello::parse(&line).map_err(|error| Failed::Refused(error.to_string()))?;
        if let Some((passwords, challenge)) = asked {
            let hash = hello.pwdhash.as_deref().unwrap_or_default();
            if !passwords.check(self.address, challenge, hash).await {
                return Err(Failed::WrongPassword);
            }
        }
        if !(self.keep_place)() {
            return Err(Failed::Gone);
        }
        wire.clear();
        Reply::OK.encode(&mut wire);
        send(writer, &wire).await.map_err(|_| Failed::Gone)?;
        Ok(hello)
    }
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
