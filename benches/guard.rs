//! What the guard costs a request: to find out what it is, and whether it may pass.

#![expect(clippy::unwrap_used, reason = "a measurement that meets what it does not expect is to end there")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, Method, Uri};
use quaymaster::{
    config::Mode,
    docker::{access::Ceiling, guard::classify},
};

/// What tools send, from the first rows of the table to its last, and what is refused.
const REQUESTS: [(&str, &str); 8] = [
    ("GET", "/v1.45/containers/json?all=1&filters=%7B%22label%22%3A%5B%22com.docker.compose.project%22%5D%7D"),
    ("GET", "/v1.45/containers/4f9f3a0d21c7/logs?stdout=1&stderr=1&timestamps=1&since=1763600000.000000001"),
    ("POST", "/v1.45/containers/4f9f3a0d21c7/kill?signal=HUP"),
    ("DELETE", "/v1.45/containers/4f9f3a0d21c7?force=1&v=0"),
    ("GET", "/v1.45/images/registry.example.com/shop/web:1.2.3/json"),
    ("POST", "/v1.45/images/create?fromImage=registry.example.com%2Fshop%2Fweb&tag=1.2.3"),
    ("GET", "/v1.45/system/df?type=container"),
    ("POST", "/v1.45/containers/4f9f3a0d21c7/unheard-of"),
];

fn guard(criterion: &mut Criterion) {
    let requests: Vec<(Method, Uri)> =
        REQUESTS.iter().map(|(method, target)| (method.parse().unwrap(), target.parse().unwrap())).collect();
    let wires: Vec<_> = requests.iter().filter_map(|(method, uri)| classify(method, uri).ok()).collect();
    assert_eq!(wires.len(), REQUESTS.len() - 1, "only the last one is refused");
    let ceiling = Ceiling::reading(Mode::Rw);
    let headers = HeaderMap::new();
    let mut group = criterion.benchmark_group("guard");
    group.throughput(Throughput::Elements(REQUESTS.len() as u64));
    group.bench_function("what eight requests are", |bencher| {
        bencher.iter(|| {
            requests.iter().filter(|(method, uri)| classify(black_box(method), black_box(uri)).is_ok()).count()
        });
    });
    group.bench_function("whether they may pass", |bencher| {
        bencher.iter(|| {
            wires.iter().filter(|wire| ceiling.admits(black_box(wire), &headers, false, false).is_ok()).count()
        });
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
