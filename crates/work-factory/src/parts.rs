//! The parts that run in this process: broker, API and worker. They are started in the order in
//! which they need each other, and stopped in the reverse order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api_service::{Api, ApiConfig, Registry};
use faktory_broker::{Broker, BrokerConfig, BrokerError, IdLimits, RememberedIds, SetAside};
use service_runtime::metrics as names;
use service_runtime::{Role, ServerTls, Settings, Tasks, WorkServerUrl};
use tokio::task::JoinHandle;
use worker_service::{RunningWorker, Worker, WorkerConfig};

use crate::faults;

/// The parts that run.
pub(crate) struct Running {
    pub(crate) broker: Option<Broker>,
    pub(crate) api: Option<Api>,
    pub(crate) worker: Option<RunningWorker>,
    /// The end of a worker that the work server told to end, beside an API that goes on.
    ending_worker: Option<JoinHandle<()>>,
    /// The task that reads the broker's certificate again when its files change.
    certificate: Tasks,
    /// The work server that API and worker use.
    pub(crate) work_server: WorkServerUrl,
}

impl Running {
    pub(crate) async fn start(
        role: Role,
        settings: &Settings,
        jobs: &Registry,
    ) -> anyhow::Result<Self> {
        let mut settings = settings.clone();
        let with_broker = role.runs_broker(settings.link.url_is_set);
        let broker = if with_broker { Some(start_broker(&settings).await?) } else { None };
        if let Some(broker) = &broker {
            let address = reachable(broker.address());
            let password = settings.broker.password.clone();
            settings.link.url = WorkServerUrl {
                host: address.ip().to_string(),
                port: address.port(),
                is_tls: settings.broker.tls.is_some(),
                password,
            };
            settings.link.tls = settings.broker.tls.as_ref().map(ServerTls::own_client);
        }
        let mut certificate = Tasks::default();
        if let (Some(_), Some(tls)) = (&broker, settings.broker.tls.clone()) {
            certificate.spawn("reload of the certificate", tls.reload("BROKER_TLS_CERT_FILE"));
        }
        let api = if role.runs_api() { Some(start_api(&settings, jobs).await?) } else { None };
        let worker =
            if role.runs_worker() { Some(start_worker(&settings, jobs).await?) } else { None };
        let ending_worker = None;
        Ok(Self { broker, api, worker, ending_worker, certificate, work_server: settings.link.url })
    }

    /// Waits until the process is to end by itself: the broker has failed, or a task of another
    /// part has ended that was to run on (with the error); or a worker that runs alone was told to
    /// end.
    /// A worker that was told so beside an API ends alone; the API goes on. Cancel safe.
    pub(crate) async fn ended_by_itself(&mut self, timeout: Duration) -> anyhow::Result<()> {
        loop {
            let broker = async {
                match &mut self.broker {
                    Some(broker) => broker.failed().await,
                    None => std::future::pending().await,
                }
            };
            let api = async {
                match &mut self.api {
                    Some(api) => api.failed().await,
                    None => std::future::pending().await,
                }
            };
            let worker = async {
                match &mut self.worker {
                    Some(worker) => worker.must_stop().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                failure = broker => {
                    tracing::error!(error = %failure, "the broker has failed");
                    return Err(failure.into());
                }
                failure = api => return Err(failure.into()),
                failure = self.certificate.failed() => {
                    failure.log();
                    return Err(failure.into());
                }
                ended = worker => ended?,
            }
            if self.api.is_none() {
                return Ok(());
            }
            // A task, because this function is dropped when a signal comes.
            self.ending_worker =
                self.worker.take().map(|worker| tokio::spawn(worker.stop(timeout)));
        }
    }

    /// Has the worker, where there is one, fetch no more.
    pub(crate) fn quiet(&self) {
        if let Some(worker) = &self.worker {
            worker.quiet();
        }
    }

    /// Stops everything: API and worker first, within `timeout`, then the broker that they use.
    pub(crate) async fn stop(self, timeout: Duration) -> Result<(), BrokerError> {
        let api = async {
            if let Some(api) = self.api {
                api.stop(timeout).await;
            }
        };
        let worker = async {
            if let Some(worker) = self.worker {
                worker.stop(timeout).await;
            }
            if let Some(ending) = self.ending_worker {
                let _ = ending.await;
            }
        };
        tokio::join!(api, worker);
        drop(self.certificate);
        match self.broker {
            Some(broker) => broker.stop().await,
            None => Ok(()),
        }
    }
}

async fn start_api(settings: &Settings, jobs: &Registry) -> anyhow::Result<Api> {
    let config = ApiConfig::from_settings(settings).with_jobs(jobs.clone());
    Api::start(config).await.map_err(faults::of_api)
}

async fn start_worker(settings: &Settings, jobs: &Registry) -> anyhow::Result<RunningWorker> {
    let builder = Worker::builder(WorkerConfig::from_settings(settings)).register_jobs(jobs);
    let builder = builder.serve_health(settings.worker.bind).await.map_err(faults::of_worker)?;
    Ok(builder.start()?)
}

async fn start_broker(settings: &Settings) -> anyhow::Result<Broker> {
    let broker = &settings.broker;
    let data_dir = broker
        .data_dir
        .clone()
        .context("BROKER_DATA_DIR must be set, because the user's data folder can't be found")?;
    let mut config = BrokerConfig::new(broker.bind, data_dir);
    config.max_input_bytes = broker.max_input_bytes;
    config.min_free_bytes = broker.min_free as u64;
    config.ids = IdLimits {
        // 30 days at most.
        seconds: u32::try_from(broker.dedup_window.as_secs()).unwrap_or(u32::MAX),
        bytes: broker.dedup_max_bytes as u64,
    };
    config.tls = broker.tls.as_ref().map(|tls| tls.config(&[]));
    config.observer = Some(Arc::new(BrokerFigures));
    config.password = broker.password.as_ref().map(|password| password.reveal().to_owned());
    config.max_connections = settings.connections.broker;
    config.trusted = settings.process.trusted_nets.clone();
    Broker::start(config).await.map_err(faults::of_broker)
}

/// Counts what happens in the broker.
struct BrokerFigures;

impl faktory_broker::Observer for BrokerFigures {
    fn wrong_password(&self) {
        metrics::counter!(names::BROKER_WRONG_PASSWORDS).increment(1);
    }

