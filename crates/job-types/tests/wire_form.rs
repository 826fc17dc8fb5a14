//! The wire form of jobs, fixed by the files in `golden/`: each has a posted job, and below it the
//! job that is sent to the work server.

#![expect(clippy::unwrap_used, reason = "tests")]

use faktory_wire::{Job, Timestamp};
use job_types::{Element, Form, jobs, validate_job};

const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_000_000); // 2026-01-02T03:04:05Z

fn golden_files() -> Vec<(String, String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (posted, wire) = text.split_once("\n---\n").unwrap();
        (
            path.file_stem().unwrap().to_string_lossy().into_owned(),
            posted.to_owned(),
            wire.trim_end().to_owned(),
        )
    };
    files.into_iter().map(read).collect()
}

#[test]
fn posted_jobs_have_the_golden_wire_form() {
    for (name, posted, wire) in golden_files() {
        let element: Element<'_> = serde_json::from_str(&posted).unwrap();
        let job = validate_job(&jobs::registry(), &element, Form::Members, NOW)
            .unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        let mut encoded = Vec::new();
        job.into_wire().encode(&mut encoded);
        assert_eq!(String::from_utf8(encoded).unwrap(), wire, "{name}");
    }
}

#[test]
fn every_golden_wire_form_is_valid_for_the_work_server() {
    for (name, _, wire) in golden_files() {
        let job = Job::parse(wire.as_bytes()).unwrap();
        job.check().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_operation_has_a_golden_file() {
    let names: Vec<String> = golden_files().into_iter().map(|(name, ..)| name).collect();
    for definition in jobs::registry().definitions() {
        assert!(
            names.iter().any(|name| name == definition.operation()),
            "{}",
            definition.operation()
        );
    }
}
