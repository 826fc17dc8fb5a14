//! What a job takes of the worker's memory while it runs.

use faktory_wire::Job;

/// Bytes that a job takes while it runs: its JSON, the job that is read from that, and the args
/// that are unpacked. What its handler makes of them is not known here.
pub(crate) fn of(body: &[u8]) -> usize {
    2 * body.len() + unpacked(body)
}

/// The size that the job's args will have when they are unpacked; 0 where they are not compressed.
/// Only a job that may be compressed is read for that: one whose JSON has the name of the encoding,
/// which is unpacked only where it is written without escapes.
fn unpacked(body: &[u8]) -> usize {
    if memchr::memmem::find(body, job_types::ENCODING.as_bytes()).is_none() {
        return 0;
    }
    Job::parse(body).map_or(0, |job| job_types::unpacked_bytes(&job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_costs_its_json_twice_and_what_its_args_unpack_to() {
        let job = |custom: &str| {
            format!(r#"{{"jid":"job-00000001","jobtype":"t","args":["x"],"custom":{custom}}}"#)
        };
        for (custom, unpacked) in [
            ("{}", 0),
            (r#"{"text":"zstd-base64"}"#, 0),
            (r#"{"wf":{"v":1,"encoding":"zstd-base64","bytes":1000000}}"#, 1_000_000),
            (r#"{"\u0077f":{"v":1,"encoding":"zstd-base64","bytes":77}}"#, 77),
            (r#"{"wf":{"v":1,"encoding":"zstd\u002dbase64","bytes":77}}"#, 0),
            (r#"{"wf":{"v":1,"encoding":"zstd-base64","bytes":99999999999}}"#, 0),
            (r#"{"wf":{"v":2,"encoding":"zstd-base64","bytes":1000}}"#, 0),
        ] {
            let body = job(custom);
            assert_eq!(of(body.as_bytes()), 2 * body.len() + unpacked, "{custom}");
        }
        assert_eq!(of(b"no job, zstd-base64"), 2 * 19);
    }
}
