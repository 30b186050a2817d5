//! Holds the order of the modules and the rules about packages that ARCHITECTURE.md gives, by reading the source.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source;
mod scan;
mod tokens;
mod scanner_tests;

use std::{collections::BTreeSet, fs, process::Command};

use source::{Modules, root, rust_files};

/// The files at which the crates of the package begin.
const CRATE_ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// The modules in order, each with the modules that it may use. Some earlier modules are left out on purpose: the store and the
/// hub do not know each other, and the gateway uses the domain only.
const MODULES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("faults", &["model"]),
    ("clock", &["model"]),
    ("metrics", &[]),
    ("audit", &["model"]),
    ("fair_queue", &[]),
    ("sparse_log", &[]),
    ("crypto", &["model", "clock", "metrics", "fair_queue"]),
    ("store", &["model", "faults", "clock", "fair_queue", "sparse_log", "crypto"]),
    ("hub", &["model", "faults", "clock", "metrics", "crypto"]),
    ("domain", &["model", "faults", "clock", "metrics", "audit", "crypto", "store", "hub"]),
    ("gateway", &["model", "faults", "clock", "metrics", "audit", "sparse_log", "domain"]),
    ("config", &["model", "clock", "crypto", "store", "hub", "domain", "gateway"]),
    ("telemetry", &["model", "audit", "config"]),
    ("shutdown", &[]),
    ("systemd", &[]),
    ("app", &["model", "clock", "metrics", "audit", "crypto", "store", "hub", "domain", "gateway", "config"]),
    ("commands", &["app", "config", "shutdown", "systemd", "telemetry"]),
    ("main", &["commands"]),
];

/// Packages that only the named modules may use.
const PACKAGES: &[(&[&str], &[&str])] = &[
    (
        &["axum", "http", "tonic", "tonic_health", "tonic_reflection", "tonic_types", "tonic_web"],
        &["gateway"],
    ),
    (&["sea_orm"], &["store"]),
];

/// Features that must be off, so that nobody can start tonic's or axum's own server by mistake.
const ABSENT_FEATURES: &[(&str, &[&str])] =
    &[("axum", &["tokio", "http1", "http2"]), ("tonic", &["server", "channel", "transport", "router"])];

/// Packages that must not be in the lock file: other TLS stacks, and rsa because of RUSTSEC-2023-0071.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "rsa", "grpcio"];

/// Longest file, in lines.
const LONGEST_FILE: usize = 400;

/// Longest function, in lines.
const LONGEST_FUNCTION: usize = 60;

/// Files that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[("proto/src/generated/grpcchatter.v1.rs", "it is generated")];

/// Modules inside which each file may use only files that are declared after it.
const ORDERED: &[&str] = &["gateway", "hub", "store", "domain"];

