//! Floors: of the keys that begin with the same byte, those below the floor are gone.

use std::collections::BTreeMap;

use crate::Key;

/// The lowest keys that count, for each first byte that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Floors(BTreeMap<u8, Key>);

impl Floors {
    /// Raises a floor; false where it was as high before, or the key is empty.
    pub(crate) fn raise(&mut self, key: Key) -> bool {
        let Some(first) = key.first_byte() else { return false };
        let rises = self.0.get(&first).is_none_or(|floor| *floor < key);
        if rises {
            self.0.insert(first, key);
        }
        rises
    }

    /// Raises all floors that are higher in the other.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        for floor in other.iter() {
            self.raise(floor);
        }
    }

    /// True where this key is below a floor.
    pub(crate) fn hides(&self, key: &Key) -> bool {
        let floor = key.first_byte().and_then(|first| self.0.get(&first));
        floor.is_some_and(|floor| key < floor)
    }

    /// True where one floor is above all keys from the first to the last.
    pub(crate) fn hides_all(&self, (first, last): (Key, Key)) -> bool {
        first.first_byte() == last.first_byte() && self.hides(&last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Key> {
        self.0.values().copied()
    }

    /// The parts of a range in which no key is below a floor, in their order.
    pub(crate) fn parts(&self, from: Key, to: Key) -> Vec<(Key, Key)> {
        let (mut parts, mut from) = (Vec::new(), from);
        for (first, floor) in &self.0 {
            let Some(hidden) = Key::new(&[*first]) else { continue };
            if from < hidden && hidden < to {
                parts.push((from, hidden));
            }
            if hidden < to && from < *floor {
                from = (*floor).max(from);
            }
        }
        if from < to {
            parts.push((from, to));
        }
        parts
    }
}

impl From<Floors> for Vec<String> {
    fn from(floors: Floors) -> Self {
        floors.iter().map(|floor| floor.to_string()).collect()
    }
}

impl TryFrom<Vec<String>> for Floors {
    type Error = &'static str;

    fn try_from(texts: Vec<String>) -> Result<Self, Self::Error> {
        let mut floors = Self::default();
        for text in texts {
            floors.raise(Key::from_hexadecimal(&text).ok_or("a floor is no key")?);
        }
        Ok(floors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes()).unwrap()
    }

    fn floors(texts: &[&str]) -> Floors {
        let mut floors = Floors::default();
        texts.iter().for_each(|text| assert!(floors.raise(key(text)), "{text}"));
        floors
    }

    #[test]
    fn a_floor_hides_what_is_below_it_and_only_rises() {
        let mut floors = floors(&["b2", "d"]);
        assert!(!floors.raise(key("b1")) && !floors.raise(key("b2")) && !floors.raise(key("")));
        let hidden = ["", "a", "a9", "b", "b1", "b19", "b2", "b3", "c", "d"];
        let hidden: Vec<_> = hidden.into_iter().filter(|text| floors.hides(&key(text))).collect();
        assert_eq!(hidden, ["b", "b1", "b19"]);
        assert!(floors.hides_all((key("b0"), key("b1"))));
        assert!(!floors.hides_all((key("b0"), key("b2"))));
        assert!(!floors.hides_all((key("a0"), key("b1"))));
        assert!(floors.raise(key("b3")) && floors.hides(&key("b2")));
    }

    #[test]
    fn the_parts_of_a_range_leave_out_what_is_hidden() {
        let floors = floors(&["b2", "d5"]);
        let parts = |from, to| {
            let parts = floors.parts(key(from), key(to)).into_iter();
            let text = |key: Key| String::from_utf8(key.as_slice().to_vec()).unwrap();
            parts.map(|(from, to)| format!("{}-{}", text(from), text(to))).collect::<Vec<_>>()
        };
        assert_eq!(parts("a", "z"), ["a-b", "b2-d", "d5-z"]);
        assert_eq!(parts("b", "c"), ["b2-c"]);
        assert_eq!(parts("b1", "b3"), ["b2-b3"]);
        assert_eq!(parts("b4", "d"), ["b4-d"]);
        assert_eq!(parts("b4", "d2"), ["b4-d"]);
        assert_eq!(parts("b", "b1"), [""; 0]);
        assert_eq!(parts("e", "f"), ["e-f"]);
        assert_eq!(parts("f", "e"), [""; 0]);
        assert_eq!(Floors::default().parts(key("a"), key("z")), [(key("a"), key("z"))]);
    }

    #[test]
    fn floors_are_read_back_from_the_list() {
        let floors = floors(&["b2", "d"]);
        let text = serde_json::to_string(&floors).unwrap();
        assert_eq!(text, r#"["6232","64"]"#);
        assert_eq!(serde_json::from_str::<Floors>(&text).unwrap(), floors);
        for bad in [r#"["6"]"#, r#"["zz"]"#, r#"["+1"]"#, r#"["é1"]"#] {
            serde_json::from_str::<Floors>(bad).unwrap_err();
        }
        let long = format!("[\"{}\"]", "00".repeat(32));
        serde_json::from_str::<Floors>(&long).unwrap_err();
    }
}
