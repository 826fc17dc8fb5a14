//! A sleep that ends after the last look.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{TURN, TURNS};

pin_project_lite::pin_project! {
    /// A sleep that ends some 20 ms after its time: after as many turns of the I/O driver as
    /// [`turns`](crate::turns) waits for. Each turn wakes the task, so whatever the task polls
    /// before this sleep is polled in each. Cancel safe.
    #[derive(Debug)]
    pub struct LateSleep {
        #[pin]
        sleep: Sleep,
        turns: u8,
    }
}

impl LateSleep {
    /// A sleep until then.
    #[must_use]
    pub fn until(time: Instant) -> Self {
        Self { sleep: sleep_until(time), turns: 0 }
    }

    /// Begins anew, until then.
    pub fn reset(self: Pin<&mut Self>, time: Instant) {
        let this = self.project();
        this.sleep.reset(time);
        *this.turns = 0;
    }
}

impl Future for LateSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.sleep.as_mut().poll(context));
            if *this.turns == TURNS {
                return Poll::Ready(());
            }
            *this.turns += 1;
            this.sleep.as_mut().reset(Instant::now() + TURN);
        }
    }
}
