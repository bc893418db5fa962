//! Streams on a connection: how they end, how many there may be, how much they carry, and dead peers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

use super::rig::{Docker, Sshd, dial, for_agents, lab, ping, refusal, signal, slot};
use crate::{
    config::SshEndpoint,
    docker::connect::{DialError, Slot, broken},
    error::{Error, Kind},
};

/// The error that a stream ends with.
async fn end(sshd: &Sshd) -> Error {
    let mut stream = dial(&sshd.dialer()).await;
    let error = stream.read(&mut [0; 16]).await.expect_err("an end with an error");
    let error = broken(&error).expect("an error of ours");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(!for_agents(&error).contains('/'), "{}", for_agents(&error));
    error
}

#[tokio::test]
async fn lab_the_far_command_says_why_it_ended() {
    let error = end(&Sshd::with(&Docker::Missing, "")).await;
    assert_eq!(error.message(), "the docker command is missing on the far side (exit status 127)");
    assert!(error.detail_text().unwrap().contains("not found"), "{:?}", error.detail_text());

    let script = format!("DOCKER_HOST=unix:///nonexistent.sock exec {} \"$@\"", lab("LAB_DOCKER"));
    let sshd = Sshd::with(&Docker::Script(&script), "");
    let error = end(&sshd).await;
    assert_eq!(error.message(), "the far side's docker could not reach its engine (exit status 1)");
    assert!(error.detail_text().unwrap().contains("nonexistent.sock"), "{:?}", error.detail_text());

    let error = end(&Sshd::with(&Docker::Script("printf '\\033[31m%9000s' x >&2; exit 3"), "")).await;
    assert!(error.message().contains("exit status 3"));
    let detail = error.detail_text().unwrap();
    assert!(detail.len() < 4300 && !detail.contains('\u{1b}'), "{detail}");

    assert!(end(&Sshd::with(&Docker::Script("kill -9 $$"), "")).await.message().contains("killed"));
    assert!(end(&Sshd::with(&Docker::Script("exit 0"), "")).await.message().contains("without an answer"));
}

#[tokio::test]
async fn lab_a_socket_that_is_missing_or_forbidden_names_the_other_way() {
    let sshd = Sshd::start();
    let missing = SshEndpoint { socket: Some("/nonexistent.sock".into()), ..sshd.endpoint() };
    let error = refusal(&sshd.dialer_to(missing)).await;
    assert!(error.detail_text().unwrap().contains("tunnel = \"dial-stdio\""), "{:?}", error.detail_text());
    assert!(!for_agents(&error).contains(".sock"));
    let closed = Sshd::with(&Docker::Real, "AllowStreamLocalForwarding no");
    let error = refusal(&closed.dialer_to(closed.streamlocal())).await;
    assert_eq!(error.message(), "the far side does not open its engine's socket");
}

#[tokio::test]
async fn lab_a_channel_too_many_is_full_and_slots_come_back() {
    let sshd = Sshd::with(&Docker::Real, "MaxSessions 2");
    let dialer = sshd.dialer();
    let (mut one, two) = (dial(&dialer).await, dial(&dialer).await);
    assert!(matches!(dialer.dial(slot()).await, Err(DialError::Full)));
    ping(&mut one).await.unwrap();
    drop((one, two));

    // A slot that was given back is one that the far side grants again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let slots = Arc::new(Semaphore::new(2));
    let mut waited = Duration::ZERO;
    for round in 0..12 {
        let started = Instant::now();
        let permit = timeout(Duration::from_secs(4), slots.clone().acquire_owned()).await.expect("a slot").unwrap();
        waited += started.elapsed();
        let mut stream = match dialer.dial(Slot::new(permit)).await {
            Ok(stream) => stream,
            Err(error) => panic!("round {round}: {error:?}"),
        };
        // Every other one ends without having been used.
        if round % 2 == 0 {
            ping(&mut stream).await.unwrap();
        }
    }
    eprintln!("12 rounds waited {waited:?} for slots");
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn lab_a_slot_comes_back_when_the_far_side_ends_first() {
    let sshd = Sshd::with(&Docker::Script("echo bye"), "MaxSessions 1");
    let dialer = sshd.dialer();
    let slots = Arc::new(Semaphore::new(1));
    for round in 0..50 {
        let permit = timeout(Duration::from_secs(1), slots.clone().acquire_owned()).await.expect("a slot").unwrap();
        let mut stream = match dialer.dial(Slot::new(permit)).await {
            Ok(stream) => stream,
            Err(error) => panic!("round {round}: {error:?}"),
        };
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "bye\n");
    }
}

#[tokio::test]
async fn lab_direct_streams_are_not_counted() {
    let sshd = Sshd::with(&Docker::Real, "MaxSessions 1");
    let dialer = sshd.dialer_to(sshd.streamlocal());
    let mut streams = futures_util::future::join_all((0..30).map(|_| dial(&dialer))).await;
    for stream in &mut streams {
        ping(stream).await.unwrap();
    }
    assert_eq!((dialer.streams(), sshd.dialer().streams()), (64, 8));
}

const HUNDRED: usize = 100 << 20;

