//! A member of a job's JSON, found without reading the JSON into memory. The JSON is that of the
//! store, which the machine has written: it is valid, has no white space between its own tokens,
//! and has each member once.

/// How far the search for a member has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    at: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The next string of the outermost object is the name of a member.
    at_name: bool,
}

/// The result of a part of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Searched {
    /// The value begins at this index.
    Found(usize),
    /// The object has no such member.
    Absent,
    /// The part is over, and the search is not.
    Unfinished,
}

impl Search {
    /// The bytes that have been read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Reads up to `most` more bytes. `name` is given with its quotes and its colon.
    pub(super) fn go_on(&mut self, json: &[u8], name: &[u8], most: usize) -> Searched {
        let end = json.len().min(self.at.saturating_add(most));
        while self.at < end {
            let Some(byte) = json.get(self.at) else { break };
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => {
                        let is_name = self.depth == 1 && self.at_name;
                        if is_name && json.get(self.at..).is_some_and(|rest| rest.starts_with(name))
                        {
                            return Searched::Found(self.at + name.len());
                        }
                        (self.in_string, self.at_name) = (true, false);
                    }
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.at_name = true;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b',' => self.at_name = true,
                    _ => {}
                }
            }
            self.at += 1;
        }
        if self.at == json.len() { Searched::Absent } else { Searched::Unfinished }
    }
}

/// The text of the member `queue`.
pub(super) fn queue_of(json: &[u8]) -> Option<String> {
    let Searched::Found(at) = Search::default().go_on(json, b"\"queue\":", usize::MAX) else {
        return None;
    };
    // The name of a queue has no character that is escaped.
    let text = json.get(at + 1..)?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    String::from_utf8(text.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_of_the_outermost_object_is_found_in_parts_of_any_size() {
        let json = concat!(
            r#"{"retry":3,"custom":{"jobtype":"a","x":["jobtype","\"jobtype\":\"b\""]},"#,
            r#""jid":"\"jobtype\":","queue":"q","jobtype":"c","args":[]}"#
        );
        let value = json.find(r#""c""#).unwrap();
        for most in [1, 2, 7, 1000] {
            let mut search = Search::default();
            let found = loop {
                match search.go_on(json.as_bytes(), b"\"jobtype\":", most) {
                    Searched::Unfinished => {}
                    found => break found,
                }
            };
            assert_eq!(found, Searched::Found(value));
        }
        let absent = Search::default().go_on(json.as_bytes(), b"\"at\":", usize::MAX);
        assert_eq!(absent, Searched::Absent);
        assert_eq!(queue_of(json.as_bytes()).unwrap(), "q");
    }
}
