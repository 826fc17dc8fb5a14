//! A job to post, as JSON. The API alone decides what is valid; its rules are not repeated here.

use std::time::Duration;

use job_types::{JobDefinition, RawJson};
use serde::Serialize;

/// A job to post. A job with invalid members can be made; the API refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The operation, where the job is typed.
    operation: Option<&'static str>,
    /// Members as `"name":value`, each followed by a comma.
    members: String,
    /// Its id may be forgotten before the client has ended its attempts.
    is_forgotten_early: bool,
}

impl NewJob {
    /// A typed job of `job-types`.
    #[must_use]
    pub fn typed<J: JobDefinition>(job: &J) -> Self {
        let mut new = Self::empty(Some(J::OPERATION));
        let args: RawJson = job.to_args();
        let values: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(args.get()).unwrap_or_default();
        for (member, value) in J::MEMBERS.iter().zip(values) {
            new.push(member.name, value.get());
        }
        new
    }

    /// Any other job: a job type and its args, which must become a JSON array.
    ///
    /// # Errors
    /// Where `args` can't be written as JSON.
    pub fn raw(
        job_type: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Self, serde_json::Error> {
        let mut new = Self::empty(None);
        new.push("jobtype", &quoted(job_type));
        new.push("args", &serde_json::to_string(args)?);
        Ok(new)
    }

    fn empty(operation: Option<&'static str>) -> Self {
        Self { operation, members: String::with_capacity(64), is_forgotten_early: false }
    }

    /// Whether the work server may forget the job's id before the client has ended its attempts.
    pub(crate) const fn is_forgotten_early(&self) -> bool {
        self.is_forgotten_early
    }

    /// The queue; the queue `default` where this is not called.
    #[must_use]
    pub fn queue(self, queue: &str) -> Self {
        self.with("queue", &quoted(queue))
    }

    /// An id of the caller's own. Where the work server remembers ids, a job that is posted again
    /// under its id in that time is not stored again, and with other contents it is refused as
    /// `job_id_reused`. Otherwise a job that is posted twice runs twice.
    #[must_use]
    pub fn id(self, job_id: &str) -> Self {
        self.with("job_id", &quoted(job_id))
    }

    /// How long the work server is to remember the job's id, in whole seconds, where that is less
    /// than it does by itself. Refused as `ids_not_remembered` where it remembers none, and as
    /// `dedup_for_too_long` above what it does.
    #[must_use]
    pub fn dedup_for(self, time: Duration) -> Self {
        let job = self.with("dedup_for", &time.as_secs().to_string());
        Self { is_forgotten_early: true, ..job }
    }

    /// The time from which the job is due, in RFC 3339.
    #[must_use]
    pub fn at(self, time: &str) -> Self {
        self.with("at", &quoted(time))
    }

    /// The time from now until the job is due, to the millisecond.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.with("delay_ms", &delay.as_millis().to_string())
    }

    /// How often the job is retried after a failure: 25 by default; 0 drops a failed job, −1 moves
    /// it to the dead set at once.
    #[must_use]
    pub fn retry(self, retries: i32) -> Self {
        self.with("retry", &retries.to_string())
    }

    /// How long a fetch reserves the job for its worker, in whole seconds.
    #[must_use]
    pub fn reserve_for(self, time: Duration) -> Self {
        self.with("reserve_for", &time.as_secs().to_string())
    }

    /// The lines of a failure's backtrace that the work server keeps.
    #[must_use]
    pub fn backtrace(self, lines: u32) -> Self {
        self.with("backtrace", &lines.to_string())
    }

    /// An object of the caller's own, which travels with the job.
    ///
    /// # Errors
    /// Where `custom` can't be written as JSON.
    pub fn custom(self, custom: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        Ok(self.with("custom", &serde_json::to_string(custom)?))
    }

    /// Whether the job's args are stored compressed, whatever the API's `COMPRESS_MIN_BYTES` says.
    /// `true` is refused, as `compression_not_enabled`, where the API's `COMPRESS_QUEUES` does not
    /// name the job's queue.
    #[must_use]
    pub fn compress(self, compress: bool) -> Self {
        self.with("compress", &compress.to_string())
    }

    fn with(mut self, name: &str, json: &str) -> Self {
        self.push(name, json);
        self
    }

    fn push(&mut self, name: &str, json: &str) {
        for part in ["\"", name, "\":", json, ","] {
            self.members.push_str(part);
        }
    }

    /// The path that takes this job alone.
    pub(crate) fn path(&self) -> String {
        self.operation.map_or_else(|| "jobs".into(), |operation| format!("jobs/{operation}"))
    }

    /// The body for [`NewJob::path`].
    pub(crate) fn alone(&self) -> String {
        format!("{{{}}}", self.members.trim_end_matches(','))
    }

    /// Appends the job as a member of a batch.
    pub(crate) fn in_batch(&self, out: &mut String) {
        out.push('{');
        if let Some(operation) = self.operation {
            for part in ["\"operation\":\"", operation, "\","] {
                out.push_str(part);
            }
        }
        out.push_str(self.members.trim_end_matches(','));
        out.push('}');
    }

    /// The job's size in a batch, roughly, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.members.len() + self.operation.map_or(0, |operation| operation.len() + 15) + 2
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use job_types::Finite;
    use job_types::jobs::Add;

    use super::*;

    #[test]
    fn typed_and_raw_jobs_are_written_as_the_api_reads_them() {
        let add = Add { a: Finite::new(1.0).unwrap(), b: Finite::new(0.5).unwrap() };
        let job = NewJob::typed(&add)
            .queue("a \"q\"")
            .dedup_for(Duration::from_secs(60))
            .delay(Duration::from_millis(1500))
            .retry(-1);
        assert_eq!(job.path(), "jobs/add");
        let alone =
            r#"{"a":1,"b":0.5,"queue":"a \"q\"","dedup_for":60,"delay_ms":1500,"retry":-1}"#;
        assert_eq!(job.alone(), alone);
        let mut batch = String::new();
        NewJob::typed(&add).in_batch(&mut batch);
        NewJob::raw("mail", &("ann", 2)).unwrap().custom(&[("k", 1)]).unwrap().in_batch(&mut batch);
        let typed = r#"{"operation":"add","a":1,"b":0.5}"#;
        let raw = r#"{"jobtype":"mail","args":["ann",2],"custom":[["k",1]]}"#;
        assert_eq!(batch, format!("{typed}{raw}"));
        assert_eq!(NewJob::raw("mail", &["x"]).unwrap().path(), "jobs");
    }
}
