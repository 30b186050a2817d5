//! Tests the scanner on small texts, because a scanner that finds nothing lets every rule pass.

use std::collections::BTreeSet;

use crate::{
    scan::{Names, Scan},
    source::Modules,
    tokens,
};

/// Scans `text` as the file of the module `gateway::rest`, which has a module `page`.
fn scan(text: &str) -> Scan {
    let own = ["gateway", "rest"].map(str::to_owned);
    Scan::new(&syn::parse_file(text).unwrap(), &own, &["page".to_owned()])
}

/// Reads a crate whose files are given by name and text.
fn read(files: &[(&str, &str)]) -> Modules {
    Modules::read_with("src/lib.rs", &|wanted| {
        files.iter().find(|(file, _)| *file == wanted).map(|(_, text)| (*text).to_owned())
    })
}

/// Returns the modules that the module `path` uses, as `uses` finds them.
fn used(modules: &Modules, path: &str) -> Vec<String> {
    let path: Names = path.split("::").map(str::to_owned).collect();
    modules.uses()[&path].iter().map(|used| used.join("::")).collect()
}

/// Returns whether the text calls `unwrap`.
fn unwraps(text: &str) -> bool {
    let modules = read(&[("src/lib.rs", text)]);
    modules.0[&Names::new()].calls("unwrap")
}

#[test]
fn names_are_found_in_paths_and_in_braces_and_not_in_comments_or_texts() {
    let found = scan(
        r##"
        //! crate::store
        use crate::{model::{Error, hub}, clock, crypto as c,};
        use std::fmt::{self, Debug};
        pub use super::super::audit::Line;
        /* crate::domain */ fn f<'a>(c: char) { let _ = ("crate::hub \" crate::hub", r#"sea_orm::hub"#, '"'); }
        fn g() -> crate::gateway::Thing { axum::serve(x::crate_::store, c::hash) }
        pub(in crate::app) fn h() { grpcchatter::metrics::count() }
        mod inner { use super::super::super::faults; fn i() { tonic::Status::ok() } }
        #[cfg(test)] fn j() { crate::telemetry::start() }
    "##,
    );
    let modules: Vec<&str> = found.top_level_uses().into_iter().collect();
    let expected = ["audit", "clock", "crypto", "faults", "gateway", "metrics", "model", "telemetry"];
    assert_eq!(modules, expected);
    let packages: Vec<&str> = found.packages.iter().map(String::as_str).collect();
    assert_eq!(packages, ["axum", "std", "tonic", "x"]);
}

#[test]
fn paths_are_resolved_from_the_root_of_the_crate() {
    let found = scan(
        "use super::{route::Route, stack}; use self::page::Page as P; pub use crate::model::*; use page::index;
         fn f() { (stack::build(), P::new(), index::list(), page::show()) }",
    );
    let paths: Vec<String> = found.paths.iter().map(|path| path.join("::")).collect();
    let expected = [
        "gateway::rest::page::Page",
        "gateway::rest::page::Page::new",
        "gateway::rest::page::index",
        "gateway::rest::page::index::list",
        "gateway::rest::page::show",
        "gateway::route::Route",
        "gateway::stack",
        "gateway::stack::build",
        "model::*",
    ];
    assert_eq!(paths, expected);
}

/// Its paths could name any module, so that no module may have it.
#[test]
fn a_use_of_the_whole_crate_is_found() {
    assert!(scan("use crate::*;").top_level_uses().contains("*"));
    assert!(scan("mod tests { use super::*; }").top_level_uses().is_empty());
}

#[test]
fn paths_are_found_in_macros_and_attributes() {
    for (text, used) in [
        ("fn f() { format!(\"{}\", crate::hub::NAME) }", "hub"),
        ("fn f() { tokio::select! { x = g() => { if y { vec![(super::super::hub::wait(), 1)] } } } }", "hub"),
        ("fn f() { assert!(matches!(x, Some(crate::hub::Event::End { .. }))) }", "hub"),
        ("macro_rules! m { ($x:expr) => { $crate::hub::send($x) } }", "hub"),
        ("macro_rules! m { () => { use crate::{model::{Error, store}, hub as h}; } }", "hub"),
        ("use crate::hub; fn f() { vec![hub::new()] }", "hub"),
        ("mod tests { fn f() { vec![super::super::super::hub::new()] } }", "hub"),
        ("crate::hub::declare! {}", "hub"),
        ("#[derive(Debug, crate::hub::Event)] struct S;", "hub"),
        ("macro_rules! m { () => { use crate::*; } }", "*"),
    ] {
        assert!(scan(text).top_level_uses().contains(used), "{text}");
    }
    for text in [
        "fn f() { tokio::select! { x = sea_orm::connect() => vec![x] } }",
        "macro_rules! m { () => { use sea_orm::*; } }",
        "macro_rules! m { () => { ::sea_orm::query!() } }",
        "fn f() { format!(\"{:?}\", [<sea_orm::Value as Into<u8>>::into(x)]) }",
        "#[derive(sea_orm::FromQueryResult)] struct S;",
    ] {
        assert!(scan(text).packages.contains("sea_orm"), "{text}");
    }
}

