//! Holds the order of the modules and the rules about packages that ARCHITECTURE.md gives, by reading the source.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Each module in its order, and what it may use. What is above it and left out here is left out on purpose:
/// the store and the hub do not know each other, and the gateway speaks to the domain alone.
const MODULES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("faults", &[]),
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

/// Packages that only some modules may name, so that the rest can be read and tested without them.
const PACKAGES: &[(&[&str], &[&str])] = &[
    (
        &["axum", "http", "tonic", "tonic_health", "tonic_reflection", "tonic_types", "tonic_web"],
        &["gateway"],
    ),
    (&["sea_orm"], &["store"]),
];

/// Features whose absence is a decision: there is no second server in the program.
const ABSENT_FEATURES: &[(&str, &[&str])] =
    &[("axum", &["tokio", "http1", "http2"]), ("tonic", &["server", "channel", "transport", "router"])];

/// Packages that must not be in the lock file: a second TLS stack, and rsa for RUSTSEC-2023-0071.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "rsa", "grpcio"];

const LONGEST_FILE: usize = 400;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[("proto/src/generated/grpcchatter.v1.rs", "it is generated")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below `folder`, as a path from the root and a text.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Returns the module that a file of `src/` belongs to, or none for lib.rs.
fn module_of(file: &str) -> Option<&str> {
    let name = file.strip_prefix("src/")?.split('/').next()?;
    Some(name.strip_suffix(".rs").unwrap_or(name)).filter(|name| *name != "lib")
}

/// Cuts a source into words and marks, without comments, texts and characters.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => at = find(&chars, at, "\n"),
            '/' if next == '*' => at = find(&chars, at, "*/"),
            'r' if next == '"' => at = find(&chars, at + 2, "\""),
            'r' if next == '#' && chars.get(at + 2) == Some(&'"') => at = find(&chars, at + 3, "\"#"),
            '"' => at = end_of_text(&chars, at + 1, '"'),
            '\'' if next == '\\' || chars.get(at + 2) == Some(&'\'') => {
                at = end_of_text(&chars, at + 1, '\'');
            }
            char if char.is_alphanumeric() || char == '_' => {
                let length = chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                tokens.push(chars[at..at + length].iter().collect());
                at += length;
            }
            ':' if next == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            char => {
                if !char.is_whitespace() {
                    tokens.push(char.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

/// Returns the place after the next `mark`.
fn find(chars: &[char], from: usize, mark: &str) -> usize {
    let mark: Vec<char> = mark.chars().collect();
    let found = chars[from..].windows(mark.len()).position(|window| window == mark);
    found.map_or(chars.len(), |offset| from + offset + mark.len())
}

/// Returns the place after the closing `quote`, which a backslash can hide.
fn end_of_text(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the names that follow `start::`, those in the outermost braces included.
fn names_after(tokens: &[String], start: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0] != start || pair[1] != "::" || (at > 0 && tokens[at - 1] == "::") {
            continue;
        }
        let rest = &tokens[at + 2..];
        if rest.first().is_none_or(|token| token != "{") {
            names.extend(rest.first().cloned());
            continue;
        }
        let mut depth = 0;
        for pair in rest.windows(2) {
            match pair[0].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (pair[0] == "{" || pair[0] == ",") && pair[1] != "}" {
                names.insert(pair[1].clone());
            }
        }
    }
    names
}

/// Returns the modules of this crate that a file names.
fn modules_named(file: &str, source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let mut names = names_after(&tokens, "crate");
    names.extend(names_after(&tokens, "grpcchatter"));
    // `super::` leads to the crate's root only where it does not lead to a neighbour of that name.
    let folder = root().join(file).parent().map(Path::to_owned).unwrap_or_default();
    names.extend(names_after(&tokens, "super").into_iter().filter(|name| {
        folder == root().join("src")
            || !(folder.join(name).exists() || folder.join(format!("{name}.rs")).exists())
    }));
    names.retain(|name| MODULES.iter().any(|(module, _)| module == name));
    names
}

#[test]
fn names_are_found_in_paths_and_in_braces_and_not_in_comments_or_texts() {
    let source = r##"
        //! crate::store
        use crate::{model::{Error, hub}, clock, crypto as c,};
        /* crate::domain */ fn f<'a>(c: char) { let _ = ("crate::hub \" crate::hub", r#"crate::hub"#, '"'); }
        fn g() -> crate::gateway::Thing { x::crate::main }
    "##;
    let found: Vec<String> = modules_named("src/app.rs", source).into_iter().collect();
    assert_eq!(found, ["clock", "crypto", "gateway", "model"]);
}

#[test]
fn a_module_uses_only_what_its_place_in_the_order_allows() {
    let mut broken = Vec::new();
    for (file, source) in rust_files("src") {
        let Some(module) = module_of(&file) else { continue };
        let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{file}: the module {module} has no place in the order"));
            continue;
        };
        for name in modules_named(&file, &source) {
            if name != module && !allowed.contains(&name.as_str()) {
                broken.push(format!("{file}: {module} may not use {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn lib_rs_declares_the_modules_in_their_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let place = |name: &&str| MODULES.iter().position(|(module, _)| module == name);
    // What the program is made of comes after the library's own order, by name.
    let ordered = declared.iter().filter(|name| !["app", "shutdown", "systemd", "telemetry"].contains(name));
    let places: Vec<Option<usize>> = ordered.map(place).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{declared:?}");
}

#[test]
fn packages_are_named_only_where_they_belong() {
    let mut broken = Vec::new();
    for (file, source) in rust_files("src") {
        let module = module_of(&file).unwrap_or("lib");
        let tokens = tokens(&source);
        for (packages, modules) in PACKAGES {
            for package in packages.iter().filter(|_| !modules.contains(&module)) {
                if !names_after(&tokens, package).is_empty() {
                    broken.push(format!("{file}: {package} belongs to {}", modules.join(", ")));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn there_is_no_second_server_in_the_program() {
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

/// Returns where the modules lie that are compiled for tests alone, without the end of their file's name.
fn test_modules(files: &[(String, String)]) -> Vec<String> {
    let mut modules = Vec::new();
    for (file, source) in files {
        let folder = ["/mod.rs", "/lib.rs", ".rs"].iter().find_map(|end| file.strip_suffix(end)).unwrap();
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some((_, name)) = pair[1].strip_suffix(';').and_then(|line| line.split_once("mod ")) {
                modules.push(format!("{folder}/{name}"));
            }
        }
    }
    modules
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let files = rust_files("src");
    let tests = test_modules(&files);
    for (file, source) in &files {
        if tests.iter().any(|module| file.starts_with(module)) {
            continue;
        }
        let product = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
        let tokens = tokens(product);
        assert!(!tokens.windows(2).any(|pair| pair[0] == "." && pair[1] == "unwrap"), "{file}");
    }
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let mut broken = Vec::new();
    for (file, source) in rust_files("") {
        let lines = source.lines().count();
        let listed = LONG_FILES.iter().any(|(name, _)| *name == file);
        if lines > LONGEST_FILE && !listed {
            broken.push(format!("{file}: {lines} lines, where {LONGEST_FILE} are the most"));
        }
        if lines <= LONGEST_FILE && listed {
            broken.push(format!("{file}: {lines} lines; take it off the list of long files"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
