//! A forwarder in front of an engine's socket that does something when a certain request comes by, before the engine
//! hears of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

/// The forwarder; it ends when it is dropped.
pub struct Gate {
    directory: TempDir,
    came: Arc<AtomicUsize>,
    first: Arc<Notify>,
    listening: JoinHandle<()>,
}

impl Gate {
    /// Counts requests whose first line contains a text; the first one waits for `act`.
    pub fn before(engine: String, text: &'static str, act: impl FnOnce() + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("gate.sock")).expect("a socket");
        let (came, first) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let act = Arc::new(std::sync::Mutex::new(Some(act)));
        let (count, told) = (came.clone(), first.clone());
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (engine, count, told, act) = (engine.clone(), count.clone(), told.clone(), act.clone());
                connections.spawn(async move {
                    let Ok(daemon) = UnixStream::connect(engine).await else { return };
                    let (mut from_daemon, mut to_daemon) = daemon.into_split();
                    let (mut from_client, mut to_client) = client.into_split();
                    let there = async {
                        let mut chunk = vec![0; 16 << 10];
                        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
                            let said = String::from_utf8_lossy(&chunk[..length]).into_owned();
                            // A request begins a chunk of its own: nobody sends two without an answer between.
                            if said.lines().next().is_some_and(|line| line.contains(text)) {
                                count.fetch_add(1, Ordering::SeqCst);
                                if let Some(act) = act.lock().unwrap().take() {
                                    act();
                                    told.notify_one();
                                }
                            }
                            if to_daemon.write_all(&chunk[..length]).await.is_err() {
                                break;
                            }
                        }
                        to_daemon.shutdown().await.ok();
                    };
                    let back = async {
                        tokio::io::copy(&mut from_daemon, &mut to_client).await.ok();
                        to_client.shutdown().await.ok();
                    };
                    tokio::join!(there, back);
                });
            }
        });
        Self { directory, came, first, listening }
    }

    /// The endpoint that leads through it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.directory.path().join("gate.sock").display())
    }

    /// Waits until the first such request has come and was acted on.
    pub async fn passed(&self) {
        self.first.notified().await;
    }

    /// How many such requests have come.
    pub fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
