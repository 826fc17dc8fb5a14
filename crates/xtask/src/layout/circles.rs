//! Circles: modules that need each other. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::ModulePath;
use super::uses::Uses;

/// Arrows between rooms.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Modules that lie side by side and reach each other, with a use that makes each arrow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    /// The module around them; none for the crate itself.
    pub(crate) within: ModulePath,
    /// Their names.
    pub(crate) rooms: Vec<String>,
    /// For each arrow among them: who uses, and what is used.
    pub(crate) arrows: Vec<(String, String)>,
}

/// Finds the circles among the children of every module. A child is one room together with
/// everything below it; a module and its own children are one room too, so what they use of each
/// other does not count.
pub(crate) fn circles(uses: &Uses) -> Vec<Circle> {
    let parents: BTreeSet<ModulePath> =
        uses.keys().filter_map(|path| Some(path.split_last()?.1.to_vec())).collect();
    parents.iter().flat_map(|within| circles_within(within, uses)).collect()
}

fn circles_within(within: &ModulePath, uses: &Uses) -> Vec<Circle> {
    let room = |path: &ModulePath| match path.strip_prefix(within.as_slice()) {
        // The crate's first file is a room of its own: who is used by it must not use it.
        Some([]) if within.is_empty() => Some("crate".to_owned()),
        Some([first, ..]) => Some(first.clone()),
        Some([]) | None => None,
    };
    let mut graph = Graph::new();
    let mut examples: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    for (from, targets) in uses {
        for target in targets {
            let (Some(from_room), Some(to_room)) = (room(from), room(target)) else { continue };
            if from_room != to_room {
                graph.entry(from_room.clone()).or_default().insert(to_room.clone());
                examples
                    .entry((from_room, to_room))
                    .or_insert_with(|| (from.join("::"), target.join("::")));
            }
        }
    }
    let mut found = Vec::new();
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    for start in graph.keys() {
        let from_start = reachable(&graph, start);
        if seen.contains(start) || !from_start.contains(start) {
            continue;
        }
        let rooms: Vec<&String> = graph
            .keys()
            .filter(|room| from_start.contains(room) && reachable(&graph, room).contains(start))
            .collect();
        seen.extend(&rooms);
        let arrows = examples
            .iter()
            .filter(|((from, to), _)| rooms.contains(&from) && rooms.contains(&to))
            .map(|(_, example)| example.clone())
            .collect();
        let rooms = rooms.into_iter().cloned().collect();
        found.push(Circle { within: within.clone(), rooms, arrows });
    }
    found
}

/// Every room that can be reached over one arrow or more.
fn reachable<'a>(graph: &'a Graph, start: &str) -> BTreeSet<&'a String> {
    let mut reached: BTreeSet<&String> = BTreeSet::new();
    let mut ahead: Vec<&String> = graph.get(start).into_iter().flatten().collect();
    while let Some(room) = ahead.pop() {
        if reached.insert(room) {
            ahead.extend(graph.get(room).into_iter().flatten());
        }
    }
    reached
}
