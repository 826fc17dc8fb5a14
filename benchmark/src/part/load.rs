//! The load as a process of its own: requests in a closed or an open loop, or as one stream.

mod closed;
mod open;
mod probe;
mod requests;
mod stream;
mod tally;

use std::sync::Arc;

use super::Channel;
use super::order::{Event, LoadOrder, Pattern, Refused, Until};
use super::poster::Poster;
use requests::Requests;

pub(crate) async fn run(order: LoadOrder, mut channel: Channel) -> anyhow::Result<()> {
    let poster = Poster::connect(&order).await?;
    let requests = Arc::new(Requests::new(poster, order.batch.max(1) as u64));
    Channel::say(&Event::Ready(None));
    let warm_up = order.warm_up;
    let work = async {
        match order.pattern {
            Pattern::Closed { clients, until: Until::Time(lasts) } => {
                closed::for_time(&requests, clients, warm_up, lasts).await
            }
            Pattern::Closed { clients, until: Until::Jobs { count, at_most } } => {
                closed::for_jobs(&requests, clients, warm_up, count, at_most).await
            }
            Pattern::Closed { until: Until::Streamed { count }, .. } => {
                stream::run(&requests, count).await
            }
            Pattern::Open { per_second, lasts } => {
                open::run(&requests, per_second, warm_up, lasts).await
            }
        }
    };
    let mut probes = probe::Probes::default();
    let probe = async {
        if !order.probe {
            std::future::pending::<()>().await;
        }
        probe::run(&order, &mut probes).await;
    };
    let (tally, mut report) = tokio::select! {
        result = work => result,
        () = probe => anyhow::bail!("the questions have ended"),
        () = channel.end() => anyhow::bail!("told to end"),
    };
    report.probed = probes.summary();
    report.jobs = tally.jobs;
    report.latency = tally.latencies.summary();
    report.refused = Refused { latency: tally.refused.summary(), reasons: tally.reasons };
    (report.each_us, report.timeline) = (tally.each_us, tally.timeline);
    report.numbered = requests.numbered();
    (report.stored, report.unknown, report.not_stored, report.errors) =
        (tally.stored, tally.unknown, tally.not_stored, tally.errors);
    Channel::say(&Event::Loaded(Box::new(report)));
    channel.end().await;
    Ok(())
}
