//! Reads a crate's source: its modules, their files, and which files use which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, File, Item, ItemMod,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::{
    scan::{Names, Scan},
    tokens,
};

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
pub(crate) struct Module {
    /// The file, from the root of the workspace.
    pub(crate) file: String,
    /// Whether it is compiled only for tests.
    pub(crate) is_test: bool,
    /// Its modules in files of their own, in the order of their declarations.
    pub(crate) children: Vec<String>,
    /// What all of its code names.
    pub(crate) whole: Scan,
    /// What its code names, without items that are compiled only for tests.
    pub(crate) product: Scan,
    /// The code, without items that are compiled only for tests.
    pub(crate) code: File,
}

/// The modules of a crate, by their paths.
pub(crate) struct Modules(pub(crate) BTreeMap<Names, Module>);

impl Modules {
    /// Reads the crate whose root is `file`.
    pub(crate) fn read(file: &str) -> Self {
        Self::read_with(file, &|file| fs::read_to_string(root().join(file)).ok())
    }

    /// Reads the crate whose root is `file`. `read` returns the text of a file, if there is one.
    pub(crate) fn read_with(file: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add(file.to_owned(), Vec::new(), false, read);
        modules
    }

    fn add(&mut self, file: String, path: Names, is_test: bool, read: &dyn Fn(&str) -> Option<String>) {
        let text = read(&file).unwrap();
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
            let found = [format!("{name}.rs"), format!("{name}/mod.rs")]
                .map(|end| folder.join(end).to_str().unwrap().to_owned());
            let found = found.into_iter().find(|path| read(path).is_some());
            let found = found.unwrap_or_else(|| panic!("{file}: no file for the module {name}"));
            let mut inner = path.clone();
            inner.push(name.clone());
            children.push(name);
            self.add(found, inner, is_test || is_for_tests(attrs), read);
        }
        let whole = Scan::new(&code, &path, &children);
        if !is_test {
            code.items.retain(|item| !attributes(item).is_some_and(is_for_tests));
        }
        let product = Scan::new(&code, &path, &children);
        self.0.insert(path, Module { file, is_test, children, whole, product, code });
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
                } else if let Some(target) = self.0[&at].product.names.get(name)
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
                let used = module.product.paths.iter().filter_map(|used| self.find(used));
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

    /// Returns whether its product code calls `method`.
    pub(crate) fn calls(&self, method: &str) -> bool {
        struct Calls<'a>(&'a str, bool);
        impl Visit<'_> for Calls<'_> {
            fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
                self.1 |= call.method == self.0;
                visit::visit_expr_method_call(self, call);
            }

            fn visit_macro(&mut self, item: &syn::Macro) {
                self.1 |= tokens::call(item.tokens.clone(), self.0);
                visit::visit_macro(self, item);
            }
        }
        let mut calls = Calls(method, false);
        calls.visit_file(&self.code);
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
        functions.visit_file(&self.code);
        functions.0
    }
}