#[test]
fn a_module_uses_only_the_modules_that_it_may_use() {
    let mut broken = Vec::new();
    for modules in CRATE_ROOTS.map(Modules::read) {
        // lib.rs declares all modules.
        for module in modules.0.values().filter(|module| module.file != "src/lib.rs") {
            let name = module.name();
            let Some((_, allowed)) = MODULES.iter().find(|(module, _)| *module == name) else {
                broken.push(format!("{name} is not in MODULES"));
                continue;
            };
            // Its tests keep to the order too.
            for other in module.whole.top_level_uses() {
                if other != name && !allowed.contains(&other) {
                    broken.push(format!("{}: {name} may not use {other}", module.file));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn packages_are_used_only_by_their_modules() {
    let mut broken = Vec::new();
    for modules in CRATE_ROOTS.map(Modules::read) {
        for module in modules.0.values() {
            for (packages, modules) in PACKAGES {
                for package in packages.iter().filter(|_| !modules.contains(&module.name())) {
                    if module.whole.packages.contains(*package) {
                        broken.push(format!("{}: {package} belongs to {}", module.file, modules.join(", ")));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The rules about modules would miss a file that the scanner does not reach.
#[test]
fn the_scanner_reads_every_file() {
    let crates = CRATE_ROOTS.map(Modules::read);
    let read: BTreeSet<&str> =
        crates.iter().flat_map(|modules| modules.0.values()).map(|module| module.file.as_str()).collect();
    let unread: Vec<_> = rust_files("src")
        .into_iter()
        .map(|(file, _)| file)
        .filter(|file| !read.contains(file.as_str()))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}

/// A reader who follows the declarations goes from the whole to its parts.
#[test]
fn a_file_uses_only_files_that_are_declared_after_it() {
    let modules = Modules::read("src/lib.rs");
    let mut broken = Vec::new();
    for (path, used) in modules.uses() {
        for other in used {
            if path.first() != other.first() || path.is_empty() || !ORDERED.contains(&path[0].as_str()) {
                continue;
            }
            let common = path.iter().zip(other).take_while(|(one, other)| one == other).count();
            let children = &modules.0[&path[..common]].children;
            let place = |path: &[String]| {
                path.get(common).map(|name| children.iter().position(|child| child == name))
            };
            // A folder's own file comes before what is declared in it.
            if place(path) >= place(other) {
                broken.push(format!("{} uses {}", modules.0[path].file, modules.0[other].file));
            }
        }
    }
    assert!(broken.is_empty(), "{} upward uses:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn lib_rs_declares_the_modules_in_their_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let place = |name: &&str| MODULES.iter().position(|(module, _)| module == name);
    // These have no order among themselves: they stand last, by name.
    let ordered = declared.iter().filter(|name| !["app", "shutdown", "systemd", "telemetry"].contains(name));
    let places: Vec<Option<usize>> = ordered.map(place).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{declared:?}");
}

#[test]
fn the_servers_of_tonic_and_axum_are_not_compiled_in() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package=grpcchatter", "--edges=normal", "--prefix=none", "--format={p} {f}"])
        .args(["--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    for (package, absent) in ABSENT_FEATURES {
        let line = tree.lines().find(|line| line.starts_with(&format!("{package} v"))).unwrap();
        let features: Vec<&str> = line.split(' ').nth(2).unwrap_or_default().split(',').collect();
        let present: Vec<&&str> = absent.iter().filter(|feature| features.contains(feature)).collect();
        assert!(present.is_empty(), "{package} has the features {present:?}");
    }
}

#[test]
fn banned_packages_are_not_in_the_lock_file() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for package in BANNED {
        assert!(!lock.contains(&format!("name = \"{package}\"\n")), "{package}");
    }
}

#[test]
fn only_tests_call_unwrap() {
    for modules in CRATE_ROOTS.map(Modules::read) {
        for module in modules.product() {
            assert!(!module.calls("unwrap"), "{}", module.file);
        }
    }
}

#[test]
fn no_function_is_longer_than_the_limit() {
    let mut broken = Vec::new();
    for modules in CRATE_ROOTS.map(Modules::read) {
        for module in modules.product() {
            for (function, lines) in module.functions() {
                if lines > LONGEST_FUNCTION {
                    broken.push(format!(
                        "{}: {function} has {lines} lines; the limit is {LONGEST_FUNCTION}",
                        module.file
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_file_begins_with_its_purpose() {
    for (file, source) in rust_files("src") {
        assert!(source.starts_with("//! "), "{file} does not begin with `//!`");
    }
}

#[test]
fn no_two_files_use_each_other() {
    let modules = Modules::read("src/lib.rs");
    let uses = modules.uses();
    // All files that a file uses, directly or not.
    let reach = |start| {
        let (mut found, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(at) = next.pop() {
            next.extend(uses.get(at).into_iter().flatten().filter(|used| found.insert(**used)));
        }
        found
    };
    let circles: BTreeSet<Vec<&str>> = uses
        .keys()
        .filter_map(|path| {
            let circle = reach(*path).into_iter().filter(|other| reach(*other).contains(path));
            let circle: Vec<_> = circle.map(|path| modules.0[path].file.as_str()).collect();
            (!circle.is_empty()).then_some(circle)
        })
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let mut broken = Vec::new();
    for (file, source) in rust_files("") {
        let lines = source.lines().count();
        let listed = LONG_FILES.iter().any(|(name, _)| *name == file);
        if lines > LONGEST_FILE && !listed {
            broken.push(format!("{file} has {lines} lines; the limit is {LONGEST_FILE}"));
        }
        if lines <= LONGEST_FILE && listed {
            broken.push(format!("{file} has only {lines} lines; remove it from LONG_FILES"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_index_of_the_documents_links_every_one() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for folder in ["docs", "docs/clients"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root().join("docs")).unwrap().to_str().unwrap();
            if name.ends_with(".md") && name != "README.md" {
                assert!(index.contains(&format!("]({name})")), "docs/README.md does not link {name}");
            }
        }
    }
}
