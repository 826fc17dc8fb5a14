//! A work server that remembers the ids of the jobs that are pushed, as the broker does, and whose
//! connections break where the test says so. It keeps its jobs in memory, and hands none out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faktory_link::LinkConfig;
use faktory_wire::{Command, JOB_ID_REUSED, Job, KEY_REUSED, PushGroup};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a push instead of its being carried out and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset when so many bytes of the command have been read.
    CutCommand(usize),
    /// The command is carried out, and the connection ends after so many bytes of the answer.
    CutAnswer(usize),
    /// The command is carried out, and this line is sent for an answer.
    Say(&'static str),
    /// The command is not carried out, and this line is sent for an answer.
    Refuse(&'static str),
    /// The command is carried out and not answered; the connection stays.
    Silence,
}

/// The server. It ends when this value is dropped.
pub struct Remembering {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// The seconds for which the server says that it remembers ids; 0 makes it a Faktory.
    once: u32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    faults: VecDeque<Fault>,
    /// The lines of the pushes that have arrived whole, but for empty pushes.
    lines: Vec<String>,
    stored: Vec<Job>,
    /// What was pushed by each caller under each id.
    ids: HashMap<(Option<String>, String), Content>,
    /// The hash that came with each key.
    keys: HashMap<String, String>,
}

/// What tells two jobs with one id apart: job type, args and queue.
type Content = (String, String, Option<String>);

impl Remembering {
    /// Starts a server that says in its greeting that it remembers ids for `once` seconds. Each of
    /// these faults happens to one push, the first to the first.
    pub async fn start(once: u32, faults: impl IntoIterator<Item = Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner { faults: faults.into_iter().collect(), ..Inner::default() };
        let shared = Arc::new(Shared { once, inner: Mutex::new(inner) });
        let for_sessions = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let session = Session { stream, shared: Arc::clone(&for_sessions) };
                sessions.spawn(session.run());
            }
        });
        Self { address, shared, task }
    }

    /// A link configuration for this server, with short deadlines.
    #[must_use]
    pub fn link(&self) -> LinkConfig {
        LinkConfig {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            max_connections: 4,
            ..LinkConfig::new(self.address.ip().to_string(), self.address.port())
        }
    }

    /// The jobs that are stored, in the order in which they came.
    #[must_use]
    pub fn stored(&self) -> Vec<Job> {
        self.shared.inner().stored.clone()
    }

    /// The lines of the pushes that have arrived whole, without their endings; empty pushes are
    /// left out.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.shared.inner().lines.clone()
    }

    /// Adds a fault, for the next push that has none.
    pub fn fail_next(&self, fault: Fault) {
        self.shared.inner().faults.push_back(fault);
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
struct Session {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Session {
    async fn run(mut self) {
        let once = self.shared.once;
        let abilities =
            if once > 0 { format!(",\"wf\":{{\"once\":{once}}}") } else { String::new() };
        self.send(format!("+HI {{\"v\":2{abilities}}}\r\n").as_bytes()).await;
        let mut read = Vec::new();
        if self.line(&mut read).await.is_none() {
            return;
        }
        self.send(b"+OK\r\n").await;
        loop {
            // A command that is cut must not be read further than that.
            let is_push = |read: &[u8]| read.first().is_some_and(|byte| b"PW".contains(byte));
            while read.len() < b"PUSHB []".len() && !read.contains(&b'\n') {
                if !self.more(&mut read).await {
                    return;
                }
            }
            let is_probe = read.starts_with(b"PUSHB []");
            let fault = if is_push(&read) && !is_probe {
                self.shared.inner().faults.pop_front()
            } else {
                None
            };
            if let Some(Fault::CutCommand(at)) = fault {
                while read.len() < at && self.more(&mut read).await {}
                return self.stream.set_zero_linger().unwrap();
            }
            let Some(line) = self.line(&mut read).await else { return };
            if fault.is_some() || !is_probe {
                self.shared.inner().lines.push(line.clone());
            }
            let answer = match &fault {
                Some(Fault::Refuse(text)) => format!("-{text}\r\n"),
                _ => self.shared.carry_out(line.as_bytes()),
            };
            match fault {
                None | Some(Fault::Refuse(_) | Fault::CutCommand(_)) => {
                    self.send(answer.as_bytes()).await;
                }
                Some(Fault::Say(text)) => self.send(format!("{text}\r\n").as_bytes()).await,
                Some(Fault::Silence) => while self.more(&mut read).await {},
                Some(Fault::CutAnswer(at)) => {
                    return self.send(answer.as_bytes().get(..at).unwrap_or_default()).await;
                }
            }
        }
    }

    /// Takes a line from what was read, or is read now; `None` at the end of the connection.
    async fn line(&mut self, read: &mut Vec<u8>) -> Option<String> {
        loop {
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = read.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if !self.more(read).await {
                return None;
            }
        }
    }

    async fn more(&mut self, read: &mut Vec<u8>) -> bool {
        matches!(self.stream.read_buf(read).await, Ok(count) if count > 0)
    }

    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }
}

impl Shared {
    /// Carries a command out, and returns its answer.
    fn carry_out(&self, line: &[u8]) -> String {
        let mut inner = self.inner();
        match Command::parse(line) {
            Ok(Command::PushBulk(jobs)) => {
                inner.stored.extend(jobs);
                "$2\r\n{}\r\n".into()
            }
            Ok(Command::PushOnce(push)) if self.once > 0 => {
                let all = PushGroup { jobs: push.jobs.len(), ..PushGroup::default() };
                let groups = if push.groups.is_empty() { vec![all] } else { push.groups };
                let mut jobs = push.jobs.into_iter();
                let mut refused = Map::new();
                for group in groups {
                    let jobs: Vec<Job> = jobs.by_ref().take(group.jobs).collect();
                    inner.push_group(&group, jobs, &mut refused);
                }
                let map = Value::from(refused).to_string();
                format!("${}\r\n{map}\r\n", map.len())
            }
            Ok(Command::End) => String::new(),
            Ok(_) => "+OK\r\n".into(),
            Err(error) => format!("-ERR {error}\r\n"),
        }
    }
}

impl Inner {
    fn push_group(&mut self, group: &PushGroup, jobs: Vec<Job>, refused: &mut Map<String, Value>) {
        if let Some(key) = &group.key {
            let hash = self.keys.entry(key.id.clone()).or_insert_with(|| key.hash.clone());
            if *hash != key.hash {
                refused.extend(jobs.into_iter().map(|job| (job.jid, KEY_REUSED.into())));
                return;
            }
        }
        for job in jobs {
            let args = job.args.as_ref().map_or("", |args| args.get()).to_owned();
            let content: Content = (job.jobtype.clone(), args, job.queue.clone());
            match self.ids.get(&(group.caller.clone(), job.jid.clone())) {
                Some(known) if *known == content => {}
                Some(_) => {
                    refused.insert(job.jid, JOB_ID_REUSED.into());
                }
                None => {
                    self.ids.insert((group.caller.clone(), job.jid.clone()), content);
                    self.stored.push(job);
                }
            }
        }
    }
}
