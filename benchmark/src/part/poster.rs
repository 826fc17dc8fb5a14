//! The ways to post jobs: our client over HTTP, our link, and the faktory crate.

mod crate_clients;
mod http;
mod link;
mod numbered;
mod posted;

use std::ops::Range;
use std::time::Duration;

use anyhow::Context;

use super::order::{LoadOrder, Via};
use crate_clients::CrateClients;
use http::HttpPoster;
use link::LinkPoster;
use numbered::NumberedJobs;

pub(crate) use posted::Posted;

/// The longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(60);

enum Way {
    Http(HttpPoster),
    Link(Box<LinkPoster>),
    Crate(CrateClients),
}

/// Posts jobs of one shape by one way.
pub(crate) struct Poster {
    way: Way,
    jobs: NumberedJobs,
}

impl Poster {
    pub(crate) async fn connect(order: &LoadOrder) -> anyhow::Result<Self> {
        let server = || order.server.clone().context("the order has no work server");
        let way = match order.via {
            Via::Http => {
                let api = order.api.as_deref().context("the order has no API")?;
                Way::Http(HttpPoster::connect(api, order.key.as_deref(), TIMEOUT).await?)
            }
            Via::Link | Via::Worker | Via::Raw => {
                let link = LinkPoster::connect(&server()?, order.connections, TIMEOUT).await?;
                Way::Link(Box::new(link))
            }
            Via::Crate => {
                Way::Crate(CrateClients::connect(&server()?, order.connections, TIMEOUT).await?)
            }
        };
        Ok(Self { way, jobs: NumberedJobs::of(order)? })
    }

    /// Posts the jobs with these numbers in one request; `intended_us` is the intended time of the
    /// request.
    pub(crate) async fn post(&self, numbers: Range<u64>, intended_us: u64) -> Posted {
        match &self.way {
            Way::Http(http) => http.post(&self.jobs, numbers, intended_us).await,
            Way::Link(link) => link.post(&self.jobs, numbers, intended_us).await,
            Way::Crate(clients) => clients.post(&self.jobs, numbers, intended_us).await,
        }
    }

    /// Posts the jobs with these numbers as one stream, and calls `each` with the outcome of one
    /// job after the other, in any order.
    pub(crate) async fn stream(
        &self,
        numbers: Range<u64>,
        each: &mut impl FnMut(Posted),
    ) -> Result<(), String> {
        match &self.way {
            Way::Http(http) => http.stream(&self.jobs, numbers, each).await,
            Way::Link(_) | Way::Crate(_) => Err("only the API takes streams".into()),
        }
    }
}
