//! How fast an engine's answers become ours: a log taken apart, searched and shown, a list shaped. The engine is a
//! socket that says the same thing again and again, so that what is measured is ours.

#![expect(clippy::unwrap_used, reason = "a measurement that meets what it does not expect is to end there")]

use std::{hint::black_box, path::Path, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quaymaster::{
    config::{Config, Environment, Flags},
    docker::stream::Lines,
    gateway::{Gateway, Request},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::Runtime,
};

const ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

/// Frames as the engine sends them, a line in each; one in a thousand is what is looked for.
fn log(stamped: bool, size: usize) -> Vec<u8> {
    let mut log = Vec::with_capacity(size + 512);
    for number in 0_u32.. {
        if log.len() >= size {
            break;
        }
        let stamp =
            format!("2026-11-20T19:{:02}:{:02}.{:09}Z ", number / 60_000 % 60, number / 1_000 % 60, number % 1_000);
        let line = format!(
            "{}10.0.{}.{} - - \"GET /api/v1/orders/{number} HTTP/1.1\" {} 48213 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
            if stamped { &stamp } else { "" },
            number % 7,
            number % 255,
            if number % 1_000 == 0 { 503 } else { 200 }
        );
        let length = u32::try_from(line.len()).unwrap().to_be_bytes();
        log.extend_from_slice(&[1 + u8::from(number % 50 == 0), 0, 0, 0]);
        log.extend_from_slice(&length);
        log.extend_from_slice(line.as_bytes());
    }
    log
}

fn containers(number: usize) -> Value {
    let row = |at: usize| {
        json!({
            "Id": format!("{at:064x}"), "Names": [format!("/shop-web-{at}")], "Image": "registry.example.com/shop/web:1.2.3",
            "ImageID": format!("sha256:{at:064x}"), "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'", "Created": at,
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}], "State": "running", "Status": "Up 2 hours",
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
            "HostConfig": {"NetworkMode": "shop_default"},
            "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "172.18.0.2", "MacAddress": "02:42:ac:12:00:02"}}},
            "Mounts": [{"Type": "volume", "Name": "shop_data", "Source": "/var/lib/docker/volumes/shop_data/_data", "Destination": "/data"}],
        })
    };
    Value::Array((0..number).map(row).collect())
}

/// Every answer that is asked for here, made beforehand.
struct Said {
    log: Vec<u8>,
    list: Vec<u8>,
}

async fn serve(mut stream: UnixStream, said: Arc<Said>) {
    let mut input = Vec::new();
    loop {
        while !input.ends_with(b"\r\n\r\n") {
            if !stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        let head = String::from_utf8_lossy(&input).into_owned();
        input.clear();
        let path = head.split([' ', '?']).nth(1).unwrap_or_default();
        let small = match path {
            "/_ping" => "OK".to_owned(),
            "/version" => json!({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}).to_string(),
            _ => json!({"Id": ID, "Name": "/web", "Image": "sha256:1", "Config": {"Tty": false, "Image": "web", "Labels": {}},
                "State": {"Status": "running", "Running": true}, "HostConfig": {"LogConfig": {"Type": "json-file"}}, "Mounts": []})
            .to_string(),
        };
        let (kind, body) = match path {
            _ if path.ends_with("/logs") => ("application/vnd.docker.multiplexed-stream", said.log.as_slice()),
            _ if path.ends_with("/containers/json") => ("application/json", said.list.as_slice()),
            _ => ("application/json", small.as_bytes()),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let body = if head.starts_with("HEAD ") { b"" } else { body };
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.write_all(body).await.is_err() {
            return;
        }
    }
}

/// A gateway in front of it.
fn gateway(directory: &Path, said: Said) -> Arc<Gateway> {
    let socket = directory.join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let said = Arc::new(said);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, said.clone()));
        }
    });
    let environment = Environment { working_directory: directory.into(), ..Environment::default() };
    let flags = Flags { hosts: vec![format!("lab=unix://{}", socket.display())], ..Flags::default() };
    let mut config = Config::load(&environment, &flags).unwrap();
    config.state = Some(directory.join("state"));
    Gateway::new(config, environment).unwrap()
}

async fn call(gateway: &Arc<Gateway>, tool: &str, arguments: &Value) -> usize {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    gateway.call(Request::new(gateway.caller("bench"), tool, arguments)).await.unwrap().text.len()
}

fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("logs");
    let plain = log(false, 16 << 20);
    group.sample_size(10).throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("frames into lines", |bencher| {
        bencher.iter(|| {
            let (mut lines, mut found) = (Lines::new(true), 0);
            for chunk in plain.chunks(64 << 10) {
                lines.push(black_box(chunk), |line| found += line.text.len()).unwrap();
            }
            found
        });
    });
    let (runtime, directory) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let stamped = log(true, 16 << 20);
    group.throughput(Throughput::Bytes(stamped.len() as u64));
    let gateway = runtime.block_on(async { gateway(directory.path(), Said { log: stamped, list: b"[]".into() }) });
    let arguments = json!({"container": "web", "grep": "\" 503 "});
    group.bench_function("a call with grep", |bencher| {
        bencher.iter(|| runtime.block_on(call(&gateway, "container_logs", &arguments)));
    });
    group.finish();
}

fn lists(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("lists");
    for number in [15, 500] {
        let directory = tempfile::tempdir().unwrap();
        let list = containers(number).to_string().into_bytes();
        let gateway = runtime.block_on(async { gateway(directory.path(), Said { log: Vec::new(), list }) });
        group.throughput(Throughput::Elements(number as u64));
        group.bench_function(format!("a call for {number} containers"), |bencher| {
            bencher.iter(|| runtime.block_on(call(&gateway, "list_containers", &json!({"limit": 500}))));
        });
    }
    group.finish();
}

criterion_group!(benches, logs, lists);
criterion_main!(benches);
