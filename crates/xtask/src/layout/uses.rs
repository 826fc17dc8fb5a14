//! Which module uses which: every path in a module's items, those within macros included, led to
//! the module that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemUse, Macro, Visibility};

use super::modules::{ModulePath, Modules, absolute, attributes, flatten};
use crate::tree;

/// For each module, the modules whose items it names.
pub(crate) type Uses = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

/// Collects what all modules of a crate use of each other.
pub(crate) fn uses(modules: &Modules) -> Uses {
    let mut uses = Uses::new();
    for (path, module) in &modules.all {
        let mut paths = Paths::default();
        module.items.iter().for_each(|item| paths.visit_item(item));
        paths.lead_bare_names(path, modules);
        let targets = paths
            .found
            .iter()
            .filter_map(|written| absolute(path, written, modules))
            .filter_map(|target| modules.definer(&target))
            .filter(|target| target != path);
        uses.insert(path.clone(), targets.collect());
    }
    uses
}

/// The paths that are written in items.
#[derive(Default)]
struct Paths {
    found: BTreeSet<Vec<String>>,
    /// Names without a path before them: what they name, an import says.
    bare: BTreeSet<String>,
    /// Names that are handed on (`pub use`), with their paths.
    handed_on: Vec<(String, Vec<String>)>,
    /// Modules from which everything is imported.
    globs: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !tree::is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !tree::is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for (name, path) in flatten(&item.tree) {
            match name {
                // Handing a name on is no use of it, unless the module names it too: another
                // module that takes the name is led to where it comes from.
                Some(name) if !matches!(item.vis, Visibility::Inherited) => {
                    self.handed_on.push((name, path));
                }
                Some(_) => drop(self.found.insert(path)),
                None => self.globs.push(path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    // `pub(in crate::…)` names no item.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    // `#[doc = include_str!(…)]` and the like name no item.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

impl Paths {
    /// Finds paths in the tokens of a macro, where there is no syntax yet: names with `::` between.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        self.add(std::mem::take(path));
    }

    fn add(&mut self, path: Vec<String>) {
        if let Some(first) = path.first() {
            self.bare.insert(first.clone());
        }
        if path.len() > 1 {
            self.found.insert(path);
        }
    }

    /// Leads names without a path to where the module has them from: what it hands on itself, and
    /// what it imports with everything else of a module.
    fn lead_bare_names(&mut self, module: &ModulePath, modules: &Modules) {
        let handed_on = std::mem::take(&mut self.handed_on);
        let named = handed_on.into_iter().filter(|(name, _)| self.bare.contains(name));
        self.found.extend(named.map(|(_, path)| path));
        for glob in std::mem::take(&mut self.globs) {
            let Some(target) = absolute(module, &glob, modules) else { continue };
            for name in self.bare.iter().filter(|name| modules.provides(&target, name, 0)) {
                let mut path = vec!["crate".to_owned()];
                path.extend(target.iter().cloned().chain([name.clone()]));
                self.found.insert(path);
            }
        }
    }
}
