//! `WF REQUEUE`: a worker gives a job back. A work server that says so in its greeting
//! ([`Abilities::requeue`](crate::Abilities::requeue)) takes the command, and tells the number of a
//! reservation to a client that understands it ([`Hello::wf`](crate::Hello::wf)).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::excerpt::Excerpt;
use crate::object_writer::ObjectWriter;
use crate::timestamp::{InvalidTimestamp, Timestamp};

/// The end of one reservation: its job goes back as it was stored, and no attempt is counted.
/// Where there is no such reservation, nothing happens, so the command may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requeue {
    /// The id of the job.
    pub jid: String,
    /// The number of the reservation, which the reply to its FETCH has told.
    pub reservation: u64,
    /// When the job is due; it goes to the end of its queue at once where absent or not later.
    pub at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    #[serde(borrow)]
    jid: Option<&'a RawValue>,
    #[serde(borrow)]
    reservation: Option<&'a RawValue>,
    #[serde(borrow)]
    at: Option<&'a RawValue>,
}

/// The value of a member, where it is of this type.
fn read<T: DeserializeOwned>(member: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(member?.get()).ok()
}

impl Requeue {
    /// Reads what follows `WF REQUEUE `; the error is the text that a server answers with.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let Payload { jid, reservation, at } = serde_json::from_slice(payload)
            .map_err(|error| format!("invalid WF REQUEUE: {}", Excerpt(error)))?;
        let fault = |what: &str| format!("invalid WF REQUEUE: {what}");
        let jid: String = read(jid)
            .filter(|jid: &String| !jid.is_empty())
            .ok_or_else(|| fault("jid is not the id of a job, a text that is not empty"))?;
        let reservation = read(reservation).ok_or_else(|| {
            fault("reservation is not the number that the reply to FETCH has told, 0 to 2^64 - 1")
        })?;
        let at = match at.map(RawValue::get) {
            None => None,
            Some(json) => {
                let time = |text: String| Timestamp::parse(&text).ok();
                Some(serde_json::from_str(json).ok().and_then(time).ok_or_else(|| {
                    fault(&format!("at is {InvalidTimestamp}, but {}", Excerpt(json)))
                })?)
            }
        };
        Ok(Self { jid, reservation, at })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"WF REQUEUE ");
        let mut object = ObjectWriter::new(out);
        object.string("jid", &self.jid);
        object.number("reservation", self.reservation);
        if let Some(at) = self.at {
            object.string("at", &at.to_string());
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_missing_unknown_or_wrong_is_refused_by_its_name() {
        let of = |json: &str| Requeue::parse(json.as_bytes());
        let expected = Requeue { jid: "j".into(), reservation: u64::MAX, at: None };
        assert_eq!(of(r#"{"jid":"j","reservation":18446744073709551615}"#), Ok(expected));
        let at = |text: &str| of(&format!(r#"{{"at":{text},"reservation":1,"jid":"j"}}"#));
        assert_eq!(at("null").unwrap().at, None);
        let later = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(at(r#""2026-01-02T04:04:05+01:00""#).unwrap().at, Some(later));
        for (json, why) in [
            ("", "invalid WF REQUEUE: "),
            (r#"{"reservation":1}"#, "jid is not"),
            (r#"{"jid":7,"reservation":1}"#, "jid is not"),
            (r#"{"jid":"","reservation":1}"#, "jid is not"),
            (r#"{"jid":"j"}"#, "reservation is not"),
            (r#"{"jid":"j","reservation":"1"}"#, "reservation is not"),
            (r#"{"jid":"j","reservation":-1}"#, "reservation is not"),
            (r#"{"jid":"j","reservation":1.5}"#, "reservation is not"),
            (r#"{"jid":"j","reservation":1,"reservation":2}"#, "duplicate field `reservation`"),
            (r#"{"jid":"j","reservation":1,"queue":"q"}"#, "unknown field `queue`"),
            (r#"{"jid":"j","reservation":1,"at":""}"#, "at is not an RFC 3339 time"),
            (r#"{"jid":"j","reservation":1,"at":"tomorrow"}"#, "at is not an RFC 3339 time"),
            (r#"{"jid":"j","reservation":1,"at":7}"#, "at is not an RFC 3339 time"),
        ] {
            let error = of(json).unwrap_err();
            assert!(error.starts_with("invalid WF REQUEUE: ") && error.contains(why), "{error}");
        }
    }
}
