//! Tests of the rules: which fault each bad job has, and where.

use super::*;
use crate::jobs;

const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_000_000); // 2026-01-02T03:04:05Z

fn validate(json: &str) -> Result<NewJob, Vec<FieldError>> {
    let element: Element<'_> = serde_json::from_str(json).unwrap();
    validate_job(&jobs::registry(), &element, Form::Members, NOW)
}

fn faults(json: &str) -> Vec<(String, &'static str)> {
    validate(json)
        .unwrap_err()
        .into_iter()
        .map(|fault| (fault.pointer, fault.code.as_str()))
        .collect()
}

fn fault(json: &str) -> (String, &'static str) {
    let mut all = faults(json);
    assert_eq!(all.len(), 1, "{json}: {all:?}");
    all.remove(0)
}

#[test]
fn every_fault_of_a_job_is_found() {
    let mut found =
        faults(r#"{"operation":"add","a":"x","c":1,"queue":"","retry":101,"delay_ms":-1}"#);
    found.sort();
    let expected = [
        ("/a", "invalid_value"),
        ("/b", "missing_field"),
        ("/c", "unknown_field"),
        ("/delay_ms", "invalid_value"),
        ("/queue", "invalid_queue"),
        ("/retry", "invalid_value"),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn each_fault_is_reported_once() {
    for (json, pointer, code) in [
        ("[]", "", "not_an_object"),
        (r#"{"a":1}"#, "", "ambiguous_job"),
        (r#"{"operation":"add","jobtype":"x","args":[],"a":1,"b":2}"#, "", "ambiguous_job"),
        (r#"{"operation":null,"a":1,"b":2}"#, "/operation", "null_field"),
        (r#"{"operation":"add","a":1,"a":2,"b":2}"#, "/a", "duplicate_field"),
        (r#"{"operation":"add","a":null,"b":2}"#, "/a", "null_field"),
        (r#"{"operation":"add","a":1,"b":2,"args":[]}"#, "/args", "unknown_field"),
        (r#"{"operation":"pow","a":1}"#, "/operation", "unknown_operation"),
        (r#"{"operation":"add","a":9007199254740993,"b":2}"#, "/a", "number_not_exact"),
        (r#"{"operation":"add","a":1e999,"b":2}"#, "/a", "number_not_exact"),
        (r#"{"operation":"divide","a":1,"b":0}"#, "/b", "invalid_value"),
        (r#"{"operation":"divide","a":1,"b":-0.0}"#, "/b", "invalid_value"),
        (r#"{"jobtype":"x"}"#, "/args", "missing_field"),
        (r#"{"jobtype":"x","args":null}"#, "/args", "null_field"),
        (r#"{"jobtype":"x","args":{}}"#, "/args", "invalid_value"),
        (r#"{"jobtype":"","args":[]}"#, "/jobtype", "invalid_value"),
        (r#"{"jobtype":"a\nb","args":[]}"#, "/jobtype", "invalid_value"),
        (r#"{"jobtype":"\ud800","args":[]}"#, "/jobtype", "lone_surrogate"),
        (
            r#"{"jobtype":"x","args":[],"at":"2030-01-01T00:00:00Z","delay_ms":5}"#,
            "/delay_ms",
            "invalid_at",
        ),
        (r#"{"jobtype":"x","args":[],"at":"2030-01-01 00:00"}"#, "/at", "invalid_at"),
        (r#"{"jobtype":"x","args":[],"delay_ms":18446744073709551615}"#, "/delay_ms", "invalid_at"),
        (r#"{"jobtype":"x","args":[],"custom":{"wf":{}}}"#, "/custom/wf", "reserved_field"),
        (r#"{"jobtype":"x","args":[],"custom":[]}"#, "/custom", "invalid_value"),
        (r#"{"jobtype":"x","args":[],"job_id":"short"}"#, "/job_id", "invalid_job_id"),
        (r#"{"jobtype":"x","args":[],"dedup_for":0}"#, "/dedup_for", "invalid_value"),
        (r#"{"jobtype":"x","args":[],"dedup_for":4294967296}"#, "/dedup_for", "invalid_value"),
        (r#"{"jobtype":"x","args":[],"dedup_for":1.5}"#, "/dedup_for", "invalid_value"),
        (r#"{"jobtype":"x","args":[],"dedup_for":"60"}"#, "/dedup_for", "invalid_value"),
        (r#"{"jobtype":"x","args":[],"a/b~c":1}"#, "/a~1b~0c", "unknown_field"),
    ] {
        assert_eq!(fault(json), (pointer.to_owned(), code), "{json}");
    }
}

#[test]
fn a_job_tells_whether_its_id_is_its_clients_and_for_how_long_it_is_remembered() {
    for (more, own, dedup_for) in [
        ("", false, None),
        (r#","dedup_for":1"#, false, Some(1)),
        (r#","job_id":"0123456789abcdef","dedup_for":86400"#, true, Some(86_400)),
    ] {
        let job = validate(&format!(r#"{{"jobtype":"x","args":[]{more}}}"#)).unwrap();
        assert_eq!((job.has_own_id, job.dedup_for), (own, dedup_for), "{more}");
    }
    let of_bits = JobId::of_bits([0xFF; 16]);
    assert_eq!(of_bits.as_str(), "ffffffffffff8fffbfffffffffffffff");
}

#[test]
fn a_job_whose_time_has_passed_is_due_at_once() {
    for at_once in [r#""at":"2020-01-01T00:00:00Z""#, r#""delay_ms":0"#] {
        assert_eq!(
            validate(&format!(r#"{{"jobtype":"x","args":[],{at_once}}}"#)).unwrap().at,
            None
        );
    }
    let later = validate(r#"{"jobtype":"x","args":[],"delay_ms":1500}"#).unwrap();
    assert_eq!(later.at.unwrap().to_string(), "2026-01-02T03:04:06.500000Z");
}

#[test]
fn a_check_without_a_fault_to_tell_refuses_the_job_all_the_same() {
    crate::define_job! {
        struct Never = "never" { a: bool }
    }
    impl crate::RunJob for Never {
        type Output = ();

        fn check(&self) -> Result<(), Vec<FieldError>> {
            Err(Vec::new())
        }

        async fn run(self, _: crate::JobContext) -> Result<(), crate::RunError> {
            Ok(())
        }
    }
    let registry = Registry::new().with::<Never>();
    let element: Element<'_> = serde_json::from_str(r#"{"operation":"never","a":true}"#).unwrap();
    let faults = validate_job(&registry, &element, Form::Members, NOW).unwrap_err();
    assert_eq!((faults.len(), faults[0].code), (1, Code::InvalidValue));
}

#[test]
fn a_batch_with_the_same_id_twice_is_refused() {
    let job = r#"{"operation":"add","a":1,"b":2,"job_id":"0123456789abcdef"}"#;
    let elements: Vec<Element<'_>> =
        vec![serde_json::from_str(job).unwrap(), serde_json::from_str(job).unwrap()];
    let faults = validate_batch(&jobs::registry(), &elements, "/jobs", NOW).unwrap_err();
    assert_eq!(
        (faults[0].pointer.as_str(), faults[0].code),
        ("/jobs/1/job_id", Code::DuplicateJobId)
    );
}
