//! The registry of all variables: a new one is one entry here, one field in `settings`, and one row
//! in the README.

use std::fmt::Write;

/// One variable of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What counts where it is not set, as text that could be set.
    pub default: &'static str,
    /// What it is for, for people.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning }
}

/// All variables, in the order in which they are documented.
pub static VARIABLES: &[Variable] = &[
    variable(
        "FAKTORY_URL",
        "tcp://127.0.0.1:7419",
        "the work server: `tcp://:password@host:port`, or `tcp+tls://…`; set, the default run \
         starts no broker of its own",
    ),
    variable("FAKTORY_PASSWORD_FILE", "", "a file with the password, instead of one in the URL"),
    variable("FAKTORY_PROVIDER", "", "the name of another variable that holds the URL"),
    variable(
        "FAKTORY_TLS_CA_FILE",
        "",
        "with `tcp+tls://`: the authorities (PEM) that may vouch for the work server; the \
         system's where not set",
    ),
    variable(
        "FAKTORY_TLS_SERVER_NAME",
        "",
        "the name in its certificate, where that is not the URL's host",
    ),
    variable(
        "FAKTORY_TLS_CERT_FILE",
        "",
        "our own certificate (PEM), where the work server asks for one",
    ),
    variable("FAKTORY_TLS_KEY_FILE", "", "its key (PEM)"),
    variable(
        "FAKTORY_MAX_CONNECTIONS",
        "50",
        "connections to the work server, for API and worker each",
    ),
    variable(
        "FAKTORY_CONNECTION_TIMEOUT",
        "5s",
        "for a place in the pool, the TCP connection and the handshake, each",
    ),
    variable(
        "FAKTORY_READ_TIMEOUT",
        "30s",
        "for a reply; a worker needs 3s or more, because an empty FETCH takes 2s",
    ),
    variable("FAKTORY_WRITE_TIMEOUT", "30s", "for a command to be taken by the network"),
    variable("FAKTORY_KEEPALIVE_IDLE", "60s", "silence after which a connection is probed"),
    variable("FAKTORY_KEEPALIVE_INTERVAL", "10s", "time between two probes"),
    variable(
        "FAKTORY_TCP_CONGESTION",
        "",
        "TCP congestion control of what is sent to the work server, such as `bbr` on lossy links; \
         the system's where not set or refused",
    ),
    variable(
        "FAKTORY_BREAKER_FAILURES",
        "5",
        "failures of the link one after another that open the circuit; 0: it never opens",
    ),
    variable(
        "FAKTORY_BREAKER_OPEN",
        "1s",
        "time until the work server is tried again while the circuit is open",
    ),
    variable("BIND_ADDR", "127.0.0.1:3000", "where the API listens"),
    variable(
        "API_TLS_CERT_FILE",
        "",
        "the API's certificate (PEM): HTTPS instead of HTTP; read again when it changes",
    ),
    variable("API_TLS_KEY_FILE", "", "its key (PEM)"),
    variable(
        "API_KEYS_FILE",
        "",
        "the keys that callers must send; read again when it changes. Without, everybody who \
         reaches the port may post",
    ),
    variable(
        "API_ALLOW_UNAUTHENTICATED",
        "false",
        "`true`: listen beyond this machine without keys",
    ),
    variable(
        "API_ALLOWED_HOSTS",
        "",
        "names under which an API without keys is reached, comma-separated, beside those of this \
         machine",
    ),
    variable("API_REQUEST_TIMEOUT", "60s", "every request has ended by then"),
    variable("API_MAX_BODY_BYTES", "16MiB", "the largest body"),
    variable("API_MAX_BATCH_JOBS", "10000", "the most jobs in one batch"),
    variable(
        "API_MAX_QUEUES",
        "1000",
        "distinct queue names accepted from callers while the API runs",
    ),
    variable(
        "COMPRESS_MIN_BYTES",
        "",
        "`args` from this size on are stored compressed, such as `2KiB`; workers in other \
         languages must then unpack them",
    ),
    variable("WORKER_CONCURRENCY", "50", "jobs run at once"),
    variable(
        "WORKER_QUEUES",
        "default",
        "queues to work on, comma-separated, in strict order; with weights \
         (`critical*5,default*3,bulk`) each is first that often",
    ),
    variable(
        "WORKER_MAX_FETCH_LANES",
        "64",
        "connections for fetches; never more than FAKTORY_MAX_CONNECTIONS less those for acks, \
         one in twelve",
    ),
    variable("WORKER_MAX_PREFETCH", "1000", "jobs fetched ahead of a place to run; 0: none"),
    variable(
        "WORKER_JOB_TIMEOUT",
        "",
        "a job that runs longer fails; its `reserve_for` ends it in any case",
    ),
    variable(
        "WORKER_POLL_INTERVAL_MS",
        "100",
        "pause after an empty fetch, for all fetchers but one",
    ),
    variable(
        "WORKER_BIND_ADDR",
        "",
        "where a worker answers `/health`, `/ready` and `/metrics`; nowhere where not set",
    ),
    variable("BROKER_BIND_ADDR", "127.0.0.1:7419", "where the embedded broker listens"),
    variable("BROKER_DATA_DIR", "", "where it stores; the user's data folder where not set"),
    variable(
        "BROKER_ALLOW_UNAUTHENTICATED",
        "false",
        "`true`: listen beyond this machine without a password",
    ),
    variable(
        "BROKER_TLS_CERT_FILE",
        "",
        "its certificate (PEM): TLS only, `tcp+tls://`; read again when it changes",
    ),
    variable("BROKER_TLS_KEY_FILE", "", "its key (PEM)"),
    variable("BROKER_PASSWORD", "", "its password; none where not set"),
    variable("BROKER_PASSWORD_FILE", "", "a file with its password"),
    variable(
        "SHUTDOWN_TIMEOUT",
        "30s",
        "time to finish what has begun; the longer, the more a worker may fetch ahead on each \
         connection",
    ),
    variable("RUST_LOG", "info", "what is logged, for example `info,faktory_link=debug`"),
    variable("LOG_FORMAT", "text", "`text` or `json`"),
];

/// Prefixes of ours: a variable that has one and is not known may be a misspelt one.
pub(crate) const PREFIXES: [&str; 5] = ["FAKTORY_", "API_", "COMPRESS_", "WORKER_", "BROKER_"];

/// The default of a variable.
pub(crate) fn default_of(name: &str) -> &'static str {
    VARIABLES.iter().find(|variable| variable.name == name).map_or("", |variable| variable.default)
}

/// The table of variables, as the README shows it.
#[must_use]
pub fn markdown_table() -> String {
    let mut table = String::from("| variable | default | |\n|---|---|---|\n");
    for Variable { name, default, meaning } in VARIABLES {
        let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
        // Writing to a string can't fail.
        let _ = writeln!(table, "| `{name}` | {default} | {meaning} |");
    }
    table
}
