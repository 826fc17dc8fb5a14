//! What the core is told while a long line becomes a command, or is refused.

use tokio::net::TcpListener;

use super::*;
use crate::budget::Budget;
use crate::catch_up::{Asked, CatchUp};
use crate::command_memory::CommandMemory;
use crate::config::BrokerConfig;
use crate::connection::{line_memory, window};

const LINE_MAX: usize = 1 << 20;
const ROUND: Duration = Duration::from_secs(1);

/// The memory for commands, and what the core and the log are told.
struct World {
    commands: CommandMemory,
    turned_away: TurnedAway,
    core: flume::Sender<Event>,
    events: flume::Receiver<Event>,
}

impl World {
    fn new() -> Self {
        let (core, events) = flume::unbounded();
        let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
        let turned_away = TurnedAway::new(&config);
        Self { commands: CommandMemory::new(), turned_away, core, events }
    }

    /// Reads a long line and a BEAT of a client until `done`.
    async fn read_until<T>(&self, asked: Asked, done: impl Future<Output = T>) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let filler = "x".repeat(LINE_MAX / 2);
        let lines = format!("PUSH {{\"jid\":\"{filler}\"}}\r\nBEAT {{\"wid\":\"w\"}}\r\n");
        let buffer = BytesMut::from(lines.as_str());
        let budget = Budget::new(LINE_MAX, line_memory::largest(LINE_MAX));
        let (window, _answered) = window::window();
        let reader = CommandReader {
            answers: Answers {
                connection: ConnectionId(1),
                core: &self.core,
                catching_up: CatchingUp::new(asked, &stream),
            },
            decoder: LineDecoder::new(LINE_MAX),
            window,
            memory: LineMemory::new(&budget, LINE_MAX, buffer.capacity()),
            command_memory: self.commands.of_connection(),
            untold: Untold::default(),
            buffer,
            stream: &stream,
            turned_away: &self.turned_away,
        };
        let (mut nothing, _end) = tokio::io::duplex(1);
        tokio::select! {
            _ = reader.run(&mut nothing) => panic!("the input has no end"),
            output = done => output,
        }
    }

    /// The next events for the core.
    async fn told(&self, count: usize) -> Vec<Event> {
        let mut told = Vec::new();
        while told.len() < count {
            told.push(self.events.recv_async().await.unwrap());
        }
        told
    }
}

/// The only request of an event.
fn request(event: &Event) -> Option<&Request> {
    match event {
        Event::Requests { requests, .. } => match requests.as_slice() {
            [request] => Some(request),
            _ => None,
        },
        _ => None,
    }
}

fn is_beat(event: &Event) -> bool {
    request(event).is_some_and(|request| matches!(request.command, Ok(Command::Beat(_))))
}

/// What the core is told of a connection whose client sent a long line and a BEAT, when the line is
/// parsed only after so many seconds. The time is that of the runtime, which passes at once.
async fn events_where_parsing_takes(seconds: u64) -> Vec<Event> {
    let world = World::new();
    let (mut catch_up, asked) = CatchUp::new(ROUND);
    let parsers = world.commands.take_parsers().await;
    catch_up.begin(ROUND, false);
    let parsing = async {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        drop(parsers);
        world.told(3).await
    };
    world.read_until(asked, parsing).await
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_not_caught_up_while_a_long_line_is_parsed() {
    let told = events_where_parsing_takes(4).await;
    let is_in_order = matches!(
        told.as_slice(),
        [first, second, Event::CaughtUp { .. }] if request(first).is_some() && is_beat(second)
    );
    assert!(is_in_order, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_parsed_for_very_long_holds_up_no_round_and_its_worker_counts_as_heard() {
    let told = events_where_parsing_takes(6).await;
    let first = told.first();
    assert!(matches!(first, Some(Event::CaughtUp { sends_on: true, .. })), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_command_without_memory_for_20_s_is_refused_and_the_next_one_is_carried_out() {
    let world = World::new();
    let (_catch_up, asked) = CatchUp::new(ROUND);
    // Another client has all of the memory that connections share.
    let _all = world.commands.of_connection().reserve(usize::MAX).await.unwrap();
    let begin = tokio::time::Instant::now();
    let told = tokio::time::timeout(Duration::from_secs(60), world.told(2));
    let told = world.read_until(asked, told).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 20);
    let first = request(&told[0]).unwrap();
    assert!(first.reserved.is_none());
    assert_eq!(first.command, Err(CommandError::new(NO_MEMORY)));
    assert!(is_beat(&told[1]), "{told:?}");
    assert_eq!(world.turned_away.unanswered_commands(), 1);
}
