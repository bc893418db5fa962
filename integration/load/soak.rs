//! Thirty minutes of everything at once against one process, while its hosts suffer: `integration/soak` runs it.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value with a name answers null where it has none")]

mod chance;
#[expect(dead_code, reason = "each program uses a part of it")]
mod client;
mod faults;
mod ledger;
mod report;
mod tally;
mod watch;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{net::UnixListener, process::Command, task::JoinSet};

use chance::Chance;
use client::{Client, Failure, Outcome};
use faults::{Faults, GRACE, Lab, run};
use ledger::{Engine, Ledger};
use report::Report;
use tally::Tally;
use watch::Watch;
use work::{Caller, REAL, STEADY};

/// Calls in flight, all the time.
const CALLERS: u64 = 32;

/// What every caller needs.
pub(crate) struct Soak {
    client: Arc<Client>,
    tally: Arc<Tally>,
    ledger: Ledger,
    engines: Arc<[Engine; 3]>,
    image: String,
    pulled: String,
    begun: Instant,
    end: Instant,
    garbage: AtomicUsize,
}

impl Soak {
    fn garbage(&self) {
        self.garbage.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, lab, minutes, out, log] = arguments.as_slice() else {
        return Err("usage: soak QUAYMASTER LAB-SCRIPT MINUTES OUT LOG".into());
    };
    let minutes: f64 = minutes.parse()?;
    let length = Duration::from_secs_f64(minutes * 60.0);
    let everything = soak(program, lab, length, Path::new(out), Path::new(log));
    match tokio::time::timeout(length + Duration::from_secs(900), everything).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("a rule is broken: see the report".into()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("the soak did not end".into()),
    }
}

async fn soak(program: &str, script: &str, length: Duration, out: &Path, log: &Path) -> Result<bool, Failure> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let directory = PathBuf::from(variable("LAB_DIR")?);
    let image = variable("LAB_IMAGE")?;
    let registry = variable("LAB_REGISTRY")?;
    let engines = Arc::new(REAL.map(|host| Engine { host, socket: directory.join(host).join("docker.sock") }));
    for host in REAL {
        steady(&variable("LAB_DOCKER")?, &directory.join(host).join("docker.sock"), &image).await?;
    }
    let hung = hang(&directory.join("hung.sock"))?;

    let configuration = directory.join("soak.toml");
    std::fs::write(&configuration, configure(&directory, &variable("LAB_STAGING_PORT")?, &variable("LAB_TLS_DIR")?))?;
    let variables = [("QUAYMASTER_CONFIG", configuration.as_os_str()), ("QUAYMASTER_LOG", "warn".as_ref())];
    let client = Arc::new(Client::start(program, &variables, Some(log)).await?);
    let at_start = client.descriptors();

    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let mut chance = Chance::new(seed);
    let faults = Arc::<Faults>::default();
    let tally = Arc::new(Tally::new(faults.clone()));
    let begun = Instant::now();
    let soak = Arc::new(Soak {
        client: client.clone(),
        tally: tally.clone(),
        ledger: Ledger::default(),
        engines: engines.clone(),
        image,
        pulled: format!("{registry}/lab/base:1"),
        begun,
        end: begun + length,
        garbage: AtomicUsize::new(0),
    });

    let watch = tokio::spawn(Watch::new(soak.clone()).until(soak.end));
    let sweeping = tokio::spawn(sweep(soak.clone(), engines.clone()));
    let lab = Lab { directory, script: script.to_owned() };
    let mut suffering = {
        let (faults, chance, end) = (faults.clone(), Chance::new(chance.next()), soak.end);
        tokio::spawn(async move { lab.suffer(&faults, chance, end).await })
    };
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(Caller::new(soak.clone(), Chance::new(chance.next())).work());
    }
    // Without faults the rest would prove nothing.
    let mut is_over = false;
    loop {
        tokio::select! {
            ended = callers.join_next() => match ended {
                Some(ended) => ended?,
                None => break,
            },
            ended = &mut suffering, if !is_over => {
                ended??;
                is_over = true;
            }
        }
    }
    if !is_over {
        suffering.await??;
    }
    let samples = watch.await?;
    sweeping.abort();

    recover(&soak).await;
    // What was taken back and must not be cut off has ended by now at the engines too.
    tokio::time::sleep(GRACE).await;
    for engine in engines.iter() {
        soak.ledger.check(engine, &tally, true).await?;
    }
    let garbage = soak.garbage.load(Ordering::Relaxed);
    if client.nameless() != garbage {
        tally.broken(format!("{garbage} lines that are no messages got {} answers", client.nameless()));
    }
    if client.strangers() > 0 {
        tally.broken(format!("{} answers that nobody had asked for", client.strangers()));
    }
    // By now whatever rests in the pools has been closed.
    tokio::time::sleep(Duration::from_secs(75)).await;
    let at_rest = (client.memory(), client.descriptors());
    let runs = soak.ledger.len();
    drop((hung, soak));
    let mut client = Arc::into_inner(client).ok_or("somebody still holds the client")?;
    if !client.lives() {
        tally.broken("the process has ended by itself");
    }
    let leaving = client.leave().await?;
    let report = Report { seed, length, samples, faults: faults.all(), begun, at_start, at_rest, runs, leaving };
    report.write(&tally, out)
}

