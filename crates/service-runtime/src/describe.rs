//! The configuration in effect, for the log.

use crate::role::Role;
use crate::settings::Settings;

impl Settings {
    /// What is in effect for a process of this role, secrets hidden, for the log.
    #[must_use]
    pub fn describe(&self, role: Role) -> String {
        let Self { link, api, worker, broker, shutdown_timeout, log_filter, log_format } = self;
        let with_broker = role.runs_broker(link.url_is_set);
        let mut parts = Vec::new();
        if role != Role::Broker {
            let url =
                if with_broker { "the embedded broker".to_owned() } else { link.url.to_string() };
            parts.push(format!(
                "work_server={url} work_server_tls={} max_connections={} connection_timeout={:?} \
                 read_timeout={:?} write_timeout={:?} keepalive={:?}/{:?} congestion={} \
                 breaker={}/{:?}",
                link.tls
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), |tls| tls.server_name.to_str().into_owned()),
                link.max_connections,
                link.connection_timeout,
                link.read_timeout,
                link.write_timeout,
                link.keepalive_idle,
                link.keepalive_interval,
                link.congestion.as_deref().unwrap_or("the system's"),
                link.breaker_failures,
                link.breaker_open
            ));
        }
        if role.runs_api() {
            parts.push(format!(
                "api_bind={} api_tls={} keys={} allowed_hosts={} request_timeout={:?} \
                 max_body_bytes={} max_batch_jobs={} max_queues={} compress_from={}",
                api.bind,
                if api.tls.is_some() { "own certificate" } else { "none" },
                api.keys
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), |(_, keys)| keys.len().to_string()),
                if api.allowed_hosts.is_empty() {
                    "none".to_owned()
                } else {
                    api.allowed_hosts.join(",")
                },
                api.request_timeout,
                api.max_body_bytes,
                api.max_batch_jobs,
                api.max_queues,
                api.compress_from.map_or_else(|| "never".to_owned(), |bytes| bytes.to_string())
            ));
        }
        if role.runs_worker() {
            let bind = worker.bind.map_or_else(|| "none".into(), |bind| bind.to_string());
            parts.push(format!(
                "worker_concurrency={} worker_queues={} max_fetch_lanes={} max_prefetch={} \
                 job_timeout={} poll_interval={:?} worker_bind={bind}",
                worker.concurrency,
                worker.queues,
                worker.max_fetch_lanes,
                worker.max_prefetch,
                worker.job_timeout.map_or_else(|| "none".into(), |limit| format!("{limit:?}")),
                worker.poll_interval
            ));
        }
        if with_broker {
            let folder = broker
                .data_dir
                .as_deref()
                .map_or_else(|| "none".into(), |folder| folder.display().to_string());
            let password = if broker.password.is_some() { "[redacted]" } else { "none" };
            parts.push(format!(
                "broker_bind={} data_dir={folder} broker_tls={} broker_password={password}",
                broker.bind,
                if broker.tls.is_some() { "own certificate" } else { "none" }
            ));
        }
        parts.push(format!(
            "shutdown_timeout={shutdown_timeout:?} log_filter={log_filter} \
             log_format={log_format:?}"
        ));
        parts.join(" ")
    }
}
