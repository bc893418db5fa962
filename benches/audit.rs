//! What the audit costs a call, and what it costs to prove it.

#![expect(clippy::unwrap_used, reason = "a measurement that meets what it does not expect is to end there")]

use std::{hint::black_box, path::PathBuf, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use quaymaster::{
    config::AuditSettings,
    gateway::{
        audit::{Audit, Closing, Opening, verify::verify},
        caller::Caller,
    },
    tool::{Effect, Permissions},
};
use serde_json::json;
use tokio::runtime::Runtime;

fn opening() -> Opening {
    Opening {
        call: "0123456789abcdef".to_owned(),
        caller: Caller::account(Some("bench"), "bench"),
        via: None,
        tool: "remove_container".to_owned(),
        hosts: vec!["prod".to_owned()],
        effect: Some(Effect::Destroy),
        permissions: Some(Permissions::READ),
        decision: Some("allow"),
        rule: None,
        arguments: json!({"containers": ["web"]}),
    }
}

fn closing() -> Closing {
    let Opening { call, caller, tool, hosts, .. } = opening();
    let (outcome, took) = ("ok".to_owned(), Duration::from_millis(12));
    Closing { call, caller, tool, hosts, outcome, error: None, detail: None, took, bytes: 34 }
}

fn audit(criterion: &mut Criterion) {
    let (runtime, state) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let audit = Audit::new(Some(state.path().to_owned()), &AuditSettings::default());
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(20);
    group.bench_function("the two lines of a call, written", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                audit.open(opening(), false).await.unwrap();
                audit.close(closing()).await;
            });
        });
    });
    group.bench_function("a line on the disk", |bencher| {
        bencher.iter(|| runtime.block_on(audit.open(opening(), true)).unwrap());
    });
    runtime.block_on(audit.finish());
    let directory: PathBuf = state.path().join("audit");
    let lines = verify(&directory).unwrap().lines;
    group.throughput(criterion::Throughput::Elements(lines));
    group.bench_function("proof", |bencher| bencher.iter(|| verify(black_box(&directory)).unwrap().lines));
    group.finish();
}

criterion_group!(benches, audit);
criterion_main!(benches);
