//! How long reading and asking take; docs/performance.md tells what is measured and why.

#[path = "../tests/support/large.rs"]
mod large;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nfpath::audit::{Options, audit};
use nfpath::diff::{Side, diff};
use nfpath::explain::{Question, explain};
use nfpath::flow;
use nfpath::load::load;
use nfpath::reach::{Query, reach};
use nfpath::sets::Room;

use large::{branches, c1, overlapping, rules, service, services, set, through};

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    for (name, text, number) in [
        ("rules", rules(100_000), 100_000),
        ("set elements", set(1_000_000), 1_000_000),
        ("services", services(10_000), 10_000),
    ] {
        group.throughput(Throughput::Elements(number));
        group.bench_function(BenchmarkId::new(name, number), |b| {
            b.iter(|| load("bench", black_box(&text), &[]).expect("a listing"));
        });
    }
    group.finish();
}

fn ask(c: &mut Criterion) {
    let mut group = c.benchmark_group("explain");
    let question = |words: &str| Question {
        iif: Some("ens192".into()),
        ..Question::new(flow::parse(words).expect("a flow"))
    };
    let cases = [
        (
            "10,000 rules, 200 passed",
            through(&branches(10_000), ("8.8.8.8", 80)),
            "tcp:10.254.10.105:40000->8.8.8.8:80",
        ),
        (
            "10,000 rules, all passed",
            through(&rules(10_000), ("8.8.8.8", 80)),
            "tcp:10.254.10.105:40000->8.8.8.8:80",
        ),
        ("c1", c1(), "udp:10.254.10.105:40000->10.254.10.252:1812"),
    ];
    for (name, case, words) in cases {
        group.bench_function(name, |b| {
            b.iter(|| {
                explain(&case.loaded, &case.hooks, &case.host, &question(words)).expect("an answer")
            });
        });
    }
    group.finish();
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("verdict");
    group.throughput(Throughput::Elements(1));
    let case = c1();
    group.bench_function("c1", |b| b.iter(|| black_box(case.verdict())));
    for number in [100, 10_000] {
        let (ip, port) = service(number);
        let case = through(&services(number), (&ip, port));
        group.bench_function(BenchmarkId::new("services", number), |b| {
            b.iter(|| black_box(case.verdict()))
        });
    }
    for number in [1000, 1_000_000] {
        let case = through(&set(number), ("8.8.8.8", 80));
        group.bench_function(BenchmarkId::new("set", number), |b| {
            b.iter(|| black_box(case.verdict()))
        });
    }
    group.finish();
}

/// Every packet at once: the whole stack, one long chain, and services.
fn follow(c: &mut Criterion) {
    let mut group = c.benchmark_group("all packets");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    let cases = [
        ("c1".to_string(), c1()),
        (
            "1,000 overlapping rules".to_string(),
            through(&overlapping(1000), ("8.8.8.8", 80)),
        ),
        (
            "10 services".to_string(),
            through(&services(10), ("8.8.8.8", 80)),
        ),
        (
            "100 services".to_string(),
            through(&services(100), ("8.8.8.8", 80)),
        ),
    ];
    for (name, case) in &cases {
        group.bench_function(BenchmarkId::new("follow", name), |b| {
            b.iter(|| black_box(case.requests()));
        });
    }
    for (name, case) in cases.iter().filter(|(name, _)| !name.contains("rules")) {
        group.bench_function(BenchmarkId::new("reach", name), |b| {
            let query = Query::default();
            b.iter(|| {
                reach(
                    &case.loaded,
                    &case.hooks,
                    &case.host,
                    &query,
                    Room::default(),
                )
                .expect("an answer")
            });
        });
    }
    group.finish();
}

/// All audits, and a comparison that finds no change, which follows requests and answers of both sides.
fn examine(c: &mut Criterion) {
    let mut group = c.benchmark_group("examine");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    let cases = [
        ("c1", c1()),
        (
            "1,000 overlapping rules",
            through(&overlapping(1000), ("8.8.8.8", 80)),
        ),
    ];
    let options = Options::default();
    for (name, case) in &cases {
        group.bench_function(BenchmarkId::new("audit", name), |b| {
            b.iter(|| audit(&case.loaded, &case.hooks, &case.host, &options));
        });
    }
    let case = &cases[0].1;
    let side = Side {
        loaded: &case.loaded,
        host: &case.host,
    };
    group.bench_function(BenchmarkId::new("diff", "c1"), |b| {
        b.iter(|| diff(side, side, Room::default()));
    });
    group.finish();
}

criterion_group!(benches, read, ask, decide, follow, examine);
criterion_main!(benches);