    fn connection_made_room(&self) {
        metrics::counter!(names::BROKER_TURNED_AWAY, "reason" => "made_room").increment(1);
    }

    fn connection_refused(&self) {
        metrics::counter!(names::BROKER_TURNED_AWAY, "reason" => "too_many").increment(1);
    }

    fn arriving_command_refused(&self) {
        metrics::counter!(names::BROKER_COMMANDS_REFUSED, "memory" => "arriving").increment(1);
    }

    fn unanswered_command_refused(&self) {
        metrics::counter!(names::BROKER_COMMANDS_REFUSED, "memory" => "unanswered").increment(1);
    }

    fn pushes_refused(&self, count: u64) {
        metrics::counter!(names::BROKER_PUSHES_REFUSED).increment(count);
    }

    fn disk_free(&self, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(names::BROKER_DISK_FREE).set(bytes as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn remembered_ids(&self, now: RememberedIds, duplicates: u64) {
        metrics::gauge!(names::BROKER_REMEMBERED_IDS).set(now.count as f64);
        metrics::gauge!(names::BROKER_DEDUP_WINDOW).set(f64::from(now.window));
        metrics::counter!(names::BROKER_DUPLICATES).increment(duplicates);
    }

    fn set_aside(&self, found: SetAside) {
        metrics::gauge!(names::BROKER_BAD_BLOCKS).set(found.blocks as f64);
        metrics::gauge!(names::BROKER_FILES_SET_ASIDE).set(found.files as f64);
    }
}

/// The address to connect to: a broker that listens on every address is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use faktory_wire::BrokerCounts;
    use serde_json::Value;
    use service_runtime::metrics::METRICS;

    use super::*;

    #[tokio::test]
    async fn a_process_ends_with_an_error_where_a_task_of_it_breaks_off() {
        let mut running = Running {
            broker: None,
            api: None,
            worker: None,
            ending_worker: None,
            certificate: Tasks::default(),
            work_server: Settings::default().link.url,
        };
        running.certificate.spawn("one that panics", async { panic!("deliberate") });
        let error = running.ended_by_itself(Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("one that panics"), "{error}");
        running.stop(Duration::ZERO).await.unwrap();
    }

    #[test]
    fn info_has_the_counters_of_the_broker_under_the_names_of_its_metrics() {
        let mut metrics: Vec<(String, String)> = METRICS
            .iter()
            .filter(|metric| metric.name.starts_with("work_factory_broker_"))
            .map(|metric| (metric.name.to_owned(), metric.labels.to_owned()))
            .collect();
        let Value::Object(info) = serde_json::to_value(BrokerCounts::default()).unwrap() else {
            panic!()
        };
        let labels = |value: Value| match value {
            Value::Object(values) => values.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        };
        for (name, value) in info {
            let at = metrics.iter().position(|(metric, _)| *metric == name);
            let (_, of_metric) = metrics.remove(at.unwrap_or_else(|| panic!("{name}")));
            let of_metric = of_metric.split_once(": ").map_or("", |(_, values)| values);
            assert_eq!(labels(value).join(", "), of_metric, "{name}");
        }
        assert_eq!(metrics, [], "INFO lacks these");
    }
}
