//! The Rust sources below a folder: which packages there are, and which files are theirs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syn::punctuated::Punctuated;
use syn::{Meta, Token};

/// A package: a folder with a manifest, and the files with which its crates begin.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) folder: PathBuf,
    /// `src/lib.rs`, `src/main.rs` and the files in `src/bin`, as far as they exist.
    pub(crate) roots: Vec<PathBuf>,
}

impl Package {
    /// The name of the package's folder, for people.
    pub(crate) fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// All packages below a folder, the folder itself included.
pub(crate) fn packages(folder: &Path) -> anyhow::Result<Vec<Package>> {
    let mut packages = Vec::new();
    for manifest in files(folder, &|path| path.ends_with("Cargo.toml"))? {
        let folder = manifest.parent().unwrap_or(folder).to_owned();
        let mut roots: Vec<PathBuf> =
            ["src/lib.rs", "src/main.rs"].iter().map(|root| folder.join(root)).collect();
        if let Ok(binaries) = fs::read_dir(folder.join("src/bin")) {
            roots.extend(binaries.filter_map(|entry| Some(entry.ok()?.path())));
        }
        roots.retain(|root| root.is_file() && is_rust(root));
        roots.sort();
        if !roots.is_empty() {
            packages.push(Package { folder, roots });
        }
    }
    Ok(packages)
}

/// All Rust files below a folder.
pub(crate) fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    files(folder, &is_rust)
}

/// All files below a folder that are wanted, in order; build output and version control left out.
pub(crate) fn files(
    folder: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_left_out = matches!(name.as_str(), "target" | ".git" | "node_modules");
            if path.is_symlink() || is_left_out {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// A Rust file as syntax.
pub(crate) fn parse(path: &Path) -> anyhow::Result<syn::File> {
    syn::parse_file(&read(path)?).with_context(|| format!("failed to parse {}", path.display()))
}

/// True where attributes keep an item for tests alone.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition))
        }
        // `#[test]`, `#[tokio::test]`, `#[tokio::test(…)]`
        meta @ (Meta::Path(_) | Meta::List(_)) => {
            meta.path().segments.last().is_some_and(|last| last.ident == "test")
        }
        Meta::NameValue(_) => false,
    })
}

/// True where a condition holds in tests alone: `test`, or `all(…)` with such a condition in it.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => {
            let conditions = Punctuated::<Meta, Token![,]>::parse_terminated;
            list.parse_args_with(conditions).is_ok_and(|all| all.iter().any(needs_test))
        }
        Meta::List(_) | Meta::NameValue(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn only_what_tests_alone_have_is_for_tests() {
        let is_for_tests = |attribute: syn::Attribute| is_for_tests(&[attribute]);
        assert!(is_for_tests(parse_quote!(#[cfg(test)])));
        assert!(is_for_tests(parse_quote!(#[cfg(all(unix, test))])));
        assert!(is_for_tests(parse_quote!(#[test])));
        assert!(is_for_tests(parse_quote!(#[tokio::test(flavor = "multi_thread")])));
        assert!(!is_for_tests(parse_quote!(#[cfg(not(test))])));
        assert!(!is_for_tests(parse_quote!(#[cfg(any(test, unix))])));
        assert!(!is_for_tests(parse_quote!(#[cfg(feature = "test-util")])));
        assert!(!is_for_tests(parse_quote!(#[derive(Debug)])));
    }
}
