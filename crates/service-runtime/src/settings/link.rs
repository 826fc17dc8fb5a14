//! The settings of the link: the work server, and the connections to it. The link's own
//! configuration is made of them here, and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use faktory_link::{LinkConfig, SettingNames, Tls};

use super::declare::settings;
use super::parse::{congestion, count, count_or_zero, duration, optional, path, text};
use super::reader::{Reader, read_secret};
use super::rights::Keep;
use crate::role::Role;
use crate::tls::{self, ClientFiles, ClientTls, TlsFile};
use crate::work_server_url::WorkServerUrl;

/// A worker's read timeout is at least this, since an empty FETCH takes 2 s.
const WORKER_READ_TIMEOUT_MIN: Duration = Duration::from_secs(3);

/// The variables that the link's errors and logs name, so that people know which one to change.
const SETTING_NAMES: SettingNames = SettingNames {
    tls_authorities: "FAKTORY_TLS_CA_FILE",
    tls_server_name: "FAKTORY_TLS_SERVER_NAME",
    tls_certificate: "FAKTORY_TLS_CERT_FILE",
    tls_key: "FAKTORY_TLS_KEY_FILE",
    congestion: "FAKTORY_TCP_CONGESTION",
};

settings! {
    /// The settings of the link: where the work server is, and how long and how much is waited for.
    pub struct LinkSettings {
        /// The work server: `tcp://:password@host:port`, or `tcp+tls://…`. Where set, the default
        /// run starts no broker of its own.
        url: WorkServerUrl = "FAKTORY_URL" or "tcp://127.0.0.1:7419", WorkServerUrl::parse;

        /// A file with the password on its first line, instead of one in the URL.
        password_file: Option<PathBuf> = "FAKTORY_PASSWORD_FILE", optional(path);

        /// The name of another variable that holds the URL.
        provider: Option<String> = "FAKTORY_PROVIDER", optional(text);

        /// With `tcp+tls://`: the authorities (PEM) that may vouch for the work server; the
        /// system's where not set.
        tls_ca_file: Option<PathBuf> = "FAKTORY_TLS_CA_FILE", optional(path);

        /// The name in the work server's certificate, where that is not the URL's host.
        tls_server_name: Option<String> = "FAKTORY_TLS_SERVER_NAME", optional(text);

        /// Our own certificate (PEM), where the work server asks for one.
        tls_cert_file: Option<PathBuf> = "FAKTORY_TLS_CERT_FILE", optional(path);

        /// The key (PEM) of our own certificate.
        tls_key_file: Option<PathBuf> = "FAKTORY_TLS_KEY_FILE", optional(path);

        /// Connections to the work server, for API and worker each.
        max_connections: usize = "FAKTORY_MAX_CONNECTIONS" or "50", count(1900);

        /// Time for each of: a free connection of the pool, the TCP connection, the handshake.
        connection_timeout: Duration = "FAKTORY_CONNECTION_TIMEOUT" or "5s", duration;

        /// Time for a reply. A worker needs 3s or more, because an empty FETCH takes 2s.
        read_timeout: Duration = "FAKTORY_READ_TIMEOUT" or "30s", duration;

        /// Time for the network to take a command.
        write_timeout: Duration = "FAKTORY_WRITE_TIMEOUT" or "30s", duration;

        /// Silence after which a connection is probed.
        keepalive_idle: Duration = "FAKTORY_KEEPALIVE_IDLE" or "60s", duration;

        /// Time between two probes.
        keepalive_interval: Duration = "FAKTORY_KEEPALIVE_INTERVAL" or "10s", duration;

        /// TCP congestion control of what is sent to the work server, such as `bbr` on lossy links;
        /// the system's where not set or refused.
        congestion: Option<String> = "FAKTORY_TCP_CONGESTION", optional(congestion);

        /// Failures of the link in a row that open the circuit; 0: the circuit never opens.
        breaker_failures: u32 = "FAKTORY_BREAKER_FAILURES" or "5", count_or_zero;

        /// Time until the work server is tried again while the circuit is open.
        breaker_open: Duration = "FAKTORY_BREAKER_OPEN" or "1s", duration;
    }
    made of them {
        /// How TLS is spoken to the work server; not at all where `None`.
        tls: Option<ClientTls>;
        /// True where the URL was set and is not the default.
        url_is_set: bool;
    }
}

impl LinkSettings {
    /// Reads the variables and, where something in this process uses the link, the files that they
    /// name.
    pub(super) fn load(reader: &mut Reader<'_>, role: Role) -> Self {
        let mut link = Self::read(reader);
        link.url_is_set = reader.text("FAKTORY_URL").is_some();
        if let Some(name) = link.provider.clone() {
            link.read_provided_url(&name, reader);
        }
        if role != Role::Broker {
            link.read_password(reader);
            link.tls = link.read_tls(reader);
        }
        if role.runs_worker() && link.read_timeout < WORKER_READ_TIMEOUT_MIN {
            reader.fault(
                "FAKTORY_READ_TIMEOUT",
                "must be 3s or more for a worker, because an empty FETCH takes 2s",
            );
        }
        link
    }

