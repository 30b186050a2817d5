//! Checks that the dashboard and the alerts use exported metrics. docs/metrics.md lists those, and an acceptance test compares it with
//! the server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use regex::Regex;
use serde_json::Value;

mod tree;

use self::tree::{read, root};

/// The labels that Prometheus adds to every series.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// The series of a scrape, with their labels. A histogram has three series.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let mut series = BTreeMap::from([("up".to_owned(), BTreeSet::new())]);
    for row in read("docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (name, kind) = (cells[0].trim_end_matches('`'), cells[1]);
        let labels = cells[2].split(", ").filter(|label| *label != "–").map(|label| label.trim_matches('`'));
        let labels: BTreeSet<String> = labels.map(ToOwned::to_owned).collect();
        if kind == "histogram" {
            let with_bound = labels.iter().cloned().chain(["le".to_owned()]).collect();
            series.insert(format!("{name}_bucket"), with_bound);
            series.insert(format!("{name}_sum"), labels.clone());
            series.insert(format!("{name}_count"), labels);
        } else {
            series.insert(name.to_owned(), labels);
        }
    }
    assert!(series.len() > 40, "{series:?}");
    series
}

/// Returns the mistakes in an expression.
fn mistakes(expression: &str, exported: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let group = Regex::new(r"(?:by|without) \(([a-z_, ]*)\)").unwrap();
    let matcher = Regex::new(r#"([a-z_]+)(?:=~|!~|!=|=)"[^"]*""#).unwrap();
    let texts = Regex::new(r#""[^"]*""#).unwrap();
    let mut known: BTreeSet<&str> = SCRAPED.into();
    // Without groups, ranges and strings only names are left. A function's name is followed by a bracket.
    let bare = group.replace_all(expression, " ");
    let bare = Regex::new(r"\[[^\]]*\]").unwrap().replace_all(&bare, " ");
    let selector = Regex::new(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?( *\()?").unwrap();
    for captures in selector.captures_iter(&bare).filter(|captures| captures.get(3).is_none()) {
        let name = &captures[1];
        let Some(labels) = exported.get(name) else {
            wrong.push(format!("{name} is not exported"));
            continue;
        };
        known.extend(labels.iter().map(String::as_str));
        let matchers = captures.get(2).map_or("", |matchers| matchers.as_str());
        for label in matcher.captures_iter(matchers) {
            if !labels.contains(&label[1]) && !SCRAPED.contains(&&label[1]) {
                wrong.push(format!("{name} has no label {}", &label[1]));
            }
        }
        assert!(texts.replace_all(matchers, "").chars().all(|c| !c.is_ascii_digit()), "{expression}");
    }
    let grouped = group
        .captures_iter(expression)
        .flat_map(|captures| captures[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    wrong.extend(
        grouped.filter(|label| !known.contains(label.as_str())).map(|label| format!("no series has {label}")),
    );
    wrong
}

/// Collects all values of a key, at any depth.
fn values_of<'a>(value: &'a Value, key: &str, captures: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            captures.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|below| values_of(below, key, captures));
        }
        Value::Array(items) => items.iter().for_each(|below| values_of(below, key, captures)),
        _ => {}
    }
}

#[test]
fn a_wrong_metric_or_label_is_found() {
    let exported = exported();
    for wrong in [
        "sum(grpcchatter_nothing)",
        "rate(grpcchatter_log_batch_seconds[5m])",
        r#"sum by (le) (rate(grpcchatter_connections{feed="chat"}[5m]))"#,
        "sum by (reason) (grpcchatter_connections)",
    ] {
        assert!(!mistakes(wrong, &exported).is_empty(), "{wrong}");
    }
    let right = r#"histogram_quantile(0.9, sum by (le, path) (rate(http_request_duration_seconds_bucket{job="a"}[5m])))"#;
    assert_eq!(mistakes(right, &exported), Vec::<String>::new());
}

#[test]
fn the_dashboard_uses_exported_metrics_and_shows_each() {
    let (exported, dashboard) = (exported(), read("configs/grafana/grpcchatter.json"));
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut expressions = Vec::new();
    values_of(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in &expressions {
        assert_eq!(mistakes(expression, &exported), Vec::<String>::new(), "{expression}");
    }
    let shown = expressions.join(" ");
    for name in exported.keys().filter(|name| name.starts_with("grpcchatter_")) {
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(shown.contains(base), "no panel shows {name}");
    }
}

/// The first group of each match of an expression in a text.
fn captures(expression: &str, text: &str) -> BTreeSet<String> {
    Regex::new(expression).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_document_lists_exactly_the_audit_events() {
    let (source, document) = (read("src/audit.rs"), read("docs/operate.md"));
    let words = source.split("const fn words").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let written = captures(r#"\("([a-z_]+)", ""#, words);
    assert_eq!(written.len(), words.matches("Self::").count(), "{written:?}");
    let table =
        document.split("| event | meaning |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let first_cells: Vec<&str> = table.lines().map(|row| row.split(" | ").next().unwrap()).collect();
    let listed = captures("`([a-z_]+)`", &first_cells.join("\n"));
    assert_eq!(listed, written);
}

#[test]
fn the_alerts_use_exported_metrics() {
    let (exported, alerts) = (exported(), read("configs/prometheus/alerts.yml"));
    let expressions: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), alerts.matches("- alert: ").count());
    for expression in expressions {
        assert_eq!(mistakes(expression, &exported), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let (alerts, tests) = (read("configs/prometheus/alerts.yml"), read("configs/prometheus/alerts.test.yml"));
    let named = captures(r"- alert: ([A-Za-z]+)", &alerts);
    assert_eq!(named.len(), alerts.matches("- alert: ").count(), "two alerts have one name");
    // The expected alerts are below the name.
    assert_eq!(captures(r"alertname: ([A-Za-z]+)\n +exp_alerts:\n +- exp_labels", &tests), named);
    assert_eq!(captures(r"alertname: ([A-Za-z]+)", &tests), named);
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_pass() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let run = Command::new("promtool").args(arguments).current_dir(root("configs/prometheus")).output();
        match run {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => {
                assert!(
                    std::env::var_os("REQUIRE_PROMTOOL").is_none_or(|value| value != "1"),
                    "promtool cannot be run: {error}"
                );
                println!("skipped: there is no promtool in the PATH");
            }
        }
    }
}
