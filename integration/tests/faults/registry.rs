//! A forwarder in front of the lab's registry that hands its answers out slowly, so that a pull has a middle.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::rig::lab;

/// The forwarder; it ends when it is dropped.
pub struct Registry {
    address: SocketAddr,
    slow: Arc<AtomicBool>,
    listening: JoinHandle<()>,
}

impl Registry {
    /// One at an address of this machine, as fast as it goes.
    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let address = listener.local_addr().unwrap();
        let slow = Arc::new(AtomicBool::new(false));
        let is_slow = slow.clone();
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let is_slow = is_slow.clone();
                connections.spawn(async move {
                    let registry = TcpStream::connect(lab("LAB_REGISTRY")).await.expect("the registry");
                    let (mut from_registry, mut to_registry) = registry.into_split();
                    let (mut from_client, mut to_client) = client.into_split();
                    let there = async {
                        tokio::io::copy(&mut from_client, &mut to_registry).await.ok();
                        to_registry.shutdown().await.ok();
                    };
                    let back = async {
                        let mut chunk = vec![0; 8 << 10];
                        while let Ok(length @ 1..) = from_registry.read(&mut chunk).await {
                            if to_client.write_all(&chunk[..length]).await.is_err() {
                                return;
                            }
                            if is_slow.load(Ordering::SeqCst) {
                                sleep(Duration::from_millis(40)).await;
                            }
                        }
                        to_client.shutdown().await.ok();
                    };
                    tokio::join!(there, back);
                });
            }
        });
        Self { address, slow, listening }
    }

    /// From now on 200 kB a second, or as fast as it goes.
    pub fn slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::SeqCst);
    }

    /// A repository of the lab's registry as it is called here.
    pub fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
