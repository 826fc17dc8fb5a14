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
        // Handing a name on is no use of it: whoever takes the name is led to where it comes from.
        if matches!(item.vis, Visibility::Inherited) {
            self.found.extend(flatten(&item.tree).into_iter().map(|(_, path)| path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string());
            self.found.insert(segments.collect());
        }
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
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.found.insert(path);
        }
    }
}
