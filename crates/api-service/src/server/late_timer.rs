//! The timer for hyper, which closes a connection whose next request has not come in time.
//!
//! Hyper reads first and asks the timer then. A process that was stopped finds the time over, with
//! a request in the socket that Tokio does not know of yet; so the timer ends only after Tokio has
//! looked.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use deadline::LateSleep;
use hyper::rt::{Sleep, Timer};

/// The timer.
#[derive(Debug, Clone, Copy)]
pub(super) struct LateTimer;

impl Timer for LateTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HyperSleep { sleep: LateSleep::until(deadline.into()) })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        if let Some(sleep) = sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            sleep.project().sleep.reset(deadline.into());
        }
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

pin_project_lite::pin_project! {
    /// The sleep in hyper's terms.
    struct HyperSleep {
        #[pin]
        sleep: LateSleep,
    }
}

impl Future for HyperSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(context)
    }
}

impl Sleep for HyperSleep {}