/// Every host answers again, without a restart of the process.
async fn recover(soak: &Soak) {
    for host in REAL {
        let until = Instant::now() + GRACE;
        loop {
            match soak.client.call("list_containers", json!({"host": host}), None).await {
                Outcome::Done(_) => break,
                outcome if Instant::now() > until => {
                    soak.tally.broken(format!("{host} did not come back: {outcome:?}"));
                    break;
                }
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

/// Counts and removes meanwhile what calls left behind, on hosts that are well.
async fn sweep(soak: Arc<Soak>, engines: Arc<[Engine; 3]>) {
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        for engine in engines.iter() {
            let now = Instant::now();
            if !soak.tally.suffers(engine.host, now, now)
                && let Err(error) = soak.ledger.check(engine, &soak.tally, false).await
                && !soak.tally.suffers(engine.host, now, Instant::now())
            {
                soak.tally.broken(format!("the engine of {} itself fails: {error}", engine.host));
            }
        }
    }
}

/// The containers that are always there, and talk.
async fn steady(docker: &str, socket: &Path, image: &str) -> Result<(), Failure> {
    let talk = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo request $i status=$((200 + i % 5 * 75 + i % 2)); done; \
                while :; do i=$((i+1)); echo request $i status=$((500 + i % 3)); sleep 0.5; done";
    for name in STEADY {
        let engine = format!("unix://{}", socket.display());
        run(Command::new(docker).args([
            "-H",
            &engine,
            "run",
            "-d",
            "--name",
            name,
            "--restart",
            "always",
            "--stop-signal",
            "KILL",
            "--log-opt",
            "max-size=2m",
            "--log-opt",
            "max-file=2",
            image,
            "sh",
            "-c",
            talk,
        ]))
        .await?;
    }
    Ok(())
}

/// A host that takes every connection and never says a word.
fn hang(socket: &Path) -> Result<JoinSet<()>, Failure> {
    let listener = UnixListener::bind(socket)?;
    let mut hung = JoinSet::new();
    hung.spawn(async move {
        let mut held = JoinSet::new();
        loop {
            tokio::select! {
                Ok((mut stream, _)) = listener.accept() => {
                    // Held until the other side gives up.
                    held.spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok() });
                }
                Some(_) = held.join_next() => {}
            }
        }
    });
    Ok(hung)
}

fn configure(directory: &Path, port: &str, tls: &str) -> String {
    let directory = directory.display();
    let hosts = [
        ("local", format!("unix://{directory}/local/docker.sock"), String::new()),
        ("staging", format!("tcp://127.0.0.1:{port}"), format!("tls = \"{tls}\"\n")),
        ("prod", "ssh://lab-prod".to_owned(), String::new()),
        ("dead", format!("unix://{directory}/dead.sock"), String::new()),
        ("hung", format!("unix://{directory}/hung.sock"), String::new()),
    ];
    let hosts = hosts.map(|(name, endpoint, more)| {
        format!("[[host]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\nconfirm = \"never\"\n{more}")
    });
    format!("toolsets = [\"all\"]\nstate = \"{directory}/soak-state\"\n{}", hosts.join("\n"))
}
