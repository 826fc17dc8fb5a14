//! The modules of a crate as the compiler sees them: `mod` declarations followed from the crate's
//! first file, `#[path]` and modules within a file included, tests left out.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, UseTree};

use crate::tree;

/// A module's place in the crate: the names from the crate's root on; none for the root itself.
pub(crate) type ModulePath = Vec<String>;

/// A module.
pub(crate) struct Module {
    /// Everything in the module but its child modules and what is for tests alone.
    pub(crate) items: Vec<Item>,
    /// Names that the module has from elsewhere (`use`), with the path that is written there. Those
    /// without `pub` are seen by the modules below, so they count too.
    pub(crate) imports: HashMap<String, Vec<String>>,
    /// Paths from which the module has everything (`use path::*`).
    pub(crate) globs: Vec<Vec<String>>,
}

/// Imports of imports that are followed. Imports in a circle don't compile; the bound only keeps a
/// broken tree from hanging.
const IMPORTS_MAX: usize = 16;

/// Where the files of a module's children are.
struct Folders<'a> {
    /// For a child without an attribute.
    children: &'a Path,
    /// For a child with `#[path]`.
    named: &'a Path,
}

/// All modules of one crate.
#[derive(Default)]
pub(crate) struct Modules {
    pub(crate) all: BTreeMap<ModulePath, Module>,
}

impl Modules {
    /// Reads a crate from its first file.
    ///
    /// # Errors
    /// Where a file can't be read or parsed, or a declared module has no file.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut modules = Self::default();
        let folder = root.parent().unwrap_or(root).to_owned();
        modules.add(
            Vec::new(),
            &Folders { children: &folder, named: &folder },
            tree::parse(root)?.items,
        )?;
        Ok(modules)
    }

    /// Adds a module and its children.
    fn add(
        &mut self,
        path: ModulePath,
        folders: &Folders<'_>,
        items: Vec<Item>,
    ) -> anyhow::Result<()> {
        let mut module = Module { items: Vec::new(), imports: HashMap::new(), globs: Vec::new() };
        for item in items {
            if tree::is_for_tests(attributes(&item)) {
                continue;
            }
            let Item::Mod(child) = item else {
                note_imports(&mut module, &item);
                module.items.push(item);
                continue;
            };
            let name = child.ident.to_string();
            let mut child_path = path.clone();
            child_path.push(name.clone());
            match child.content {
                Some((_, items)) => {
                    let folder = folders.children.join(&name);
                    let folders = Folders { children: &folder, named: &folder };
                    self.add(child_path, &folders, items)?;
                }
                None => self.add_file(child_path, &child.attrs, folders, &name)?,
            }
        }
        self.all.insert(path, module);
        Ok(())
    }

    /// Adds a module that has a file of its own.
    fn add_file(
        &mut self,
        path: ModulePath,
        attributes: &[Attribute],
        folders: &Folders<'_>,
        name: &str,
    ) -> anyhow::Result<()> {
        let named = attributes.iter().find_map(path_attribute);
        let folder = folders.children;
        let candidates = match &named {
            Some(named) => vec![folders.named.join(named)],
            None => vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")],
        };
        let file = candidates.iter().find(|candidate| candidate.is_file());
        let Some(file) = file else {
            anyhow::bail!("module {} has no file in {}", path.join("::"), folder.display());
        };
        let beside = file.parent().unwrap_or(file);
        // The compiler takes a file that is named by an attribute for a `mod.rs`.
        let children = if named.is_some() { beside.to_owned() } else { folder.join(name) };
        let folders = Folders { children: &children, named: beside };
        self.add(path, &folders, tree::parse(file)?.items)
    }

    /// The module in which the item at an absolute path is defined; re-exports are followed.
    pub(crate) fn definer(&self, path: &[String]) -> Option<ModulePath> {
        self.look_up(path, 0)
    }

    fn look_up(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        if depth > IMPORTS_MAX {
            return None;
        }
        let known = (0..=path.len()).rev().find(|length| {
            path.get(..*length).is_some_and(|module| self.all.contains_key(module))
        })?;
        let (module_path, rest) = path.split_at_checked(known)?;
        let Some(name) = rest.first() else { return Some(module_path.to_vec()) };
        let module = self.all.get(module_path)?;
        if let Some(target) = module.imports.get(name).filter(|_| !defines(module, name)) {
            let mut target = absolute(module_path, target, self)?;
            target.extend(rest.get(1..).unwrap_or_default().iter().cloned());
            return self.look_up(&target, depth + 1);
        }
        if !defines(module, name) {
            for glob in &module.globs {
                let Some(mut target) = absolute(module_path, glob, self) else { continue };
                if self.provides(&target, name, depth) {
                    target.push(name.clone());
                    return self.look_up(&target, depth + 1);
                }
            }
        }
        Some(module_path.to_vec())
    }

    /// Whether a module has this name: its own, or one from elsewhere.
    pub(crate) fn provides(&self, path: &[String], name: &str, depth: usize) -> bool {
        let Some(module) = self.all.get(path).filter(|_| depth <= IMPORTS_MAX) else {
            return false;
        };
        let from_globs = || {
            let targets = module.globs.iter().filter_map(|glob| absolute(path, glob, self));
            targets.into_iter().any(|target| self.provides(&target, name, depth + 1))
        };
        defines(module, name) || module.imports.contains_key(name) || from_globs()
    }
}

/// A path as written in a module, from the crate's root on; `None` where it leads out of the crate.
pub(crate) fn absolute(
    module: &[String],
    written: &[String],
    modules: &Modules,
) -> Option<ModulePath> {
    let mut at = module.to_vec();
    let mut rest = written;
    match written.first()?.as_str() {
        "crate" | "$crate" => {
            at.clear();
            rest = written.get(1..)?;
        }
        "self" => rest = written.get(1..)?,
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                at.pop()?;
                rest = rest.get(1..)?;
            }
        }
        first => {
            // A name without a keyword before it is a child module, or a crate.
            at.push(first.to_owned());
            if !modules.all.contains_key(&at) {
                return None;
            }
            at.pop();
        }
    }
    at.extend(rest.iter().cloned());
    Some(at)
}

/// The paths that a `use` brings in, with the names that they have here; a glob has none.
pub(crate) fn flatten(tree: &UseTree) -> Vec<(Option<String>, Vec<String>)> {
    match tree {
        UseTree::Path(path) => flatten(&path.tree)
            .into_iter()
            .map(|(name, mut rest)| {
                rest.insert(0, path.ident.to_string());
                (name, rest)
            })
            .collect(),
        UseTree::Name(name) => vec![(Some(name.ident.to_string()), vec![name.ident.to_string()])],
        UseTree::Rename(name) => {
            vec![(Some(name.rename.to_string()), vec![name.ident.to_string()])]
        }
        UseTree::Glob(_) => vec![(None, Vec::new())],
        UseTree::Group(group) => group.items.iter().flat_map(flatten).collect(),
    }
}

fn note_imports(module: &mut Module, item: &Item) {
    let Item::Use(item) = item else { return };
    for (name, path) in flatten(&item.tree) {
        match name {
            Some(name) => drop(module.imports.insert(name, path)),
            None => module.globs.push(path),
        }
    }
}

fn defines(module: &Module, name: &str) -> bool {
    module.items.iter().any(|item| {
        let ident = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Macro(item) => return item.ident.as_ref().is_some_and(|ident| ident == name),
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            _ => return false,
        };
        ident == name
    })
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    if !pair.path.is_ident("path") {
        return None;
    }
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
