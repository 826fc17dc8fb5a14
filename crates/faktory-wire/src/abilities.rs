//! What a work server can do beyond Faktory.

use serde::{Deserialize, Deserializer, Serialize};

/// What a work server can do beyond Faktory, as its greeting says in the member `wf`. Without that
/// member it can do nothing of it, and the commands that begin with `WF` are unknown to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Abilities {
    /// The seconds for which it remembers the ids of jobs that are pushed by `WF PUSHB`; 0 where it
    /// does not take that command.
    #[serde(skip_serializing_if = "is_zero")]
    pub once: u32,
    /// It takes `WF REQUEUE`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requeue: bool,
    /// It takes `WF FETCH` and `WF ACK`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub many: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Abilities {
    /// Reads the member. What another server calls so is no reason to refuse its greeting.
    pub(crate) fn lenient<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Self>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(serde_json::from_value(value).ok())
    }
}
