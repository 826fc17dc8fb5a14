//! The handshake: the server's greeting, the client's HELLO, and the hash of the password.

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::abilities::Abilities;

/// The greeting, `+HI {…}`: the first line of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The version of the protocol: 2.
    pub v: u32,
    /// The number of hashes to compute, where the server asks for a password.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none", default)]
    pub iterations: Option<u32>,
    /// The salt of this connection, where the server asks for a password.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none", default)]
    pub salt: Option<String>,
    /// What the server can do beyond Faktory.
    #[serde(
        rename = "wf",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "Abilities::lenient",
        default
    )]
    pub abilities: Option<Abilities>,
}

/// A text that is no greeting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("greeting is not Faktory's: {0:?}")]
pub struct GreetingError(String);

/// The fewest hashes that count as a proof. Servers ask for 4,000 and more; a server that asks for
/// few wants to guess the password from the proof.
const ITERATIONS_MIN: u32 = 1000;
/// The shortest salt in bytes. Faktory sends a random number of 63 bits in hex, without leading
/// zeros: it has less than 8 digits once in 34 thousand million connections.
const SALT_MIN: usize = 8;
/// The most hashes that a greeting may ask for. Servers ask for 4,000 to 8,095; a hostile server
/// must not keep the client busy.
const ITERATIONS_MAX: u32 = 1_000_000;

/// What a greeting asks for as proof of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// None: the server has no password.
    NotAsked,
    /// The hash of password and salt, so many times over.
    Hash {
        /// The salt.
        salt: &'a str,
        /// The number of hashes, 1,000 to 1,000,000.
        iterations: u32,
    },
    /// A hash from which the password could be guessed or looked up.
    Weak,
}

impl Greeting {
    /// What the server asks for as proof of the password.
    #[must_use]
    pub fn proof(&self) -> Proof<'_> {
        match (self.salt.as_deref(), self.iterations) {
            (None, None) => Proof::NotAsked,
            (Some(salt), Some(iterations))
                if salt.len() >= SALT_MIN && iterations >= ITERATIONS_MIN =>
            {
                Proof::Hash { salt, iterations }
            }
            (Some(_), _) | (None, Some(_)) => Proof::Weak,
        }
    }

    /// Reads the greeting from the text of a simple reply.
    ///
    /// # Errors
    /// Where the text is not `HI` and a JSON object, or asks for more than a million hashes.
    pub fn parse(text: &[u8]) -> Result<Self, GreetingError> {
        let fault = || GreetingError(String::from_utf8_lossy(text).chars().take(100).collect());
        let json = text.strip_prefix(b"HI ").ok_or_else(fault)?;
        let greeting: Self = serde_json::from_slice(json).map_err(|_| fault())?;
        if greeting.iterations.unwrap_or(0) > ITERATIONS_MAX { Err(fault()) } else { Ok(greeting) }
    }

    /// Appends the greeting as a line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"+HI ");
        out.extend(json(self));
        out.extend_from_slice(b"\r\n");
    }
}

/// The first line of a client, `HELLO {…}`: tells who the client is. A client with a `wid` is a
/// worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The version of the protocol: 2.
    pub v: u8,
    /// The worker's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wid: Option<String>,
    /// The name of the worker's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The id of the worker's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Labels of the worker, chosen by its operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The hash of the password, as [`password_hash`] computes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pwdhash: Option<String>,
    /// What the client understands beyond Faktory: with 1, the numbers of reservations
    /// ([`Job::reservation`](crate::Job::reservation)).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient_number")]
    pub wf: Option<u32>,
}

/// The reason why a first line is no HELLO.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The line does not begin with `HELLO {`.
    #[error("expected HELLO and a JSON object as the first line")]
    NotHello,
    /// The JSON behind HELLO is invalid, or a member has the wrong type.
    #[error("invalid HELLO: {}", crate::excerpt::Excerpt(.0))]
    Invalid(String),
}

impl Hello {
    /// Reads a client's first line.
    ///
    /// # Errors
    /// Where the line is not `HELLO`, one space and a JSON object with members of the right types.
    pub fn parse(line: &[u8]) -> Result<Self, HelloError> {
        let json = line
            .strip_prefix(b"HELLO ")
            .filter(|json| json.first() == Some(&b'{'))
            .ok_or(HelloError::NotHello)?;
        serde_json::from_slice(json).map_err(|error| HelloError::Invalid(error.to_string()))
    }

    /// Appends HELLO as a line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HELLO ");
        out.extend(json(self));
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads [`Hello::wf`]. What another client calls so is no reason to refuse its HELLO.
fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().and_then(|number| u32::try_from(number).ok()))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers always serialise. If that failed, the other side would refuse the object.
    serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec())
}

