//! The delaying proxy, for machines without network namespaces.

use std::net::Ipv4Addr;
use std::time::Duration;

use link_emulator::{DelayProxy, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

#[tokio::test]
async fn bytes_through_the_proxy_are_delayed_and_arrive_whole() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let far = Settings { delay: Duration::from_millis(20), ..Settings::default() };
    let proxy = DelayProxy::start(target, far, far).await.unwrap();
    let begin = Instant::now();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let mut buffer = vec![0; 1_000_000];
    let sent: Vec<u8> = (0..buffer.len()).map(|at| at.to_le_bytes()[0]).collect();
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut buffer[..4]).await.unwrap();
    assert!(
        begin.elapsed() >= Duration::from_millis(80),
        "a handshake and a round trip: {:?}",
        begin.elapsed()
    );
    let (mut read, mut write) = stream.into_split();
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        (sent, write)
    });
    read.read_exact(&mut buffer).await.unwrap();
    assert!(writer.await.unwrap().0 == buffer);
}
