//! What an answer costs must not grow with what the packet does not meet: ratios, not times, so that every machine can tell.

#[path = "support/large.rs"]
mod large;

use std::hint::black_box;
use std::time::{Duration, Instant};

use large::{Case, service, services, set, through};
use nfpath::walk::step::Disposition;

/// The shortest of many rounds: what else runs on the machine only ever adds to it.
fn shortest(case: &Case) -> Duration {
    let round = || {
        let began = Instant::now();
        for _ in 0..50 {
            black_box(case.verdict());
        }
        began.elapsed()
    };
    (0..60).map(|_| round()).min().unwrap_or_default()
}

/// How many times as much the second costs, at best of a few tries.
fn ratio(small: &Case, large: &Case) -> f64 {
    let once = || shortest(large).as_secs_f64() / shortest(small).as_secs_f64();
    (0..3).map(|_| once()).fold(f64::MAX, f64::min)
}

#[test]
fn ten_thousand_services_cost_no_more_than_a_hundred() {
    let case = |number| {
        let (ip, port) = service(number);
        let case = through(&services(number), (&ip, port));
        let entries = case.loaded.ruleset.sets.iter().map(|set| set.len()).max();
        assert_eq!(entries, Some(number));
        assert_eq!(case.verdict().0, Disposition::Forwarded);
        case
    };
    let ratio = ratio(&case(100), &case(10_000));
    println!("10,000 services cost {ratio:.2} times as much as 100");
    assert!(ratio <= 2.0, "{ratio:.2} times as much");
}

#[test]
fn a_look_up_in_a_million_elements_costs_little_more_than_in_a_thousand() {
    let case = |number| {
        let case = through(&set(number), ("8.8.8.8", 80));
        assert_eq!(case.loaded.ruleset.sets[0].len(), number);
        assert_eq!(case.verdict().0, Disposition::Forwarded);
        case
    };
    let ratio = ratio(&case(1000), &case(1_000_000));
    println!("a set of 1,000,000 costs {ratio:.2} times as much as one of 1,000");
    assert!(ratio <= 3.0, "{ratio:.2} times as much");
}
