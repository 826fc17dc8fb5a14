//! The layout of the house: arrows between crates as ARCHITECTURE.md has them, no circle between
//! the modules of a crate, no file that grows into a crate of its own.

mod arrows;
mod circles;
mod modules;
#[cfg(test)]
mod tests;
mod uses;

use std::path::Path;

use circles::Circle;
use modules::Modules;

use crate::tree::{self, Package};

/// The most lines that a file may have. One giant file would have no circles, and no order either.
pub(crate) const FILE_LINES_MAX: usize = 400;

/// Everything that is not as it should be, for people; nothing where the layout is right.
///
/// # Errors
/// Where a source can't be read or parsed.
pub(crate) fn faults(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    if folder.join("ARCHITECTURE.md").is_file() {
        faults.extend(arrows::faults(folder)?);
    }
    for package in tree::packages(folder)? {
        for circle in circles_of(&package)? {
            faults.push(described(&package, &circle));
        }
    }
    for file in tree::rust_files(folder)? {
        let lines = tree::read(&file)?.lines().count();
        if lines > FILE_LINES_MAX {
            let file = file.strip_prefix(folder).unwrap_or(&file).display();
            faults.push(format!("{file} has {lines} lines, more than {FILE_LINES_MAX}"));
        }
    }
    Ok(faults)
}

/// The circles of all crates of a package.
pub(crate) fn circles_of(package: &Package) -> anyhow::Result<Vec<Circle>> {
    let mut found = Vec::new();
    for root in &package.roots {
        found.extend(circles::circles(&uses::uses(&Modules::read(root)?)));
    }
    Ok(found)
}

fn described(package: &Package, circle: &Circle) -> String {
    let mut text = format!("{}: a circle of {}", package.name(), circle.rooms.join(", "));
    if !circle.within.is_empty() {
        text += &format!(" within {}", circle.within.join("::"));
    }
    for (from, to) in &circle.arrows {
        let from = if from.is_empty() { "the crate's first file" } else { from };
        let to = if to.is_empty() { "the crate's first file" } else { to };
        text += &format!("\n    {from} uses {to}");
    }
    text
}
