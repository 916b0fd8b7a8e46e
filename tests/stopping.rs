//! SIGTERM under load: whatever had reached the broker is answered, and it is gone soon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::process::{ServeProcess, client_secret};
use support::setup::{Platforms, Setup};

const SENDERS: usize = 16;

/// Signs in on a new connection again and again until none is taken any more; gives the answers' first lines.
fn sign_in_until_refused(address: SocketAddr, request: &str) -> Vec<String> {
    let mut answers = Vec::new();
    while let Ok(mut connection) = TcpStream::connect(address) {
        let mut answer = String::new();
        let sent = connection.write_all(request.as_bytes());
        let read = sent.and_then(|()| connection.read_to_string(&mut answer).map(drop));
        answers.push(match read {
            Ok(()) => answer.lines().next().unwrap_or("nothing").to_owned(),
            Err(error) => error.to_string(),
        });
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_under_load_answers_whatever_reached_it_and_ends_within_ten_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServeProcess::start(&Setup::platforms(&Platforms::new()), directory.path()).await;
    let client = client_secret(directory.path(), "alice").await;
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", client.client_id, client.secret);
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let address = server.address;
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || sign_in_until_refused(address, &request))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await; // the load is there; nothing waits for it to be over
    let begun = Instant::now();
    server.signal("TERM").await;
    assert!(server.ended().await, "it ends as one that was asked to");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    let answers: Vec<String> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let mut failed = answers.clone();
    failed.retain(|line| line != "HTTP/1.1 200 OK");
    assert!(answers.len() > 3 * SENDERS, "{} requests are no load", answers.len());
    assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), answers.len(), failed.first());
}
