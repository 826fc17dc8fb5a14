//! Jobs as the tests push them.

/// A job as JSON, whose id is made of its number.
pub(crate) fn job(number: usize, job_type: &str, args: &str, retry: i64) -> String {
    let name = format!(r#""jid":"job-{number:08}","jobtype":"{job_type}""#);
    format!(r#"{{{name},"args":{args},"retry":{retry},"reserve_for":60}}"#)
}

/// The PUSHB of jobs.
pub(crate) fn pushb(jobs: &[String]) -> String {
    format!("PUSHB [{}]", jobs.join(","))
}
