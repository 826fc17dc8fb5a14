//! Variables that look like ours and are not: most are misspelt.

use crate::environment::Environment;

use super::variable::Variable;

/// Prefixes of our variables.
const PREFIXES: [&str; 5] = ["FAKTORY_", "API_", "COMPRESS_", "WORKER_", "BROKER_"];
/// A name that differs from one of ours by more is not taken for that one.
const DISTANCE_MAX: usize = 3;

/// A warning for each variable with a prefix of ours that is not known. No fault: orchestrators
/// inject some variables with such prefixes.
pub(super) fn warnings(
    environment: &Environment,
    known: impl Iterator<Item = &'static Variable> + Clone,
) -> Vec<String> {
    let is_unknown = |name: &&String| {
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !known.clone().any(|variable| variable.name == name.as_str())
            && environment.variables.get("FAKTORY_PROVIDER") != Some(name)
    };
    let warning = |name: &String| {
        let nearest = known
            .clone()
            .map(|variable| (strsim::damerau_levenshtein(name, variable.name), variable.name))
            .min();
        match nearest {
            Some((distance, meant)) if distance <= DISTANCE_MAX => {
                format!("{name} is not a known variable and has no effect; did you mean {meant}?")
            }
            _ => format!("{name} is not a known variable and has no effect"),
        }
    };
    environment.variables.keys().filter(is_unknown).map(warning).collect()
}
