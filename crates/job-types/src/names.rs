//! Names of queues, jobs and job types. Each type holds checked names only.

use std::borrow::Cow;
use std::fmt;

use faktory_wire::Timestamp;
use uuid::{Builder, Uuid};

use crate::field_error::{Code, FieldError};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a queue: `[A-Za-z0-9._-]{1,100}`.
    QueueName
}
name! {
    /// The id of a job: `[A-Za-z0-9_-]{16,64}`.
    JobId
}
name! {
    /// The type of a job, which says what to run: 1 to 200 characters, none of them a control
    /// character.
    JobType
}

impl QueueName {
    /// Checks a queue name; `member` is the member that holds the name.
    ///
    /// # Errors
    /// With a detail that says what is accepted.
    pub fn parse(text: String, member: &str) -> Result<Self, FieldError> {
        let fits = (1..=100).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        let detail = "a queue name must have 1 to 100 characters, each one of A-Z a-z 0-9 . _ -";
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(FieldError::at(member, Code::InvalidQueue, detail))
        }
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Cow::Borrowed(faktory_wire::DEFAULT_QUEUE))
    }
}

impl JobId {
    /// Checks a job id; `member` is the member that holds the id.
    ///
    /// # Errors
    /// With a detail that says what is accepted.
    pub fn parse(text: String, member: &str) -> Result<Self, FieldError> {
        let fits = (16..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let detail = "a job id must have 16 to 64 characters, each one of A-Z a-z 0-9 _ -; \
                      without job_id an id is generated";
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(FieldError::at(member, Code::InvalidJobId, detail))
        }
    }

    /// The id with these bits: a `UUIDv8` (RFC 9562) of 32 hex digits. The six bits that say so
    /// take the place of six of these.
    #[must_use]
    pub fn of_bits(bits: [u8; 16]) -> Self {
        Self(
            Builder::from_custom_bytes(bits)
                .into_uuid()
                .simple()
                .encode_lower(&mut Uuid::encode_buffer())
                .to_owned()
                .into(),
        )
    }

    /// A new id: a `UUIDv7` (RFC 9562) of 32 hex digits, with `now` as its time and random bits.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        let milliseconds = u64::try_from(now.micros() / 1000).unwrap_or_default();
        Self(
            Builder::from_unix_timestamp_millis(milliseconds, &rand::random())
                .into_uuid()
                .simple()
                .encode_lower(&mut Uuid::encode_buffer())
                .to_owned()
                .into(),
        )
    }
}

impl JobType {
    /// Checks a job type; `member` is the member that holds the type.
    ///
    /// # Errors
    /// With a detail that says what is accepted.
    pub fn parse(text: String, member: &str) -> Result<Self, FieldError> {
        let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        let detail = "a job type must have 1 to 200 characters, none of them a control character";
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(FieldError::at(member, Code::InvalidValue, detail))
        }
    }

    pub(crate) fn of_operation(operation: &'static str) -> Self {
        Self(Cow::Borrowed(operation))
    }
}
