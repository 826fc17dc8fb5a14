//! The runtime of the lanes: one thread, apart from those of the handlers, that rests between two
//! looks at the sockets where there is much to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The rest of the lanes' thread before it waits for more, where jobs end faster than one in this
/// time. Woken for every packet, the thread takes half as much processor time again (52 µs for a
/// job that does nothing against 33, on a Faktory that answers 6,000 a second), and takes some of
/// it from the server where both are on one machine. A network adapter coalesces its interrupts
/// for the same reason.
pub(crate) const REST: Duration = Duration::from_micros(500);

/// Makes the runtime; its thread rests while `is_busy`.
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
