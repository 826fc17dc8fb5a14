//! Finite numbers, written as short as possible.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A finite 64-bit floating-point number. A whole number is written without a decimal point.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Finite(f64);

/// Up to this number (2^53) every whole number is exact.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

impl Finite {
    /// `None` for NaN and the infinities.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    fn whole(self) -> Option<i64> {
        let whole = self.0.fract() == 0.0
            && self.0.abs() <= EXACT_LIMIT
            && !(self.0 == 0.0 && self.0.is_sign_negative());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within 2^53, so the conversion is exact"
        )]
        whole.then_some(self.0 as i64)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole() {
            Some(whole) => whole.fmt(f),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl Serialize for Finite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(whole) => serializer.serialize_i64(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("not a finite number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        for (value, text) in [
            (3.0, "3"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (-9e15, "-9000000000000000"),
        ] {
            assert_eq!(Finite::new(value).unwrap().to_string(), text);
        }
        assert_eq!(serde_json::to_string(&Finite::new(2.0).unwrap()).unwrap(), "2");
        assert!(Finite::new(f64::NAN).is_none() && Finite::new(f64::INFINITY).is_none());
    }
}
