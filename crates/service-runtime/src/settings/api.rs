//! The settings of the HTTP API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use admission::Nets;

use super::declare::settings;
use super::parse::{address, count, duration, hosts, nets, optional, path, size, yes_or_no};
use super::reader::Reader;
use super::rights::Keep;
use crate::keys::Keys;
use crate::queue_set::QueueSet;
use crate::tls::ServerTls;

/// The largest size that a body, or args that are compressed, may be bounded by: 1 GiB.
const SIZE_MAX: usize = 1 << 30;

/// The largest job that a work server takes, in bytes of JSON: the broker and Faktory take lines of
/// 64 MiB, in which the command and what the API adds to a job have less than 64 KiB.
pub const JOB_BYTES_MAX: usize = (64 << 20) - (64 << 10);

settings! {
    /// The settings of the HTTP API: where it listens, whom it lets in, what it takes.
    pub struct ApiSettings {
        /// Where the API listens.
        bind: SocketAddr = "BIND_ADDR" or "127.0.0.1:3000", address;

        /// The API's certificate (PEM): HTTPS instead of HTTP; read again when the file changes.
        tls_cert_file: Option<PathBuf> = "API_TLS_CERT_FILE", optional(path);

        /// The certificate's key (PEM).
        tls_key_file: Option<PathBuf> = "API_TLS_KEY_FILE", optional(path);

        /// A file with the keys that clients must send; read again when the file changes. Without
        /// keys, everybody who reaches the port may post.
        keys_file: Option<PathBuf> = "API_KEYS_FILE", optional(path);

        /// `true`: listen beyond this machine without keys.
        allow_unauthenticated: bool = "API_ALLOW_UNAUTHENTICATED" or "false", yes_or_no;

        /// Names under which an API without keys is reached, comma-separated, beside those of this
        /// machine.
        allowed_hosts: Vec<String> = "API_ALLOWED_HOSTS", hosts;

        /// Addresses and networks of proxies in front of the API, comma-separated: what they say of
        /// the client (`X-Forwarded-For`, `X-Forwarded-Host`, `Forwarded`) is believed.
        trusted_proxies: Nets = "API_TRUSTED_PROXIES", nets;

        /// Time for a request; every request has ended by then.
        request_timeout: Duration = "API_REQUEST_TIMEOUT" or "60s", duration;

        /// Bytes of the largest body.
        max_body_bytes: usize = "API_MAX_BODY_BYTES" or "16MiB", size(SIZE_MAX);

        /// Bytes of the largest job, as its JSON is posted, also on a line of a stream; as many as
        /// of a body where not set, and never more than 67043328 (64 MiB less 64 KiB), because work
        /// servers take no more.
        max_job_bytes: Option<usize> = "API_MAX_JOB_BYTES", optional(size(SIZE_MAX));

        /// Jobs in the largest batch.
        max_batch_jobs: usize = "API_MAX_BATCH_JOBS" or "10000", count(1_000_000);

        /// Distinct queue names accepted from clients while the API runs.
        max_queues: usize = "API_MAX_QUEUES" or "1000", count(1_000_000);

        /// Queues whose jobs may be stored compressed, comma-separated, `*` for all: those of
        /// which every worker unpacks `args`, as ours do.
        compress_queues: QueueSet = "COMPRESS_QUEUES", str::parse;

        /// In the queues of `COMPRESS_QUEUES`, `args` from this size on are stored compressed, such
        /// as `2KiB`, where a job does not say.
        compress_from: Option<usize> = "COMPRESS_MIN_BYTES", optional(size(SIZE_MAX));
    }
    made of them {
        /// The certificate and its key; plain HTTP where `None`.
        tls: Option<ServerTls>;
        /// The keys, and the file that has them; everybody may post where `None`.
        keys: Option<(PathBuf, Keys)>;
    }
}

impl ApiSettings {
    /// Reads the variables and, where the API `runs` in this process, the files that they name: a
    /// worker starts beside an API's keys that it may not read.
    pub(super) fn load(reader: &mut Reader<'_>, runs: bool) -> Self {
        let mut api = Self::read(reader);
        if runs {
            api.refuse_strangers(reader);
            api.warn_of_sizes(reader);
            if api.compress_from.is_some() && api.compress_queues.is_empty() {
                reader.fault(
                    "COMPRESS_MIN_BYTES",
                    "has no effect unless COMPRESS_QUEUES names queues whose workers all unpack \
                     args, or * for all of them",
                );
            }
            api.keys = api.keys_file.as_deref().and_then(|path| read_keys(path, reader));
            api.tls = reader.server_tls(
                ("API_TLS_CERT_FILE", &api.tls_cert_file),
                ("API_TLS_KEY_FILE", &api.tls_key_file),
            );
        }
        api
    }

    /// Says what sizes do not do.
    fn warn_of_sizes(&self, reader: &mut Reader<'_>) {
        let most = format!("{JOB_BYTES_MAX} bytes, because work servers take no more");
        match self.max_job_bytes {
            Some(bytes) if bytes > JOB_BYTES_MAX => reader.warnings.push(format!(
                "API_MAX_JOB_BYTES: {bytes} bytes are configured, and a job may have {most}"
            )),
            None if self.max_body_bytes > JOB_BYTES_MAX => reader.warnings.push(format!(
                "API_MAX_BODY_BYTES: {} bytes are configured, and one job may have {most}",
                self.max_body_bytes
            )),
            Some(bytes) if bytes > self.max_body_bytes => reader.warnings.push(format!(
                "API_MAX_JOB_BYTES: {bytes} bytes are configured, and only a line of a stream may \
                 have more than API_MAX_BODY_BYTES, {} bytes",
                self.max_body_bytes
            )),
            Some(_) | None => {}
        }
    }

    /// An API that other machines reach has keys, unless it is asked for without any.
    fn refuse_strangers(&self, reader: &mut Reader<'_>) {
        let asks_for_keys = self.keys_file.is_some();
        if !self.bind.ip().is_loopback() && !asks_for_keys && !self.allow_unauthenticated {
            reader.fault(
                "BIND_ADDR",
                "is reached from other machines, where anybody could post: set API_KEYS_FILE to a \
                 file of keys (`work-factory key new NAME --scope post` makes them), or \
                 API_ALLOW_UNAUTHENTICATED=true",
            );
        }
    }
}

/// The keys in a file. The faults do not repeat the path, as with passwords.
fn read_keys(path: &Path, reader: &mut Reader<'_>) -> Option<(PathBuf, Keys)> {
    reader.look_at_rights("API_KEYS_FILE", path, Keep::Unchanged);
    let read = std::fs::read_to_string(path)
        .map_err(|error| format!("must name a file that can be read: {error}"));
    let parsed = read.and_then(|text| {
        Keys::parse(&text).map_err(|fault| format!("must name a file of keys; {fault}"))
    });
    match parsed {
        Ok(keys) if keys.is_empty() => reader.fault(
            "API_KEYS_FILE",
            "must name a file with a key; `work-factory key new NAME --scope post` makes one",
        ),
        Ok(keys) => return Some((path.to_owned(), keys)),
        Err(detail) => reader.fault("API_KEYS_FILE", &detail),
    }
    None
}
