//! The members of a posted job, in their order and with repeated ones, while their values are still
//! raw JSON.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of one object, with values as JSON text.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// True where the object has more members than are kept.
    pub(crate) too_many: bool,
}

/// Members kept of one object; no valid job has so many.
pub(crate) const MEMBERS_MAX: usize = 200;
/// Number of members from which on repeated ones are found by hashing.
const HASHED_FROM: usize = 16;

impl<'a> Members<'a> {
    /// Names and values, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// Names and values in their order, and whether the name has appeared before.
    pub(crate) fn iter_noting_repeated(&self) -> impl Iterator<Item = (&str, &'a RawValue, bool)> {
        // With few members, comparing all names is faster than hashing.
        let mut seen = (self.members.len() > HASHED_FROM).then(HashSet::new);
        self.iter().enumerate().map(move |(index, (name, value))| {
            let is_repeated = match &mut seen {
                Some(seen) => !seen.insert(name),
                None => self.iter().take(index).any(|(before, _)| before == name),
            };
            (name, value, is_repeated)
        })
    }
}

/// An element of a batch, or a single job, before any rule is applied.
#[derive(Debug)]
pub enum Element<'a> {
    /// An object.
    Object(Members<'a>),
    /// Any other JSON value, with the name of its kind.
    Other(&'static str),
}

impl Element<'_> {
    /// The size of a job as it was posted: the bytes of its members' names and values, without the
    /// white space between them; 0 where the element is no object.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self::Object(members) = self else { return 0 };
        // The quotes of a name, its colon, and the comma or bracket behind the value.
        let members = members.iter().map(|(name, value)| name.len() + 4 + value.get().len());
        1 + members.sum::<usize>().max(1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Members { members: Vec::with_capacity(4), too_many: false };
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value::<&'de RawValue>()?;
            if object.members.len() < MEMBERS_MAX {
                object.members.push((name, value));
            } else {
                object.too_many = true;
            }
        }
        Ok(Element::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element::Other("an array"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Element::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Element::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Element::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Element::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Element::Other("a string"))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Element::Other("null"))
    }
}

/// The name of a member, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
