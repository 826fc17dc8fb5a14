//! Who posts jobs, and under which key: the ids and the terms that follow from it. Nothing of it is
//! kept: every instance of the API derives the same from the same request.

use std::sync::Arc;

use axum::extract::Request;
use faktory_link::{Pusher, Terms};
use faktory_wire::OnceKey;
use job_types::{JobId, NewJob};
use sha2::{Digest, Sha256};

use crate::access::keyring::Pass;
use crate::idempotency_key;
use crate::problem::Problem;

/// Who posts jobs, and under which key.
#[derive(Debug, Default)]
pub(crate) struct Posting {
    /// The name of the key to the API, where it has keys.
    caller: Option<String>,
    /// What stands for the request's `Idempotency-Key`, where it has one.
    request: Option<Sha256>,
}

impl Posting {
    /// What a request to this endpoint says.
    ///
    /// # Errors
    /// Where its `Idempotency-Key` is not valid, or the work server does not remember ids.
    pub(crate) fn of(pusher: &Pusher, request: &Request, endpoint: &str) -> Result<Self, Problem> {
        let posting = Self::of_stream(request.extensions().get());
        let Some(key) = idempotency_key::of(request.headers())? else { return Ok(posting) };
        // Before the first connection nothing is known; the link looks once more.
        if pusher.status().once == Some(0) {
            return Err(idempotency_key::not_supported());
        }
        Ok(posting.under(endpoint, &key))
    }

    /// What a stream that was let pass so says.
    pub(crate) fn of_stream(pass: Option<&Pass>) -> Self {
        let caller = pass.and_then(Pass::caller).map(ToOwned::to_owned);
        Self { caller, request: None }
    }

    fn under(self, endpoint: &str, key: &str) -> Self {
        let mut request = Sha256::new();
        for text in ["work-factory 1", self.caller.as_deref().unwrap_or_default(), endpoint, key] {
            // With its length, so that no two requests are the same bytes.
            request.update((text.len() as u64).to_be_bytes());
            request.update(text);
        }
        Self { request: Some(request), ..self }
    }

    /// Gives the jobs of a request with a key, which have no ids of their client's, the ids that
    /// follow from the key and their places.
    pub(crate) fn give_ids(&self, jobs: &mut [NewJob]) {
        let Some(request) = &self.request else { return };
        for (place, job) in jobs.iter_mut().enumerate().filter(|(_, job)| !job.has_own_id) {
            let digest = request.clone().chain_update("job").chain_update(place.to_string());
            let mut bits = [0; 16];
            bits.iter_mut().zip(digest.finalize()).for_each(|(bit, byte)| *bit = byte);
            job.id = JobId::of_bits(bits);
        }
    }

