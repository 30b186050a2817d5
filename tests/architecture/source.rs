//! Reads a crate's source: its modules, their files, and which files use which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, File, Item, ItemMod, ItemUse, UseTree,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// A path, segment by segment, from the root of the crate.
type Names = Vec<String>;

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below `folder`, as a path from the root and a text.
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
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

/// A module in a file of its own.
#[derive(Default)]
pub(crate) struct Module {
    /// The file, from the root of the workspace.
    pub(crate) file: String,
    /// Whether it is compiled only for tests.
    pub(crate) is_test: bool,
    /// Its modules in files of their own, in the order of their declarations.
    pub(crate) children: Vec<String>,
    /// The packages that its product code names.
    pub(crate) packages: BTreeSet<String>,
    /// The paths that its product code names, from the root of the crate.
    paths: BTreeSet<Names>,
    /// The names that its `use` items bring in, each with its full path.
    names: BTreeMap<String, Names>,
    /// The code, without items that are compiled only for tests.
    pub(crate) code: Option<File>,
}

/// The modules of a crate, by their paths.
pub(crate) struct Modules(pub(crate) BTreeMap<Names, Module>);

impl Modules {
    /// Reads the crate whose root is `file`.
    pub(crate) fn read(file: &str) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add(file.to_owned(), Vec::new(), false);
        modules
    }

    fn add(&mut self, file: String, path: Names, is_test: bool) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let mut code = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut children = Vec::new();
        let folder = Path::new(&file);
        let folder = match folder.file_name().unwrap().to_str().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => folder.parent().unwrap().to_owned(),
            _ => folder.with_extension(""),
        };
        for item in &code.items {
            let Item::Mod(ItemMod { attrs, ident, content: None, .. }) = item else { continue };
            let name = ident.to_string();
            let found = [format!("{name}.rs"), format!("{name}/mod.rs")].map(|end| folder.join(end));
            let found = found.iter().find(|path| root().join(path).exists());
            // Only test modules have `#[path]`.
            let Some(found) = found else {
                assert!(is_test, "{file}: no file for the module {name}");
                continue;
            };
            let mut inner = path.clone();
            inner.push(name.clone());
            children.push(name);
            self.add(found.to_str().unwrap().to_owned(), inner, is_test || is_for_tests(attrs));
        }
        if !is_test {
            code.items.retain(|item| !attributes(item).is_some_and(is_for_tests));
        }
        let mut found = Found::default();
        found.visit_file(&code);
        let mut module = Module { file, is_test, children, code: Some(code), ..Module::default() };
        module.resolve(&path, &found);
        self.0.insert(path, module);
    }

    /// Returns the module in which the item `path` is declared.
    pub(crate) fn find(&self, path: &[String]) -> Option<&Names> {
        let mut path = path.to_vec();
        // Each round follows one `use`.
        'rounds: for _ in 0..10 {
            let mut at = Names::new();
            for (index, name) in path.iter().enumerate() {
                let mut inner = at.clone();
                inner.push(name.clone());
                if self.0.contains_key(&inner) {
                    at = inner;
                } else if let Some(target) = self.0[&at].names.get(name)
                    && target[..] != path[..=index]
                {
                    path = target.iter().chain(&path[index + 1..]).cloned().collect();
                    continue 'rounds;
                } else {
                    break;
                }
            }
            return self.0.get_key_value(&at).map(|(found, _)| found);
        }
        None
    }

    /// Returns the modules that are part of the product.
    pub(crate) fn product(&self) -> impl Iterator<Item = &Module> {
        self.0.values().filter(|module| !module.is_test)
    }

    /// Returns for each module the others that it uses, without test modules.
    pub(crate) fn uses(&self) -> BTreeMap<&Names, BTreeSet<&Names>> {
        let product = self.0.iter().filter(|(_, module)| !module.is_test);
        product
            .map(|(path, module)| {
                let used = module.paths.iter().filter_map(|used| self.find(used));
                (path, used.filter(|used| *used != path && !self.0[*used].is_test).collect())
            })
            .collect()
    }
}

/// Returns whether an item is compiled only for tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string().replace(' ', "");
                matches!(condition.as_str(), "test" | "any(test,fuzzing)")
            })
    })
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    match item {
        Item::Const(item) => Some(&item.attrs),
        Item::Fn(item) => Some(&item.attrs),
        Item::Impl(item) => Some(&item.attrs),
        Item::Mod(item) => Some(&item.attrs),
        Item::Struct(item) => Some(&item.attrs),
        Item::Use(item) => Some(&item.attrs),
        _ => None,
    }
}

