//! The documents against the repository: what they name is there, and what they list is complete.
//! Their commands are run in `readme.rs`, and in `benchmark/tests/it`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The folders and files of this repository by which a path in a document is known.
const ROOTS: [&str; 8] =
    ["crates/", "benchmark/", "deploy/", "docs/", "examples/own-jobs/", ".env.", ".ci/", ".cargo/"];

/// A Markdown document of this repository.
struct Document {
    name: String,
    text: String,
}

impl Document {
    fn all() -> Vec<Self> {
        let names = tracked("*.md");
        let documents: Vec<Self> = names
            .into_iter()
            .filter(|name| !name.contains("/vendor/"))
            .map(|name| Self { text: read(&name), name })
            .collect();
        assert!(documents.len() > 10);
        documents
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), text: read(name) }
    }

    /// The text without its blocks of code.
    fn prose(&self) -> String {
        let mut in_code = false;
        let lines = self.text.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            !in_code && !is_fence
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// What stands between backticks.
    fn quoted(&self) -> Vec<String> {
        let prose = self.prose();
        let parts: Vec<&str> = prose.split('`').collect();
        assert!(parts.len() % 2 == 1, "{}: a backtick without its partner", self.name);
        parts.into_iter().skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The targets of links to other documents, with their anchors.
    fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }

    /// The anchors of the headings, as the usual viewers make them.
    fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The committed files of this pattern.
fn tracked(pattern: &str) -> Vec<String> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", pattern])
        .current_dir(root())
        .output()
        .unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn paths_that_documents_mention_exist() {
    let mut missing = Vec::new();
    for document in Document::all() {
        for quoted in document.quoted() {
            let is_path = ROOTS.iter().any(|start| quoted.starts_with(start));
            // The example of a file that its reader makes.
            let is_example = quoted.ends_with("/power.rs");
            if is_path && !is_example && !quoted.contains(['*', '{', ' ', '<', '\n']) {
                let path = quoted.split("::").next().unwrap();
                if !root().join(path).exists() {
                    missing.push(format!("{}: {path}", document.name));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A document outside of this repository is not there for its reader.
#[test]
fn documents_that_documents_mention_exist() {
    let mut missing = Vec::new();
    for document in Document::all() {
        let folder = root().join(&document.name).parent().unwrap().to_owned();
        for quoted in document.quoted() {
            let is_name = quoted.ends_with(".md") && !quoted.contains(['*', '{', ' ', '<', '\n']);
            if is_name && !root().join(&quoted).exists() && !folder.join(&quoted).exists() {
                missing.push(format!("{}: {quoted}", document.name));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn links_between_documents_lead_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    for document in Document::all() {
        let folder = Path::new(&document.name).parent().unwrap().to_owned();
        for link in document.links() {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.name.clone()
            } else {
                folder.join(path).to_str().unwrap().to_owned()
            };
            // rustdoc's own links name items, and are checked by rustdoc.
            let is_item = path.contains("::") || (!path.contains('.') && !path.contains('/'));
            if !path.is_empty() && is_item {
                continue;
            }
            let is_there = root().join(&target).exists();
            if !is_there
                || !(anchor.is_empty() || Document::named(&target).anchors().contains(anchor))
            {
                dead.push(format!("{}: {link}", document.name));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Each table of a walk has a folder in its head, and files of that folder in its rows.
#[test]
fn walks_lead_through_files_that_exist_and_through_none_twice() {
    let architecture = read("ARCHITECTURE.md");
    let walks: Vec<&str> = architecture.split("\n## A walk: ").skip(1).collect();
    assert_eq!(walks.len(), 3);
    for walk in walks {
        let walk = walk.split("\n## ").next().unwrap();
        let mut seen = BTreeSet::new();
        let mut folder = String::new();
        for cell in walk.lines().filter_map(|line| line.strip_prefix("| ")) {
            let cell = cell.split(" | ").next().unwrap();
            for name in cell.split('`').skip(1).step_by(2) {
                if name.starts_with("crates/") {
                    folder = name.to_owned();
                } else {
                    let file = format!("{folder}/{name}");
                    assert!(root().join(&file).exists(), "{file}");
                    assert!(seen.insert(file.clone()), "{file} stands twice in one walk");
                }
            }
        }
        assert!(seen.len() > 5, "{seen:?}");
    }
}

/// The codes of problems, as the sources have them: of requests, and of the faults of jobs.
fn problem_codes() -> BTreeSet<String> {
    let of_requests = read("crates/api-service/src/problem/code.rs");
    let of_jobs = read("crates/job-types/src/field_error.rs");
    let (_, of_jobs) = of_jobs.split_once("fn as_str").unwrap();
    let of_jobs = of_jobs.split("\n    }\n").next().unwrap();
    // Titles have capitals and spaces, codes have neither.
    let is_code = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let literals = |text: &str| -> Vec<String> {
        text.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned).collect()
    };
    [literals(&of_requests), literals(of_jobs)].into_iter().flatten().collect()
}

#[test]
fn the_table_of_problem_codes_has_every_code_and_no_others() {
    let jobs = read("docs/jobs.md");
    let (_, table) = jobs.split_once("\n### Problem codes\n").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    let listed: BTreeSet<String> = cells
        .skip(1)
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, problem_codes());
}

#[test]
fn the_table_of_job_options_has_every_option_and_no_others() {
    let jobs = read("docs/jobs.md");
    let (_, table) = jobs.split_once("\n### Options\n").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let source = read("crates/job-types/src/options.rs");
    let (_, names) = source.split_once("const OPTIONS: ").unwrap();
    let names = names.split("];").next().unwrap();
    let known: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(listed, known);
}

/// A name of four words or more is a test's, another function's, or a word of the API.
#[test]
fn tests_that_documents_name_exist() {
    let mut missing = Vec::new();
    let sources: Vec<String> = tracked("*.rs").iter().map(|name| read(name)).collect();
    for document in Document::all() {
        for quoted in document.quoted() {
            let is_name = quoted.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if !is_name || quoted.matches('_').count() < 3 {
                continue;
            }
            let forms = [format!("fn {quoted}("), format!("fn {quoted}<"), format!("\"{quoted}\"")];
            if !sources.iter().any(|source| forms.iter().any(|form| source.contains(form))) {
                missing.push(format!("{}: {quoted}", document.name));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every block of code in the documents: run by a test, or marked as one that needs what CI's
/// machine lacks, or no code.
#[test]
fn every_block_of_code_is_run_or_marked() {
    for document in Document::all() {
        // Which file runs which block: `readme.rs` and `own_jobs.rs` beside this file,
        // `benchmark/tests/it/readme.rs` and `benchmark/tests/it/guide.rs`; a library's README is
        // part of its documentation, and its examples are doctests.
        let name = document.name.as_str();
        let runs: &[&str] = match name {
            "README.md" | "docs/jobs.md" | "examples/own-jobs/README.md" => &["sh", "rust"],
            "benchmark/README.md" | "docs/deployment.md" | "docs/security.md" => &["sh"],
            _ if is_library_readme(name) => &["", "no_run"],
            _ => &[],
        };
        let marks = document.text.lines().filter_map(|line| line.trim().strip_prefix("```"));
        for mark in marks.step_by(2) {
            assert!(
                runs.contains(&mark) || ["console", "text", "json"].contains(&mark),
                "{name}: nobody runs a block of {mark:?}"
            );
        }
    }
}

/// True for the README of a crate, which must then be part of the crate's documentation.
fn is_library_readme(name: &str) -> bool {
    if !name.starts_with("crates/")
        || name.matches('/').count() != 2
        || !name.ends_with("README.md")
    {
        return false;
    }
    let source = read(&name.replace("README.md", "src/lib.rs"));
    assert!(source.starts_with("#![doc = include_str!(\"../README.md\")]"), "{name}");
    true
}

#[test]
fn the_guide_to_tuning_has_every_variable_and_no_others() {
    let guide = read("docs/tuning.md");
    let rows = guide.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<&str> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    let known: BTreeSet<&str> =
        service_runtime::variables().map(|variable| variable.name).collect();
    assert_eq!(named, known);
}
