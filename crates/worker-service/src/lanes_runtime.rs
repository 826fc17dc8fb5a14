//! The runtime of the lanes: one thread, apart from the handlers', which rests between looks where
//! there is much to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Where jobs end faster than one in this time, the lanes' thread rests for as long before it waits
/// for more: woken for every packet it takes half as much processor time again (52 µs a job that
/// does nothing against 33, on a Faktory that answers 6,000 a second), and takes some of it from
/// the server where both are on one machine. What a network adapter does with its interrupts.
pub(crate) const REST: Duration = Duration::from_micros(500);

/// Makes it; it rests while `is_busy`.
pub(crate) fn build(is_busy: Arc<AtomicBool>) -> io::Result<Runtime> {
    let rest = move || {
        if is_busy.load(Ordering::Relaxed) {
            std::thread::sleep(REST);
        }
    };
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("worker-lanes")
        .enable_all()
        .on_thread_park(rest)
        .build()
}
