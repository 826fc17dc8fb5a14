//! The null server: greets, finds the end of each line, recognises the verb and answers. It keeps
//! nothing, so its rate is the most that a server on this runtime could reach under a load.

use memchr::memchr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::order::NullOrder;
use super::raw::NULL_JOB;
use super::{Channel, serve};

/// The bytes that are read at once.
const READ: usize = 128 << 10;
const GREETING: &[u8] = b"+HI {\"v\":2}\r\n";

pub(crate) async fn run(order: NullOrder, channel: Channel) -> anyhow::Result<()> {
    serve::serve(order.bind, channel, answer_all).await
}

async fn answer_all(mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    client.write_all(GREETING).await?;
    let job = format!("${}\r\n{NULL_JOB}\r\n", NULL_JOB.len());
    let (mut input, mut output) = (Vec::with_capacity(2 * READ), Vec::new());
    // Bytes of the unfinished line that are known to hold no line feed.
    let mut searched = 0;
    loop {
        input.reserve(READ);
        if client.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut line_begins = 0;
        while let Some(length) = input.get(searched..).and_then(|rest| memchr(b'\n', rest)) {
            let line = input.get(line_begins..searched + length).unwrap_or_default();
            output.extend_from_slice(answer(line, job.as_bytes()));
            searched += length + 1;
            line_begins = searched;
        }
        input.drain(..line_begins);
        searched = input.len();
        if !output.is_empty() {
            client.write_all(&output).await?;
            output.clear();
        }
    }
}

fn answer<'a>(line: &[u8], job: &'a [u8]) -> &'a [u8] {
    let verb_ends = memchr(b' ', line.get(..8).unwrap_or(line));
    match line.get(..verb_ends.unwrap_or(line.len())).unwrap_or_default() {
        b"PUSHB" => b"$2\r\n{}\r\n",
        b"PUSH" | b"ACK" | b"HELLO" => b"+OK\r\n",
        b"FETCH" => job,
        _ => b"-ERR the null server does not know this command\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_of_the_raw_load_has_its_answer() {
        let answered = |line: &[u8]| answer(line, b"a job");
        assert_eq!(answered(b"PUSH {\"jid\":\"a\"}\r"), b"+OK\r\n");
        assert_eq!(answered(b"PUSHB [{\"jid\":\"a\"}]\r"), b"$2\r\n{}\r\n");
        assert_eq!(answered(b"FETCH q\r"), b"a job");
        assert_eq!(answered(b"ACK {}\r"), b"+OK\r\n");
        for unknown in [b"INFO\r".as_slice(), b"", b"a long line without any verb"] {
            assert!(answered(unknown).starts_with(b"-ERR"));
        }
    }
}
