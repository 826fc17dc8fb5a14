//! Checking texts one by one, and keeping every fault.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config_error::Problem;
use crate::environment::Environment;
use crate::keys::Keys;
use crate::logs::LogFormat;
use crate::parse;
use crate::queue_order::QueueOrder;
use crate::role::Role;
use crate::secret::Secret;
use crate::settings::{LinkSettings, Texts};
use crate::tls::{self, ClientFiles, ClientTls, ServerTls};
use crate::variables::default_of;
use crate::work_server_url::WorkServerUrl;

/// Collects faults; where a value has one, something takes its place that nobody will see.
pub(crate) struct Check {
    pub(crate) problems: Vec<Problem>,
}

impl Check {
    fn fault(&mut self, variable: &str, detail: &str) {
        self.problems.push(Problem::new(variable, detail));
    }

    /// The value of a variable, or its default, which a test shows to be right.
    pub(crate) fn value<T: Placeholder>(
        &mut self,
        name: &str,
        text: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let text = text.unwrap_or_else(|| default_of(name).to_owned());
        parse(&text).unwrap_or_else(|accepted| {
            self.fault(name, &format!("must be {accepted}"));
            T::placeholder()
        })
    }

    pub(crate) fn link(
        &mut self,
        texts: &Texts,
        environment: &Environment,
        role: Role,
    ) -> LinkSettings {
        let (source, text) = match &texts.faktory_provider {
            None => ("FAKTORY_URL", texts.faktory_url.clone()),
            Some(name) => {
                let named = environment.variables.get(name).map(|text| text.trim().to_owned());
                if named.is_none() {
                    self.fault(
                        "FAKTORY_PROVIDER",
                        "must name a variable that is set and holds the URL of the work server",
                    );
                }
                ("FAKTORY_PROVIDER", named)
            }
        };
        let url_is_set = text.is_some();
        let text = text.unwrap_or_else(|| default_of("FAKTORY_URL").into());
        let mut url = WorkServerUrl::parse(&text).unwrap_or_else(|accepted| {
            self.fault(source, &format!("must be {accepted}"));
            WorkServerUrl { host: String::new(), port: 0, is_tls: false, password: None }
        });
        if let Some(path) = texts.faktory_password_file.as_ref().filter(|_| role != Role::Broker) {
            match (&url.password, read_secret(path)) {
                (Some(_), _) => self.fault(
                    "FAKTORY_PASSWORD_FILE",
                    "must not be set where the URL has a password already",
                ),
                (None, Ok(password)) => url.password = Some(password),
                (None, Err(detail)) => self.fault("FAKTORY_PASSWORD_FILE", &detail),
            }
        }
        let read_timeout =
            self.value("FAKTORY_READ_TIMEOUT", texts.faktory_read_timeout.clone(), |text| {
                let timeout = parse::duration(text)?;
                if role.runs_worker() && timeout < Duration::from_secs(3) {
                    return Err("3s or more for a worker, because an empty FETCH takes 2s".into());
                }
                Ok(timeout)
            });
        let tls = if role == Role::Broker { None } else { self.client_tls(texts, &url) };
        LinkSettings {
            url,
            tls,
            url_is_set,
            read_timeout,
            max_connections: self.value(
                "FAKTORY_MAX_CONNECTIONS",
                texts.faktory_max_connections.clone(),
                |text| parse::count(text, 1900),
            ),
            connection_timeout: self.value(
                "FAKTORY_CONNECTION_TIMEOUT",
                texts.faktory_connection_timeout.clone(),
                parse::duration,
            ),
            write_timeout: self.value(
                "FAKTORY_WRITE_TIMEOUT",
                texts.faktory_write_timeout.clone(),
                parse::duration,
            ),
            keepalive_idle: self.value(
                "FAKTORY_KEEPALIVE_IDLE",
                texts.faktory_keepalive_idle.clone(),
                parse::duration,
            ),
            keepalive_interval: self.value(
                "FAKTORY_KEEPALIVE_INTERVAL",
                texts.faktory_keepalive_interval.clone(),
                parse::duration,
            ),
            congestion: texts
                .faktory_tcp_congestion
                .clone()
                .map(|text| self.value("FAKTORY_TCP_CONGESTION", Some(text), parse::congestion)),
            breaker_failures: self.value(
                "FAKTORY_BREAKER_FAILURES",
                texts.faktory_breaker_failures.clone(),
                parse::count_or_none,
            ),
            breaker_open: self.value(
                "FAKTORY_BREAKER_OPEN",
                texts.faktory_breaker_open.clone(),
                parse::duration,
            ),
        }
    }

    /// How TLS is spoken to the work server, where it is.
    fn client_tls(&mut self, texts: &Texts, url: &WorkServerUrl) -> Option<ClientTls> {
        let files = [
            ("FAKTORY_TLS_CA_FILE", &texts.faktory_tls_ca_file),
            ("FAKTORY_TLS_CERT_FILE", &texts.faktory_tls_cert_file),
            ("FAKTORY_TLS_KEY_FILE", &texts.faktory_tls_key_file),
            ("FAKTORY_TLS_SERVER_NAME", &texts.faktory_tls_server_name),
        ];
        if !url.is_tls {
            for (name, _) in files.iter().filter(|(_, text)| text.is_some()) {
                self.fault(name, "has no effect unless FAKTORY_URL begins with tcp+tls://");
            }
            return None;
        }
        let identity = self.pair(
            "FAKTORY_TLS_CERT_FILE",
            texts.faktory_tls_cert_file.as_ref(),
            "FAKTORY_TLS_KEY_FILE",
            texts.faktory_tls_key_file.as_ref(),
        );
        let files =
            ClientFiles { ca: texts.faktory_tls_ca_file.as_ref().map(PathBuf::from), identity };
        let server_name = texts.faktory_tls_server_name.as_ref().unwrap_or(&url.host);
        tls::client(&files, server_name)
            .map_err(|(variable, detail)| self.fault(variable, &detail))
            .ok()
    }

