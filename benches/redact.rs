//! How fast text and documents are redacted: log lines of which one in a hundred holds a secret, lists of containers.

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quaymaster::redact::{self, Lines, Masks, Reveal};
use serde_json::{Value, json};

/// Lines as web servers, databases and applications write them; every hundredth holds a secret.
fn log() -> String {
    let token = format!("gh{}{}", "p_", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cR0xLfUaa");
    let secrets = [
        format!("INFO push with {token} to origin"),
        "WARN cannot connect to postgres://app:tr0ub4dor-horse@db:5432/shop".to_owned(),
        "DEBUG settings: password=tr0ub4dor-horse, retries=5".to_owned(),
        "ERROR the value c0rrect-h0rse-battery was refused".to_owned(),
    ];
    let mut log = String::new();
    let mut number = 0;
    while log.len() < 8 << 20 {
        let line = match number % 5 {
            _ if number % 100 == 0 => secrets.iter().cycle().nth(number / 100 % 4).cloned().unwrap_or_default(),
            0 => format!(
                "10.0.{}.{} - - [20/Nov/2026:19:14:{:02} +0000] \"GET /api/v1/orders/{number} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
                number % 7,
                number % 255,
                number % 60,
                number * 31 % 9000
            ),
            1 => format!(
                "{{\"level\":\"info\",\"ts\":17951905{:02}.123,\"msg\":\"request handled\",\"path\":\"/login\",\"status\":200,\"took_ms\":{}}}",
                number % 100,
                number % 900
            ),
            2 => format!(
                "LOG:  checkpoint complete: wrote {number} buffers (0.1%); 0 WAL file(s) added, 0 removed; write=2.{number} s"
            ),
            3 => format!("[worker-{}] processed sha256:{:064x} in {} ms", number % 16, number * 7919, number % 350),
            _ => format!(
                "time=\"2026-11-20T19:14:03Z\" level=info msg=\"token of user {number} was renewed\" module=auth"
            ),
        };
        log.push_str(&line);
        log.push('\n');
        number += 1;
    }
    log
}

fn containers(number: usize) -> Value {
    let row = |at: usize| {
        json!({
            "Id": format!("{at:064x}"), "Names": [format!("/shop-web-{at}")], "Image": "registry.example.com/shop/web:1.2.3",
            "ImageID": format!("sha256:{at:064x}"), "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'", "Created": at,
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}], "State": "running", "Status": "Up 2 hours",
            "Labels": {
                "com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.config-hash": format!("{at:064x}"),
                "org.opencontainers.image.version": "1.2.3", "traefik.http.routers.web.rule": "Host(`shop.example.com`)",
            },
            "HostConfig": {"NetworkMode": "shop_default"},
            "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "172.18.0.2", "MacAddress": "02:42:ac:12:00:02"}}},
            "Mounts": [{"Type": "volume", "Name": "shop_data", "Source": "/var/lib/docker/volumes/shop_data/_data", "Destination": "/data"}],
        })
    };
    Value::Array((0..number).map(row).collect())
}

fn text(criterion: &mut Criterion) {
    let log = log();
    let variables = [
        "API_VALUE=c0rrect-h0rse-battery",
        "DATABASE_URL=postgres://app:an0ther-w0rd-here@db/shop",
        "SESSION=0123456789abcdef",
    ];
    let masks = Arc::new(Masks::of(&json!({"Env": variables}), &Reveal::default()));
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Bytes(log.len() as u64)).sample_size(10);
    group.bench_function("lines with values and shapes", |bencher| {
        bencher.iter(|| {
            let mut lines = Lines::new(masks.clone());
            let length: usize = log.lines().map(|line| lines.next(line).len()).sum();
            black_box((length, lines.count()))
        });
    });
    group.bench_function("one text, shapes only", |bencher| bencher.iter(|| black_box(redact::shown(&log).len())));
    group.finish();
}

/// Texts made to be slow, a megabyte and four of each: the second may take four times as long.
fn hostile(criterion: &mut Criterion) {
    let pieces = [
        "eyJ",
        "eyJaaaaaaaaaa-",
        "a://b:c",
        "a://b:",
        "password",
        "password=",
        "password=${",
        "password=\"",
        "authorization:",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n",
        "key key ",
        "sig=",
        "MTA-",
        "Cookie: a=",
        "<redacted len=",
    ];
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10);
    for size in [1 << 20, 4 << 20] {
        let mut texts: Vec<String> = pieces.iter().map(|piece| piece.repeat(size / piece.len())).collect();
        texts.push(format!("{}{}", "-----BEGIN PRIVATE KEY-----".repeat(size / 54), "a".repeat(size / 2)));
        texts.push(format!("{}<redacted len=7 h=0123abcd>", "password=".repeat(size / 9)));
        texts.push(format!("{}<redacted len=7 h=0123abcd>", "Cookie: a=b ".repeat(size / 12)));
        texts.push(format!("{}{}", "a@".repeat(size / 4), "a".repeat(size / 2)));
        group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
        group.bench_function(format!("{} MiB each", size >> 20), |bencher| {
            bencher.iter(|| texts.iter().map(|text| black_box(redact::shown(text)).len()).sum::<usize>());
        });
    }
    group.finish();
}

fn documents(criterion: &mut Criterion) {
    let list = containers(500);
    let mut group = criterion.benchmark_group("documents");
    group.sample_size(20);
    // Each time anew: what is masked already is passed over.
    group.bench_function("a list of 500 containers", |bencher| {
        let mask = |document: &mut Value| redact::document(black_box(document), &Reveal::default());
        bencher.iter_batched_ref(|| list.clone(), mask, BatchSize::LargeInput);
    });
    let mut masked = list.clone();
    redact::document(&mut masked, &Reveal::default());
    group.bench_function("an answer with 500 containers", |bencher| {
        bencher.iter_batched_ref(|| masked.clone(), |answer| redact::texts(black_box(answer)), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, text, hostile, documents);
criterion_main!(benches);
