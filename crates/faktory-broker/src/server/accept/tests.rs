//! What is counted in the log.

use std::io;

use super::*;
use crate::catch_up::CatchUp;

/// The text of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_to_accept_are_counted_in_the_log_and_get_no_line_each() {
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
    let (_catch_up, asked) = CatchUp::new(config.handshake_timeout);
    let (core, _events) = flume::bounded(1);
    let mut accept = Accept::new(config, core, asked, Arc::default());
    let lines = Lines::default();
    let log = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false);
    let subscriber = subscriber.with_writer(move || log.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..20 {
            accept.note_failed(&io::Error::other("too many open files"));
        }
    });
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.matches("failed to accept").count(), 1, "{lines}");
    assert!(lines.contains("count=1"), "{lines}");
}
