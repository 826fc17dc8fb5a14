//! What the core is told while a long line becomes a command.

use tokio::net::TcpListener;

use super::*;
use crate::budget::Budget;
use crate::catch_up::CatchUp;
use crate::command_memory::CommandMemory;
use crate::config::BrokerConfig;
use crate::connection::{line_memory, window};

const LINE_MAX: usize = 1 << 20;
const ROUND: Duration = Duration::from_secs(1);

/// What the core is told of a connection whose client sent a long line and a BEAT, when the line is
/// parsed only after so many seconds. The time is that of the runtime, which passes at once.
async fn events_where_parsing_takes(seconds: u64) -> Vec<Event> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let (mut catch_up, asked) = CatchUp::new(ROUND);
    let (core, events) = flume::unbounded();
    let filler = "x".repeat(LINE_MAX / 2);
    let lines = format!("PUSH {{\"jid\":\"{filler}\"}}\r\nBEAT {{\"wid\":\"w\"}}\r\n");
    let buffer = BytesMut::from(lines.as_str());
    let budget = Budget::new(LINE_MAX, line_memory::largest(LINE_MAX));
    let commands = CommandMemory::new();
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
    let turned_away = TurnedAway::new(&config);
    let (window, _answered) = window::window();
    let reader = CommandReader {
        answers: Answers {
            connection: ConnectionId(1),
            core: &core,
            catching_up: CatchingUp::new(asked, &stream),
        },
        decoder: LineDecoder::new(LINE_MAX),
        window,
        memory: LineMemory::new(&budget, LINE_MAX, buffer.capacity()),
        command_memory: commands.of_connection(),
        buffer,
        stream: &stream,
        turned_away: &turned_away,
    };
    let parsers = commands.take_parsers().await;
    catch_up.begin(ROUND, false);
    let (mut nothing, _end) = tokio::io::duplex(1);
    let parsing = async {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        drop(parsers);
        let mut told = Vec::new();
        while told.len() < 3 {
            told.push(events.recv_async().await.unwrap());
        }
        told
    };
    tokio::select! {
        _ = reader.run(&mut nothing) => panic!("the input has no end"),
        told = parsing => told,
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_not_caught_up_while_a_long_line_is_parsed() {
    let told = events_where_parsing_takes(4).await;
    let is_in_order = matches!(
        told.as_slice(),
        [
            Event::Request { .. },
            Event::Request { request: Ok(Command::Beat(_)), .. },
            Event::CaughtUp { .. }
        ]
    );
    assert!(is_in_order, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_parsed_for_very_long_holds_up_no_round_and_its_worker_counts_as_heard() {
    let told = events_where_parsing_takes(6).await;
    let first = told.first();
    assert!(matches!(first, Some(Event::CaughtUp { sends_on: true, .. })), "{first:?}");
}