#[test]
fn nothing_else_in_macros_is_a_path() {
    let found = scan(
        r#"
        macro_rules! m { ($x:ident) => { $x::crate_::new() } }
        fn f() {
            println!("crate::hub {}", 'c' /* crate::hub */); // crate::hub
            vec![a.b.collect::<Vec<u8>>(), S { field: value }, x..y];
        }
    "#,
    );
    assert!(found.paths.is_empty(), "{:?}", found.paths);
    assert!(found.packages.is_empty(), "{:?}", found.packages);
    let code: Vec<Names> = tokens::paths("use a::{b as c, d::{self, e}}".parse().unwrap());
    let code: Vec<String> = code.iter().map(|path| path.join("::")).collect();
    assert_eq!(code, ["a::b", "a::d::self", "a::d::e"]);
}

#[test]
fn calls_are_found_in_macros_too() {
    for text in [
        "fn f() { x.unwrap(); }",
        "fn f() { vec![x.unwrap()]; }",
        "fn f() { tokio::select! { x = y => { z(format!(\"{}\", x.unwrap())) } } }",
        "fn f() { assert!(matches!(x.unwrap(), 1)) }",
        "macro_rules! m { ($x:expr) => { { $x.unwrap() } } }",
    ] {
        assert!(unwraps(text), "{text}");
    }
    for text in [
        "fn f() { x.unwrap_or(1); vec![x.unwrap_or(1), unwrap(\".unwrap()\")]; } // x.unwrap()",
        "#[cfg(test)] mod tests { fn f() { vec![x.unwrap()] } }",
    ] {
        assert!(!unwraps(text), "{text}");
    }
}

#[test]
fn uses_follow_re_exports_and_leave_tests_out() {
    let modules = read(&[
        ("src/lib.rs", "pub mod store; pub mod hub; #[cfg(any(test, fuzzing))] mod fuzz;"),
        ("src/store/mod.rs", "mod rows; mod log; pub use self::rows::Row;"),
        ("src/store/rows.rs", "pub struct Row;"),
        ("src/store/log.rs", "fn f() { vec![super::Row] }"),
        ("src/hub.rs", "use crate::store::Row; #[cfg(test)] mod tests; #[cfg(test)] use axum::Router;"),
        ("src/hub/tests.rs", "use crate::store; use sea_orm::Value;"),
        ("src/fuzz.rs", "use crate::hub;"),
    ]);
    assert_eq!(used(&modules, "hub"), ["store::rows"]);
    assert_eq!(used(&modules, "store"), ["store::rows"]);
    assert_eq!(used(&modules, "store::log"), ["store::rows"]);
    let product: Vec<&str> = modules.product().map(|module| module.file.as_str()).collect();
    assert_eq!(
        product,
        ["src/lib.rs", "src/hub.rs", "src/store/mod.rs", "src/store/log.rs", "src/store/rows.rs"]
    );
    let whole = |file: &str| &modules.0.values().find(|module| module.file == file).unwrap().whole;
    assert!(whole("src/hub.rs").packages.contains("axum"));
    assert!(whole("src/hub/tests.rs").packages.contains("sea_orm"));
    assert_eq!(whole("src/hub/tests.rs").top_level_uses(), BTreeSet::from(["store"]));
    assert_eq!(whole("src/fuzz.rs").top_level_uses(), BTreeSet::from(["hub"]));
}

/// The small texts say nothing about whether the files of the product are read as they are.
#[test]
fn known_uses_are_found_in_the_product() {
    let modules = Modules::read("src/lib.rs");
    let uses = modules.uses();
    let has = |from: &str, to: &str| {
        uses.iter().any(|(path, used)| {
            path.first().is_some_and(|name| name == from)
                && used.iter().any(|used| used.first().is_some_and(|name| name == to))
        })
    };
    assert!(has("domain", "store") && has("gateway", "domain") && has("app", "gateway"));
    let any = |name: &str, found: &dyn Fn(&Scan) -> bool| {
        modules
            .product()
            .any(|module| module.name() == name && found(&module.product) && found(&module.whole))
    };
    assert!(any("domain", &|scan| scan.top_level_uses().contains("store")));
    assert!(any("store", &|scan| scan.packages.contains("sea_orm")));
    assert!(any("gateway", &|scan| scan.packages.contains("tonic")));
    let main = Modules::read("src/main.rs");
    assert!(main.product().any(|module| module.whole.top_level_uses().contains("app")));
}
