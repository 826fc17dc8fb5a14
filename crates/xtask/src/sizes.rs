//! The table of sizes: how long files, functions and lines are, and what else tells order from
//! disorder. It reads any Rust sources, so that other projects can stand beside this one.

use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, TraitItemFn};

use crate::{columns, layout, tree};

/// A function of more lines is counted as long, comments and empty lines included.
const FUNCTION_LINES_LONG: usize = 60;

/// What is measured of one folder.
#[derive(Debug, Default)]
struct Sizes {
    /// The lines of each file.
    files: Vec<usize>,
    /// The lines of each function, its signature included.
    functions: Vec<usize>,
    long_lines: usize,
    /// Circles between modules, and the modules in them.
    circles: usize,
    in_circles: usize,
    /// `unwrap` and `expect` outside of tests.
    unwraps: usize,
    /// Files that the parser does not take.
    unread: usize,
}

/// A row for each folder.
///
/// # Errors
/// Where a folder can't be read.
pub(crate) fn table(folders: &[PathBuf]) -> anyhow::Result<String> {
    let columns = [
        "",
        "files",
        "lines a file: median / p90 / most",
        "files over 400",
        "functions",
        "lines a function: median / p90 / most",
        "functions over 60",
        "lines over 100 columns",
        "circles (modules in them)",
        "unwraps outside of tests",
    ];
    let mut table =
        format!("| {} |\n|{}\n", columns.join(" | ").trim_start(), "---|".repeat(columns.len()));
    for folder in folders {
        let sizes = measure(folder)?;
        table += &sizes.row(&folder.display().to_string());
    }
    Ok(table)
}

fn measure(folder: &Path) -> anyhow::Result<Sizes> {
    let mut sizes = Sizes::default();
    for file in tree::rust_files(folder)? {
        let text = tree::read(&file)?;
        sizes.files.push(text.lines().count());
        sizes.long_lines +=
            text.lines().filter(|line| line.chars().count() > columns::COLUMNS_MAX).count();
        match syn::parse_file(&text) {
            Ok(syntax) => {
                let mut counter = Counter { sizes: &mut sizes, is_test: is_test_file(&file) };
                counter.visit_file(&syntax);
            }
            Err(_) => sizes.unread += 1,
        }
    }
    for package in tree::packages(folder)? {
        // Sources that only a build script makes can't be read here.
        let circles = layout::circles_of(&package).unwrap_or_default();
        sizes.circles += circles.len();
        sizes.in_circles += circles.iter().map(|circle| circle.rooms.len()).sum::<usize>();
    }
    Ok(sizes)
}

fn is_test_file(file: &Path) -> bool {
    file.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("tests" | "benches" | "examples" | "tests.rs" | "testkit")
        )
    })
}

impl Sizes {
    fn row(&self, name: &str) -> String {
        let over = |sizes: &[usize], most| sizes.iter().filter(|size| **size > most).count();
        let unread =
            if self.unread > 0 { format!(", {} unread", self.unread) } else { String::new() };
        format!(
            "| {name} | {}{unread} | {} | {} | {} | {} | {} | {} | {} ({}) | {} |\n",
            self.files.len(),
            quantiles(&self.files),
            over(&self.files, layout::FILE_LINES_MAX),
            self.functions.len(),
            quantiles(&self.functions),
            over(&self.functions, FUNCTION_LINES_LONG),
            self.long_lines,
            self.circles,
            self.in_circles,
            self.unwraps,
        )
    }
}

/// Median, 90th percentile and most.
fn quantiles(sizes: &[usize]) -> String {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    };
    format!("{} / {} / {}", at(50), at(90), at(100))
}

/// Walks through a file and counts.
struct Counter<'a> {
    sizes: &'a mut Sizes,
    is_test: bool,
}

impl Counter<'_> {
    fn function(
        &mut self,
        attributes: &[Attribute],
        from: proc_macro2::Span,
        body: &Block,
    ) -> bool {
        let lines = body.span().end().line + 1 - from.start().line;
        self.sizes.functions.push(lines);
        let was_test = self.is_test;
        self.is_test |= tree::is_for_tests(attributes);
        was_test
    }
}

impl<'ast> Visit<'ast> for Counter<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let was_test = self.is_test;
        self.is_test |= tree::is_for_tests(&module.attrs);
        visit::visit_item_mod(self, module);
        self.is_test = was_test;
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let was_test = self.function(&function.attrs, function.sig.span(), &function.block);
        visit::visit_item_fn(self, function);
        self.is_test = was_test;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        let was_test = self.function(&function.attrs, function.sig.span(), &function.block);
        visit::visit_impl_item_fn(self, function);
        self.is_test = was_test;
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            let was_test = self.function(&function.attrs, function.sig.span(), body);
            visit::visit_trait_item_fn(self, function);
            self.is_test = was_test;
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let panics = call.method == "unwrap" || call.method == "expect";
        if panics && !self.is_test {
            self.sizes.unwraps += 1;
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_from_the_sources() {
        let folder = tempfile::tempdir().unwrap();
        let source = "fn one() {\n    two().unwrap();\n}\n\n#[cfg(test)]\nmod tests {\n    fn \
                      t() { x.unwrap() }\n}\n";
        std::fs::write(folder.path().join("a.rs"), source).unwrap();
        std::fs::write(folder.path().join("b.rs"), format!("// {}\n", "é".repeat(97))).unwrap();
        std::fs::write(folder.path().join("c.rs"), format!("// {}\n", "é".repeat(98))).unwrap();
        let sizes = measure(folder.path()).unwrap();
        assert_eq!(sizes.files, [8, 1, 1]);
        assert_eq!(sizes.functions, [3, 1]);
        assert_eq!((sizes.long_lines, sizes.unwraps), (1, 1));
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        assert_eq!(quantiles(&[5, 1, 4, 2, 3, 6, 7, 8, 9, 10]), "5 / 9 / 10");
        assert_eq!(quantiles(&[]), "0 / 0 / 0");
    }
}