/// The hash that a client sends instead of the password, in lower-case hex: SHA-256 of password and
/// salt, then SHA-256 of the raw digest, until `iterations` hashes are done. This is the scheme of
/// Faktory 1.10.0.
#[must_use]
pub fn password_hash(password: &str, salt: &str, iterations: u32) -> String {
    let mut digest = Sha256::new().chain_update(password).chain_update(salt).finalize();
    for _ in 1..iterations {
        digest = Sha256::digest(digest);
    }
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_and_written() {
        let greeting = Greeting::parse(br#"HI {"v":2,"i":4012,"s":"3f2a"}"#).unwrap();
        let salt = Some("3f2a".to_owned());
        let expected = Greeting { v: 2, iterations: Some(4012), salt, abilities: None };
        assert_eq!(greeting, expected);
        let mut wire = Vec::new();
        let greeting = Greeting { v: 2, iterations: None, salt: None, abilities: None };
        greeting.encode(&mut wire);
        assert_eq!(wire, b"+HI {\"v\":2}\r\n");
    }

    #[test]
    fn a_greeting_tells_what_the_server_can_do_beyond_faktory() {
        for (text, expected) in [
            (r#"HI {"v":2}"#, None),
            (r#"HI {"v":2,"wf":"else"}"#, None),
            (r#"HI {"v":2,"wf":{}}"#, Some(Abilities::default())),
            (
                r#"HI {"v":2,"wf":{"once":60,"more":1}}"#,
                Some(Abilities { once: 60, ..Abilities::default() }),
            ),
        ] {
            assert_eq!(Greeting::parse(text.as_bytes()).unwrap().abilities, expected, "{text}");
        }
        let abilities = Some(Abilities { once: 86_400, requeue: true, many: true });
        let mut wire = Vec::new();
        Greeting { v: 2, iterations: None, salt: None, abilities }.encode(&mut wire);
        assert_eq!(
            wire,
            b"+HI {\"v\":2,\"wf\":{\"once\":86400,\"requeue\":true,\"many\":true}}\r\n"
        );
    }

    #[test]
    fn a_greeting_asks_for_a_strong_proof_a_weak_one_or_none() {
        let proof = |iterations, salt: Option<&str>| {
            let greeting =
                Greeting { v: 2, iterations, salt: salt.map(str::to_owned), abilities: None };
            match greeting.proof() {
                Proof::NotAsked => "none",
                Proof::Hash { .. } => "hash",
                Proof::Weak => "weak",
            }
        };
        assert_eq!(proof(None, None), "none");
        assert_eq!(proof(Some(4000), Some("55104dc76695721d")), "hash");
        assert_eq!(proof(Some(1545), Some("55104dc76695721d")), "hash");
        assert_eq!(proof(Some(1000), Some("12345678")), "hash");
        for (iterations, salt) in [
            (Some(4000), None),
            (Some(4000), Some("")),
            (Some(4000), Some("1234567")),
            (None, Some("55104dc76695721d")),
            (Some(0), Some("55104dc76695721d")),
            (Some(999), Some("55104dc76695721d")),
        ] {
            assert_eq!(proof(iterations, salt), "weak", "{iterations:?} {salt:?}");
        }
    }

    #[test]
    fn a_greeting_that_asks_for_too_many_hashes_is_refused() {
        assert!(Greeting::parse(br#"HI {"v":2,"i":4000000000,"s":"x"}"#).is_err());
        assert!(Greeting::parse(b"220 mail.example.org ESMTP").is_err());
    }

    #[test]
    fn a_hello_tells_what_the_client_understands_beyond_faktory() {
        for (json, expected) in [
            (r#"{"v":2}"#, None),
            (r#"{"v":2,"wf":1}"#, Some(1)),
            (r#"{"v":2,"wf":"else"}"#, None),
            (r#"{"v":2,"wf":{"a":[1]}}"#, None),
            (r#"{"v":2,"wf":-1}"#, None),
        ] {
            let hello = Hello::parse(format!("HELLO {json}").as_bytes()).unwrap();
            assert_eq!(hello.wf, expected, "{json}");
        }
        let mut wire = Vec::new();
        Hello { v: 2, wf: Some(1), ..Hello::default() }.encode(&mut wire);
        assert_eq!(wire, b"HELLO {\"v\":2,\"wf\":1}\r\n");
    }

    #[test]
    fn only_hello_with_one_space_and_an_object_is_a_hello() {
        assert_eq!(
            Hello::parse(br#"HELLO {"v":2,"wid":"w","unknown":[1]}"#).unwrap().wid.as_deref(),
            Some("w")
        );
        for line in ["HELLO", "hello {}", "HELLO  {}", "INFO", "HELLO []"] {
            assert_eq!(Hello::parse(line.as_bytes()), Err(HelloError::NotHello), "{line}");
        }
        for line in [r#"HELLO {"v":2"#, r#"HELLO {"wid":7}"#, r#"HELLO {"v":256}"#] {
            assert!(matches!(Hello::parse(line.as_bytes()), Err(HelloError::Invalid(_))), "{line}");
        }
    }

    // The long hash was computed with Python's hashlib after the scheme of `password_hash`.
    #[test]
    fn the_password_hash_is_the_one_that_faktory_computes() {
        assert_eq!(password_hash("foobar", "55104dc76695721d", 1), {
            let digest = Sha256::digest(b"foobar55104dc76695721d");
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        assert_eq!(
            password_hash("foobar", "55104dc76695721d", 1545),
            "6d877f8e5544b1f2598768f817413ab8a357afffa924dedae99eb91472d4ec30"
        );
    }
}
