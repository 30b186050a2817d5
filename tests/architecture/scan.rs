//! Finds the paths that a file names, and resolves them.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    File, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

use crate::tokens;

/// A path, segment by segment, from the root of the crate.
pub(crate) type Names = Vec<String>;

/// What a file names.
#[derive(Default)]
pub(crate) struct Scan {
    /// The first names of the other paths: packages, and names that the file does not bring in by name.
    pub(crate) packages: BTreeSet<String>,
    /// The paths inside the crate, from its root.
    pub(crate) paths: BTreeSet<Names>,
    /// The names that `use` items bring in, each with its full path.
    pub(crate) names: BTreeMap<String, Names>,
}

impl Scan {
    /// Scans the code of the module `own`, which declares the modules `children` in other files.
    pub(crate) fn new(code: &File, own: &[String], children: &[String]) -> Self {
        let mut found = Found::default();
        found.visit_file(code);
        let supers = |path: &[String]| path.iter().take_while(|name| *name == "super").count();
        let absolute = |path: &[String], names: &BTreeMap<String, Names>| -> Option<Names> {
            let (base, rest) = match path[0].as_str() {
                "crate" | "grpcchatter" => (&[][..], &path[1..]),
                "self" => (own, &path[1..]),
                "super" => (&own[..own.len().checked_sub(supers(path))?], &path[supers(path)..]),
                name if children.iter().any(|child| child == name) => (own, path),
                name => (&names.get(name)?[..], &path[1..]),
            };
            Some(base.iter().chain(rest).cloned().collect())
        };
        let mut scan = Self::default();
        // A `use` may depend on a later one.
        for _ in 0..2 {
            for (path, name) in &found.uses {
                if let (Some(name), Some(path)) = (name, absolute(path, &scan.names)) {
                    scan.names.insert(name.clone(), path);
                }
            }
        }
        for path in found.uses.iter().map(|(path, _)| path).chain(&found.paths) {
            match absolute(path, &scan.names) {
                Some(path) => drop(scan.paths.insert(path)),
                None => drop(scan.packages.insert(path[0].clone())),
            }
        }
        scan
    }

    /// Returns the top-level modules that the file uses, and `*` if it uses all of them.
    pub(crate) fn top_level_uses(&self) -> BTreeSet<&str> {
        self.paths.iter().filter_map(|path| path.first()).map(String::as_str).collect()
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
        // An inline module may use all of the file around it.
        if !path.is_empty() && path != ["*"] {
            self.uses.push((path, name.filter(|_| self.depth == 0)));
        }
    }

    fn add_path(&mut self, path: Names) {
        let path = self.outside(path);
        if path.len() > 1 {
            self.paths.push(path);
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| {
            let mut path = before.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
            UseTree::Glob(_) => self.add_use(with(&"*"), None),
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
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// syn leaves the tokens of a macro unparsed, as a macro may give them any meaning.
    fn visit_macro(&mut self, item: &syn::Macro) {
        tokens::paths(item.tokens.clone()).into_iter().for_each(|path| self.add_path(path));
        visit::visit_macro(self, item);
    }

    /// A `derive` names paths too.
    fn visit_meta_list(&mut self, list: &syn::MetaList) {
        tokens::paths(list.tokens.clone()).into_iter().for_each(|path| self.add_path(path));
        visit::visit_meta_list(self, list);
    }

    /// `pub(in path)` is no use of the path.
    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {}

    fn visit_item_mod(&mut self, module: &ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }
}