    /// Takes the URL of the variable that `FAKTORY_PROVIDER` names in place of `FAKTORY_URL`.
    fn read_provided_url(&mut self, name: &str, reader: &mut Reader<'_>) {
        reader.forgive("FAKTORY_URL");
        match reader.text(name).map(|text| WorkServerUrl::parse(&text)) {
            Some(Ok(url)) => (self.url, self.url_is_set) = (url, true),
            Some(Err(accepted)) => {
                reader.fault(
                    "FAKTORY_PROVIDER",
                    &format!("must name a variable that holds {accepted}"),
                );
            }
            None => reader.fault(
                "FAKTORY_PROVIDER",
                "must name a variable that is set and holds the URL of the work server",
            ),
        }
    }

    fn read_password(&mut self, reader: &mut Reader<'_>) {
        let Some(path) = &self.password_file else { return };
        reader.look_at_rights("FAKTORY_PASSWORD_FILE", path, Keep::Secret);
        match (&self.url.password, read_secret(path)) {
            (Some(_), _) => reader.fault(
                "FAKTORY_PASSWORD_FILE",
                "must not be set where the URL has a password already",
            ),
            (None, Ok(password)) => self.url.password = Some(password),
            (None, Err(detail)) => reader.fault("FAKTORY_PASSWORD_FILE", &detail),
        }
    }

    /// How TLS is spoken to the work server, where the URL asks for TLS.
    fn read_tls(&self, reader: &mut Reader<'_>) -> Option<ClientTls> {
        if !self.url.is_tls {
            for (name, is_set) in [
                ("FAKTORY_TLS_CA_FILE", self.tls_ca_file.is_some()),
                ("FAKTORY_TLS_CERT_FILE", self.tls_cert_file.is_some()),
                ("FAKTORY_TLS_KEY_FILE", self.tls_key_file.is_some()),
                ("FAKTORY_TLS_SERVER_NAME", self.tls_server_name.is_some()),
            ] {
                if is_set {
                    reader.fault(name, "has no effect unless FAKTORY_URL begins with tcp+tls://");
                }
            }
            return None;
        }
        let identity = reader.pair(
            ("FAKTORY_TLS_CERT_FILE", &self.tls_cert_file),
            ("FAKTORY_TLS_KEY_FILE", &self.tls_key_file),
        );
        if let Some((_, key)) = &identity {
            reader.look_at_rights("FAKTORY_TLS_KEY_FILE", key, Keep::Secret);
        }
        let files = ClientFiles { ca: self.tls_ca_file.clone(), identity };
        let server_name = self.tls_server_name.as_ref().unwrap_or(&self.url.host);
        tls::client(&files, server_name)
            .map_err(|fault| {
                let name = match fault.file {
                    TlsFile::Authorities => SETTING_NAMES.tls_authorities,
                    TlsFile::Certificate => SETTING_NAMES.tls_certificate,
                    TlsFile::Key => SETTING_NAMES.tls_key,
                    TlsFile::ServerName => SETTING_NAMES.tls_server_name,
                };
                reader.fault(name, &fault.detail);
            })
            .ok()
    }

    /// The link's own configuration.
    #[must_use]
    pub fn config(&self) -> LinkConfig {
        LinkConfig {
            tls: self
                .tls
                .clone()
                .map(|tls| Tls { config: tls.config, server_name: tls.server_name }),
            password: self.url.password.as_ref().map(|password| password.reveal().to_owned()),
            connect_timeout: self.connection_timeout,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            keepalive_idle: self.keepalive_idle,
            keepalive_interval: self.keepalive_interval,
            congestion: self.congestion.clone(),
            breaker_failures: self.breaker_failures,
            breaker_open_for: self.breaker_open,
            max_connections: self.max_connections,
            setting_names: SETTING_NAMES,
            ..LinkConfig::new(self.url.host.clone(), self.url.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_variables_are_those_of_the_link() {
        let (ours, links) = (LinkSettings::default().config(), LinkConfig::new("127.0.0.1", 7419));
        let figures = |config: &LinkConfig| {
            let LinkConfig { connect_timeout, read_timeout, write_timeout, .. } = config.clone();
            let LinkConfig { keepalive_idle, keepalive_interval, breaker_open_for, .. } = *config;
            (
                (config.host.clone(), config.port, config.max_connections, config.breaker_failures),
                [connect_timeout, read_timeout, write_timeout],
                [keepalive_idle, keepalive_interval, breaker_open_for],
                (config.password.clone(), config.congestion.clone(), config.tls.is_some()),
            )
        };
        assert_eq!(figures(&ours), figures(&links));
    }

    #[test]
    fn the_errors_of_the_link_name_variables_that_there_are() {
        let names = LinkSettings::default().config().setting_names;
        let SettingNames { tls_authorities, tls_server_name, .. } = names;
        let SettingNames { tls_certificate, tls_key, congestion, .. } = names;
        for name in [tls_authorities, tls_server_name, tls_certificate, tls_key, congestion] {
            let known = LinkSettings::VARIABLES.iter().any(|variable| variable.name == name);
            assert!(known, "{name}");
        }
    }
}
