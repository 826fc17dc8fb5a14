//! The settings of the embedded broker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::declare::settings;
use super::parse::{address, optional, path, secret, size, window, yes_or_no};
use super::reader::{Reader, read_secret};
use super::rights::Keep;
use crate::environment::Environment;
use crate::secret::Secret;
use crate::tls::ServerTls;

/// The most bytes that the settings here take.
const SIZE_MAX: usize = 1 << 30;
/// The most free room that can be asked for.
const MIN_FREE_MAX: usize = 1 << 40;
/// The most room that can be given to remembered ids.
const DEDUP_BYTES_MAX: usize = 1 << 40;

settings! {
    /// The settings of the embedded broker: where it listens, where it stores, whom it lets in.
    pub struct BrokerSettings {
        /// Where the embedded broker listens.
        bind: SocketAddr = "BROKER_BIND_ADDR" or "127.0.0.1:7419", address;

        /// The folder of the broker's store; a folder of ours in the user's data folder where not
        /// set.
        data_dir: Option<PathBuf> = "BROKER_DATA_DIR", optional(path);

        /// `true`: listen beyond this machine without a password.
        allow_unauthenticated: bool = "BROKER_ALLOW_UNAUTHENTICATED" or "false", yes_or_no;

        /// Bytes of commands that have not arrived as a whole, of all clients together; never less
        /// than one command of the largest size, 64 MiB. Who gets no share within 20 s is refused.
        max_input_bytes: usize = "BROKER_MAX_INPUT_BYTES" or "256MiB", size(SIZE_MAX);

        /// With less free on the disk of its store the broker takes no more jobs, but hands out and
        /// ends those that it has, which needs some of this room.
        min_free: usize = "BROKER_MIN_FREE" or "512MiB", size(MIN_FREE_MAX);

        /// How long the broker remembers the ids of jobs that the API posts, so that a post is sent
        /// again without a second job; 0 for not at all.
        dedup_window: Duration = "BROKER_DEDUP_WINDOW" or "24h", window;

        /// About the most room on the disk for remembered ids, 40 bytes each. Beyond it the oldest
        /// are forgotten before their time.
        dedup_max_bytes: usize = "BROKER_DEDUP_MAX_BYTES" or "1GiB", size(DEDUP_BYTES_MAX);

        /// The broker's certificate (PEM): TLS only, `tcp+tls://`; read again when the file
        /// changes.
        tls_cert_file: Option<PathBuf> = "BROKER_TLS_CERT_FILE", optional(path);

        /// The certificate's key (PEM).
        tls_key_file: Option<PathBuf> = "BROKER_TLS_KEY_FILE", optional(path);

        /// The password that clients must know; none where not set.
        password: Option<Secret> = "BROKER_PASSWORD", optional(secret);

        /// A file with the password on its first line, instead of `BROKER_PASSWORD`.
        password_file: Option<PathBuf> = "BROKER_PASSWORD_FILE", optional(path);
    }
    made of them {
        /// The certificate and its key; no TLS where `None`.
        tls: Option<ServerTls>;
    }
}

impl BrokerSettings {
    /// Reads the variables and, where the broker `runs` in this process, the files that they name.
    pub(super) fn load(reader: &mut Reader<'_>, runs: bool) -> Self {
        let mut broker = Self::read(reader);
        if broker.data_dir.is_none() {
            broker.data_dir = user_data_dir();
        }
        if !runs {
            return broker;
        }
        broker.refuse_strangers(reader);
        if broker.data_dir.is_none() {
            reader.fault(
                "BROKER_DATA_DIR",
                "must be set, because the user's data folder can't be found",
            );
        }
        broker.tls = reader.server_tls(
            ("BROKER_TLS_CERT_FILE", &broker.tls_cert_file),
            ("BROKER_TLS_KEY_FILE", &broker.tls_key_file),
        );
        if let Some(path) = &broker.password_file {
            reader.look_at_rights("BROKER_PASSWORD_FILE", path, Keep::Secret);
            match (&broker.password, read_secret(path)) {
                (Some(_), _) => reader
                    .fault("BROKER_PASSWORD_FILE", "must not be set together with BROKER_PASSWORD"),
                (None, Ok(password)) => broker.password = Some(password),
                (None, Err(detail)) => reader.fault("BROKER_PASSWORD_FILE", &detail),
            }
        }
        broker
    }

    /// A broker that other machines reach has a password, unless it is asked for without one.
    fn refuse_strangers(&self, reader: &mut Reader<'_>) {
        let has_password = self.password.is_some() || self.password_file.is_some();
        if !self.bind.ip().is_loopback() && !has_password && !self.allow_unauthenticated {
            reader.fault(
                "BROKER_BIND_ADDR",
                "is reached from other machines, where anybody could post and take jobs: set \
                 BROKER_PASSWORD_FILE (or BROKER_PASSWORD), or BROKER_ALLOW_UNAUTHENTICATED=true",
            );
        }
    }
}

/// The data folder of a broker that is started with this profile: that of `BROKER_DATA_DIR`, or the
/// default; `None` where neither is there.
#[must_use]
pub fn broker_data_dir(env_file: Option<&Path>) -> Option<PathBuf> {
    let environment = Environment::of_process(env_file);
    let folder = Reader::new(&environment).text("BROKER_DATA_DIR");
    folder.map(PathBuf::from).or_else(user_data_dir)
}

/// Our folder under the user's data folder, where the system has one.
fn user_data_dir() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    Some(etcetera::choose_base_strategy().ok()?.data_dir().join("work-factory"))
}