/// Bytes that show when one is lost or out of order.
fn pattern(at: usize) -> u8 {
    u8::try_from((at / 7919 + at) % 256).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_a_hundred_megabytes_there_and_back() {
    let sshd = Sshd::with(&Docker::Script("exec cat"), "");
    let dialer = sshd.dialer();
    let (mut reader, mut writer) = tokio::io::split(dial(&dialer).await);
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        while sent < HUNDRED {
            let chunk: Vec<u8> = (sent..(sent + 50_000).min(HUNDRED)).map(pattern).collect();
            writer.write_all(&chunk).await.unwrap();
            sent += chunk.len();
        }
        writer.shutdown().await.unwrap();
        writer
    });
    let mut read = 0;
    let mut bytes = vec![0; 65_536];
    loop {
        let count = reader.read(&mut bytes).await.unwrap();
        if count == 0 {
            break;
        }
        for (place, byte) in bytes[..count].iter().enumerate() {
            assert_eq!(*byte, pattern(read + place));
        }
        read += count;
    }
    assert_eq!(read, HUNDRED);
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_a_reader_that_stands_still_is_cut_off_and_the_others_go_on() {
    let sshd =
        Sshd::with(&Docker::Script("read -r word; [ \"$word\" = flood ] && exec cat /dev/zero; echo \"$word\""), "");
    let dialer = sshd.dialer();
    let mut flooded = dial(&dialer).await;
    flooded.write_all(b"flood\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Held up for some seconds at most, then served.
    let mut other = dial(&dialer).await;
    other.write_all(b"hello\n").await.unwrap();
    let mut said = String::new();
    timeout(Duration::from_secs(6), other.read_to_string(&mut said)).await.expect("an answer").unwrap();
    assert_eq!(said, "hello\n");
    // What was buffered is there, and no more.
    let mut bytes = Vec::new();
    let error = flooded.read_to_end(&mut bytes).await.unwrap_err();
    assert!(broken(&error).unwrap().message().contains("too slowly"));
    assert!((1 << 20..16 << 20).contains(&bytes.len()), "{}", bytes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_a_slow_reader_holds_the_far_side_back() {
    let sshd = Sshd::with(&Docker::Script("exec head -c 60000000 /dev/zero"), "");
    let mut stream = dial(&sshd.dialer()).await;
    let mut read = 0;
    let mut bytes = vec![0; 1 << 20];
    loop {
        let count = stream.read(&mut bytes).await.unwrap();
        if count == 0 {
            break;
        }
        read += count;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(read, 60_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_a_stopped_peer_is_noticed_within_ten_seconds() {
    let sshd = Sshd::with(&Docker::Script("exec sleep 600"), "");
    let (idle, busy) = (sshd.dialer(), sshd.dialer());
    let mut reading = dial(&idle).await;
    let mut writing = dial(&busy).await;
    let uploading = tokio::spawn(async move {
        let started = Instant::now();
        let error = loop {
            if let Err(error) = writing.write_all(&[0; 8192]).await {
                break error;
            }
        };
        (started.elapsed(), broken(&error).map(|error| error.message().to_owned()))
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    for process in sshd.connections() {
        signal(process, "STOP");
    }
    let started = Instant::now();
    let error = timeout(Duration::from_secs(11), reading.read(&mut [0; 1])).await.expect("noticed").unwrap_err();
    eprintln!("reading noticed after {:?}", started.elapsed());
    assert_eq!(broken(&error).unwrap().message(), "the ssh connection was lost");
    let (elapsed, message) = timeout(Duration::from_secs(4), uploading).await.expect("noticed").unwrap();
    eprintln!("writing noticed after {elapsed:?}: {message:?}");
    // The next dial does not wait for the dead one: sshd itself still listens.
    let mut anew = timeout(Duration::from_secs(5), dial(&idle)).await.expect("a new connection");
    anew.shutdown().await.unwrap();
    for process in sshd.connections() {
        signal(process, "CONT");
    }
}

#[tokio::test]
async fn lab_a_dropped_stream_ends_the_far_command() {
    // One that writes for ever, and one that waits for its input.
    for script in ["exec cat /dev/zero", "echo hello; exec cat"] {
        dropped(script).await;
    }
}

async fn dropped(script: &str) {
    let sshd = Sshd::with(&Docker::Script(script), "");
    let dialer = sshd.dialer();
    let mut stream = dial(&dialer).await;
    stream.read_exact(&mut [0; 5]).await.unwrap();
    let commands = |sshd: &Sshd| {
        let names = sshd.connections().into_iter().map(|id| std::fs::read_to_string(format!("/proc/{id}/comm")));
        names.filter(|name| name.as_ref().is_ok_and(|name| name.trim() == "cat")).count()
    };
    let becomes = async |wanted: usize| {
        for _ in 0..50 {
            if commands(&sshd) == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(becomes(1).await, "{script}");
    drop(stream);
    assert!(becomes(0).await, "{script}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_many_dials_at_once_on_a_fresh_connection_are_granted_or_full() {
    let sshd = Sshd::with(&Docker::Real, "MaxSessions 2");
    for _ in 0..5 {
        let dialer = Arc::new(sshd.dialer());
        let dials: Vec<_> = (0..8)
            .map(|_| {
                let dialer = dialer.clone();
                tokio::spawn(async move { dialer.dial(slot()).await })
            })
            .collect();
        let mut granted = Vec::new();
        for dial in dials {
            match dial.await.unwrap() {
                Ok(stream) => granted.push(stream),
                Err(DialError::Full) => {}
                Err(DialError::Failed(error)) => panic!("{error}: {:?}", error.detail_text()),
            }
        }
        assert_eq!(granted.len(), 2);
    }
}
