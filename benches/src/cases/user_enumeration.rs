//! User enumeration by time: whether the duration of a failed login shows that the user name exists.

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::Scale;
use crate::{
    latencies,
    load::rest::Rest,
    report::Row,
    server::{Gateway, TAKEN_OVER},
};

/// The number of names that exist, and of names that do not and have the same form.
const NAMES: u32 = 10;
const RIGHT: &str = crate::server::PASSWORD;
const WRONG: &str = "Benchmark_2_word";

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let server = gateway.start().await?;
    let mut rest = Rest::open(server.address)?;
    for number in 0..NAMES {
        rest.post("/register", &json!({ "user_name": name("known", number), "password": RIGHT }))?;
    }
    let mut rows = compare(&mut rest, scale, "known")?;
    if gateway.has_taken_over() {
        rows.extend(compare(&mut rest, scale, TAKEN_OVER)?);
    }
    server.stop().await?;
    Ok(rows)
}

fn name(kind: &str, number: u32) -> String {
    format!("{kind}{:03}", number % NAMES)
}

fn compare(rest: &mut Rest, scale: Scale, kind: &str) -> Result<Vec<Row>> {
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..scale.logins() {
        // Both kinds alternate, and each is first half of the time, so that a drift affects both alike.
        for exists in [number % 2 == 0, number % 2 != 0] {
            let name = name(if exists { kind } else { "other" }, number);
            let began = Instant::now();
            let (status, answer) = rest.post("/login", &json!({ "user_name": name, "password": WRONG }))?;
            times[usize::from(exists)].push(began.elapsed().as_secs_f64());
            ensure!(status == 401, "a wrong password was answered by {status}: {answer}");
        }
    }
    let [unknown, known] = times;
    let middle = |times: &[f64]| latencies::median(times.to_vec()) * 1e3;
    let auc = latencies::auc(&known, &unknown);
    let whose = if kind == TAKEN_OVER { "of an account of the original" } else { "of a known name" };
    Ok(vec![
        Row::new(format!("a failed login {whose}, ms (of an unknown name)"), middle(&known))
            .beside(middle(&unknown)),
        Row::new(format!("a failed login {whose}, 2 × {} logins: AUC", scale.logins()), auc.max(1.0 - auc))
            .at_most(0.55, 0.55),
    ])
}