    /// The certificate and the key of a server, where it speaks TLS.
    pub(crate) fn server_tls(
        &mut self,
        (certificate_name, certificate): (&str, Option<String>),
        (key_name, key): (&str, Option<String>),
    ) -> Option<ServerTls> {
        let (certificate, key) =
            self.pair(certificate_name, certificate.as_ref(), key_name, key.as_ref())?;
        let fault = |(is_certificate, detail): (bool, String)| {
            self.fault(if is_certificate { certificate_name } else { key_name }, &detail)
        };
        ServerTls::load(&certificate, &key).map_err(fault).ok()
    }

    /// Two files, or none.
    fn pair(
        &mut self,
        one_name: &str,
        one: Option<&String>,
        other_name: &str,
        other: Option<&String>,
    ) -> Option<(PathBuf, PathBuf)> {
        match (one, other) {
            (Some(one), Some(other)) => return Some((one.into(), other.into())),
            (Some(_), None) => {
                self.fault(other_name, &format!("must be set together with {one_name}"))
            }
            (None, Some(_)) => {
                self.fault(one_name, &format!("must be set together with {other_name}"))
            }
            (None, None) => {}
        }
        None
    }

    pub(crate) fn secret(
        &mut self,
        name: &str,
        text: Option<String>,
        file_name: &str,
        file: Option<String>,
    ) -> Option<Secret> {
        match (text, file) {
            (Some(_), Some(_)) => {
                self.fault(file_name, &format!("must not be set together with {name}"));
                None
            }
            (Some(text), None) => Some(Secret::new(text)),
            (None, Some(path)) => {
                read_secret(&path).map_err(|detail| self.fault(file_name, &detail)).ok()
            }
            (None, None) => None,
        }
    }

    /// The keys, where they are configured. Without any, only this machine is let in, unless that
    /// is asked for.
    pub(crate) fn keys(
        &mut self,
        file: Option<String>,
        bind: SocketAddr,
        open: Option<String>,
        role: Role,
    ) -> Option<(PathBuf, Keys)> {
        let may_be_open = self.value("API_ALLOW_UNAUTHENTICATED", open, parse::yes_or_no);
        let Some(path) = file else {
            if role.runs_api() && !bind.ip().is_loopback() && !may_be_open {
                self.fault(
                    "BIND_ADDR",
                    "is reached from other machines, where anybody could post: set API_KEYS_FILE \
                     to a file of keys (`work-factory key new NAME --scope post` makes them), or \
                     API_ALLOW_UNAUTHENTICATED=true",
                );
            }
            return None;
        };
        // The path is not repeated, as with passwords.
        let read = std::fs::read_to_string(&path)
            .map_err(|error| format!("must name a file that can be read: {error}"));
        match read.and_then(|text| {
            Keys::parse(&text).map_err(|fault| format!("must name a file of keys; {fault}"))
        }) {
            Ok(keys) if keys.is_empty() => {
                self.fault(
                    "API_KEYS_FILE",
                    "must name a file with a key; `work-factory key new NAME --scope post` makes \
                     one",
                );
            }
            Ok(keys) => return Some((PathBuf::from(path), keys)),
            Err(detail) => self.fault("API_KEYS_FILE", &detail),
        }
        None
    }

    /// A broker that others reach has a password, unless it is asked for that it has none.
    pub(crate) fn broker_access(
        &mut self,
        bind: SocketAddr,
        has_password: bool,
        open: Option<String>,
        runs: bool,
    ) {
        let may_be_open = self.value("BROKER_ALLOW_UNAUTHENTICATED", open, parse::yes_or_no);
        if runs && !bind.ip().is_loopback() && !has_password && !may_be_open {
            self.fault(
                "BROKER_BIND_ADDR",
                "is reached from other machines, where anybody could post and take jobs: set \
                 BROKER_PASSWORD_FILE (or BROKER_PASSWORD), or BROKER_ALLOW_UNAUTHENTICATED=true",
            );
        }
    }

    pub(crate) fn data_dir(
        &mut self,
        text: Option<String>,
        role: Role,
        work_server_is_set: bool,
    ) -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        let folder = text.map(PathBuf::from).or_else(|| {
            Some(etcetera::choose_base_strategy().ok()?.data_dir().join("work-factory"))
        });
        let is_needed = role.runs_broker(work_server_is_set);
        if folder.is_none() && is_needed {
            self.fault(
                "BROKER_DATA_DIR",
                "must be set, because the user's data folder can't be found",
            );
        }
        folder
    }
}

/// What stands for a value that has a fault; the settings are then never used.
pub(crate) trait Placeholder {
    fn placeholder() -> Self;
}

macro_rules! placeholder {
    ($($type:ty: $value:expr),* $(,)?) => {$(
        impl Placeholder for $type {
            fn placeholder() -> Self {
                $value
            }
        }
    )*};
}

placeholder! {
    Duration: Duration::ZERO,
    usize: 0,
    bool: false,
    Vec<String>: Vec::new(),
    u32: 0,
    QueueOrder: QueueOrder::strict([""]),
    String: String::new(),
    LogFormat: LogFormat::Text,
    SocketAddr: SocketAddr::from(([127, 0, 0, 1], 0)),
}

/// The first line of a file. The path is not repeated: who sets a password where its file is meant
/// would read it in the log.
fn read_secret(path: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("must name a file that can be read: {error}"))?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err("must name a file whose first line is the password; that line is empty".into()),
    }
}