    /// The terms of the jobs of a request with this body, decoded.
    pub(crate) fn terms(&self, body: &str) -> TermsOfJobs {
        let key = self.request.as_ref().map(|request| OnceKey {
            id: hex(request.clone().chain_update("key")),
            hash: hex(Sha256::new_with_prefix(body)),
        });
        TermsOfJobs { caller: self.caller.clone(), key, latest: None }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The terms of the jobs of one request, in their order.
pub(crate) struct TermsOfJobs {
    caller: Option<String>,
    key: Option<OnceKey>,
    /// The terms of the job before, which the next one mostly shares.
    latest: Option<Arc<Terms>>,
}

impl TermsOfJobs {
    /// The terms of a job: ids that the API makes differ between callers anyway.
    pub(crate) fn of(&mut self, job: &NewJob) -> Option<Arc<Terms>> {
        let caller = self.caller.as_ref().filter(|_| job.has_own_id);
        let is_special = caller.is_some() || self.key.is_some() || job.dedup_for.is_some();
        if !is_special {
            return None;
        }
        let is_same =
            |terms: &&Arc<Terms>| terms.caller.as_ref() == caller && terms.seconds == job.dedup_for;
        if let Some(terms) = self.latest.as_ref().filter(is_same) {
            return Some(Arc::clone(terms));
        }
        let (caller, key) = (caller.cloned(), self.key.clone());
        let terms = Arc::new(Terms { caller, seconds: job.dedup_for, key });
        self.latest = Some(Arc::clone(&terms));
        Some(terms)
    }
}

#[cfg(test)]
mod tests {
    use faktory_wire::Timestamp;
    use job_types::{Element, Form, Registry};

    use super::*;

    fn jobs(more: &[&str]) -> Vec<NewJob> {
        let job = |more: &&str| {
            let json = format!("{{\"jobtype\":\"x\",\"args\":[]{more}}}");
            let element: Element<'_> = serde_json::from_str(&json).unwrap();
            let now = Timestamp::from_micros(0);
            job_types::validate_job(&Registry::new(), &element, Form::Members, now).unwrap()
        };
        more.iter().map(job).collect()
    }

    fn posting(caller: Option<&str>) -> Posting {
        Posting { caller: caller.map(ToOwned::to_owned), request: None }
    }

    fn ids(posting: Posting) -> Vec<String> {
        let mut jobs = jobs(&["", r#","job_id":"the-callers-own-id""#, ""]);
        posting.give_ids(&mut jobs);
        jobs.into_iter().map(|job| job.id.into()).collect()
    }

    #[test]
    fn ids_follow_from_caller_endpoint_key_and_place_and_from_nothing_else() {
        let of = |caller, endpoint, key| ids(posting(caller).under(endpoint, key));
        let some = of(None, "/jobs", "a");
        // Other versions of the API derive these too.
        assert_eq!(
            some,
            [
                "5979713b833483fd89103814a4c546ad",
                "the-callers-own-id",
                "11e3bac3b04088a993203fb5a0f6332a",
            ]
        );
        assert_eq!(some, of(None, "/jobs", "a"));
        for other in [
            of(Some("ann"), "/jobs", "a"),
            of(None, "/jobs/batch", "a"),
            of(None, "/jobs", "b"),
            of(None, "/job", "sa"),
        ] {
            assert!(some[0] != other[0] && some[2] != other[2] && some[1] == other[1], "{other:?}");
        }
        assert_ne!(ids(posting(None)), ids(posting(None)), "without a key they are random");
    }

    #[test]
    fn neighbours_share_their_terms_and_only_own_ids_are_their_callers() {
        let own = r#","job_id":"the-callers-own-id""#;
        let more = [own, own, "", "", r#","dedup_for":60"#];
        let of = |posting: &Posting| {
            let mut terms = posting.terms("body");
            jobs(&more).iter().map(|job| terms.of(job)).collect::<Vec<_>>()
        };
        let shown = |terms: &[Option<Arc<Terms>>]| {
            let one = |terms: &Terms| (terms.caller.clone(), terms.seconds, terms.key.is_some());
            terms.iter().map(|terms| terms.as_deref().map(one)).collect::<Vec<_>>()
        };
        let ann = || Some("ann".to_owned());
        let with_keys = of(&posting(Some("ann")));
        let by_ann = Some((ann(), None, false));
        let short = Some((None, Some(60), false));
        assert_eq!(shown(&with_keys), [by_ann.clone(), by_ann, None, None, short.clone()]);
        assert!(Arc::ptr_eq(with_keys[0].as_ref().unwrap(), with_keys[1].as_ref().unwrap()));
        assert_eq!(shown(&of(&posting(None))), [None, None, None, None, short]);
        let keyed = of(&posting(Some("ann")).under("/jobs", "a"));
        let (by_ann, ours) = (Some((ann(), None, true)), Some((None, None, true)));
        let short = Some((None, Some(60), true));
        assert_eq!(shown(&keyed), [by_ann.clone(), by_ann, ours.clone(), ours, short]);
        let key = keyed[0].as_ref().unwrap().key.as_ref().unwrap();
        assert_eq!((key.id.len(), key.hash.len()), (64, 64));
    }
}
