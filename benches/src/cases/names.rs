//! Whether the time of a refused login tells that its user name exists.

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::Scale;
use crate::{load::rest::Rest, postgres::TAKEN_OVER, quantiles, report::Row, server::Gateway};

/// Names that exist; as many that do not, alike in every other way.
const NAMES: u32 = 10;
const RIGHT: &str = crate::server::PASSWORD;
const WRONG: &str = "Benchmark_2_word";

pub(super) fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start()?;
    let mut rest = Rest::open(server.address)?;
    for number in 0..NAMES {
        rest.post("/register", &json!({ "user_name": name("known", number), "password": RIGHT }))?;
    }
    let mut rows = compare(&mut rest, scale, "known")?;
    if gateway.has_taken_over() {
        rows.extend(compare(&mut rest, scale, TAKEN_OVER)?);
    }
    server.stop()?;
    Ok(rows)
}

fn name(kind: &str, number: u32) -> String {
    format!("{kind}{:03}", number % NAMES)
}

fn compare(rest: &mut Rest, scale: Scale, kind: &str) -> Result<Vec<Row>> {
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..scale.logins() {
        // By turns, and each first as often as the other, so that no drift falls on one of them.
        for exists in [number % 2 == 0, number % 2 != 0] {
            let name = name(if exists { kind } else { "other" }, number);
            let began = Instant::now();
            let (status, answer) = rest.post("/login", &json!({ "user_name": name, "password": WRONG }))?;
            times[usize::from(exists)].push(began.elapsed().as_secs_f64());
            ensure!(status == 401, "a wrong password was answered by {status}: {answer}");
        }
    }
    let [unknown, known] = times;
    let middle = |times: &[f64]| quantiles::median(times.to_vec()) * 1e3;
    let area = quantiles::area(&known, &unknown);
    let whose = if kind == TAKEN_OVER { "of an account of the original" } else { "of a known name" };
    Ok(vec![
        Row::new(format!("a refused login {whose}, ms (of an unknown one)"), middle(&known))
            .beside(middle(&unknown)),
        Row::new(format!("the same, 2 × {} logins: AUC", scale.logins()), area.max(1.0 - area))
            .at_most(0.55, 0.55),
    ])
}
