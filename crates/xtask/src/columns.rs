//! No line of code, comment or document is longer than a screen is wide. Exempt are tables, URLs,
//! code in documents, and what is generated or recorded.

use std::path::Path;

use crate::tree;

/// The most columns of a line.
pub(crate) const COLUMNS_MAX: usize = 100;

/// What is generated, recorded or somebody else's.
const EXEMPT_FOLDERS: [&str; 4] = [
    "benchmark/assets/vendor",
    "benchmark/results",
    "crates/job-types/corpus",
    "crates/testkit/transcripts",
];

/// The lines that are too long, for people.
///
/// # Errors
/// Where a file can't be read.
pub(crate) fn faults(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in tree::files(folder, &is_checked)? {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        let is_readme = name.ends_with("README.md");
        if !is_readme && EXEMPT_FOLDERS.iter().any(|exempt| name.starts_with(exempt)) {
            continue;
        }
        let text = tree::read(&file)?;
        for (number, columns) in too_long(&text, is_prose(name)) {
            faults.push(format!("{}:{number} has {columns} columns", name.display()));
        }
    }
    Ok(faults)
}

fn is_checked(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_profile = file
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(".env.") || name == "Dockerfile");
    is_profile || matches!(extension, "rs" | "md" | "js" | "css" | "html" | "py" | "sh" | "service")
}

fn is_prose(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// The numbers of the lines that are too long, and their columns.
fn too_long(text: &str, is_prose: bool) -> Vec<(usize, usize)> {
    let mut in_code = false;
    let mut in_generated = false;
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let trimmed = line.trim_start();
        if is_prose && trimmed.starts_with("```") {
            in_code = !in_code;
        }
        // Between these marks stands what a command has made.
        match trimmed {
            mark if is_prose && mark.starts_with("<!-- ") && mark.contains(": begin") => {
                in_generated = true;
            }
            mark if is_prose && mark.starts_with("<!-- ") && mark.contains(": end") => {
                in_generated = false;
            }
            _ => {}
        }
        let is_table = is_prose && trimmed.starts_with('|');
        let is_comment_table = ["/// |", "//! |"].iter().any(|sign| trimmed.starts_with(sign));
        let is_exempt = in_code || in_generated || is_table || is_comment_table;
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_exempt && !line.contains("://") {
            found.push((number, columns));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_found_and_what_is_exempt_is_not() {
        let long = "x".repeat(101);
        let text = format!("{long}\n| {long} |\n```sh\n{long}\n```\nhttp://{long}\n{long}\n");
        assert_eq!(too_long(&text, true), [(1, 101), (7, 101)]);
        let in_code: Vec<usize> = too_long(&text, false).iter().map(|(line, _)| *line).collect();
        assert_eq!(in_code, [1, 2, 4, 7]);
        assert!(too_long(&"é".repeat(100), true).is_empty());
        let generated = format!("<!-- benchmark: begin -->\n{long}\n<!-- benchmark: end -->\n");
        assert!(too_long(&generated, true).is_empty());
    }
}