impl Module {
    /// Returns the name of the top-level module that it belongs to.
    pub(crate) fn name(&self) -> &str {
        let name = self.file.trim_start_matches("src/").split('/').next().unwrap();
        name.trim_end_matches(".rs")
    }

    /// Returns the top-level modules that its product code uses.
    pub(crate) fn top_level_uses(&self) -> BTreeSet<&str> {
        self.paths.iter().filter_map(|path| path.first()).map(String::as_str).collect()
    }

    /// Returns whether its product code calls `method`.
    pub(crate) fn calls(&self, method: &str) -> bool {
        struct Calls<'a>(&'a str, bool);
        impl Visit<'_> for Calls<'_> {
            fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
                self.1 |= call.method == self.0;
                visit::visit_expr_method_call(self, call);
            }
        }
        let mut calls = Calls(method, false);
        self.code.iter().for_each(|code| calls.visit_file(code));
        calls.1
    }

    /// Returns the functions of its product code with their lengths in lines.
    pub(crate) fn functions(&self) -> Vec<(String, usize)> {
        struct Functions(Vec<(String, usize)>);
        impl Functions {
            fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
                let (start, end) = (signature.fn_token.span.start(), block.span().end());
                self.0.push((signature.ident.to_string(), end.line - start.line + 1));
            }
        }
        impl Visit<'_> for Functions {
            fn visit_item_fn(&mut self, item: &syn::ItemFn) {
                self.add(&item.sig, &item.block);
                visit::visit_item_fn(self, item);
            }

            fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
                self.add(&item.sig, &item.block);
                visit::visit_impl_item_fn(self, item);
            }
        }
        let mut functions = Functions(Vec::new());
        self.code.iter().for_each(|code| functions.visit_file(code));
        functions.0
    }

    /// Resolves the paths of its code.
    fn resolve(&mut self, own: &[String], found: &Found) {
        let supers = |path: &[String]| path.iter().take_while(|name| *name == "super").count();
        let absolute = |path: &[String], names: &BTreeMap<String, Names>| -> Option<Names> {
            let (base, rest) = match path[0].as_str() {
                "crate" | "grpcchatter" => (&[][..], &path[1..]),
                "self" => (own, &path[1..]),
                "super" => (&own[..own.len().checked_sub(supers(path))?], &path[supers(path)..]),
                name if self.children.iter().any(|child| child == name) => (own, path),
                name => (&names.get(name)?[..], &path[1..]),
            };
            Some(base.iter().chain(rest).cloned().collect())
        };
        let mut names = BTreeMap::new();
        // A `use` may depend on a later one.
        for _ in 0..2 {
            for (path, name) in &found.uses {
                if let (Some(name), Some(path)) = (name, absolute(path, &names)) {
                    names.insert(name.clone(), path);
                }
            }
        }
        for path in found.uses.iter().map(|(path, _)| path).chain(&found.paths) {
            match absolute(path, &names) {
                Some(path) => drop(self.paths.insert(path)),
                None => drop(self.packages.insert(path[0].clone())),
            }
        }
        self.names = names;
    }
}

/// The paths of a file, unresolved.
#[derive(Default)]
struct Found {
    /// The paths of `use` items, with the names that they bring in.
    uses: Vec<(Names, Option<String>)>,
    paths: Vec<Names>,
    /// How many inline modules surround the current item.
    depth: usize,
}

impl Found {
    /// Rewrites a path of an inline module relative to the file.
    fn outside(&self, mut path: Names) -> Names {
        for _ in 0..self.depth {
            match path.first().map(String::as_str) {
                Some("super") => drop(path.remove(0)),
                _ => break,
            }
        }
        path
    }

    fn add_use(&mut self, path: Names, name: Option<String>) {
        let path = self.outside(path);
        if !path.is_empty() {
            self.uses.push((path, name.filter(|_| self.depth == 0)));
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
            UseTree::Glob(_) => self.add_use(before.to_vec(), None),
            UseTree::Name(name) if name.ident == "self" => {
                self.add_use(before.to_vec(), before.last().cloned());
            }
            UseTree::Name(name) => self.add_use(with(&name.ident), Some(name.ident.to_string())),
            UseTree::Rename(rename) => {
                self.add_use(with(&rename.ident), Some(rename.rename.to_string()));
            }
        }
    }
}

impl Visit<'_> for Found {
    fn visit_item_use(&mut self, item: &ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let names = self.outside(names);
        if names.len() > 1 {
            self.paths.push(names);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in path)` is no use of the path.
    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {}

    fn visit_item_mod(&mut self, module: &ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }
}
