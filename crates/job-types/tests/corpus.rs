//! The savings of compression for the payloads in `corpus/`, with base64 and `custom.wf` counted.
//! The table is printed with `--nocapture`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use faktory_wire::RawJson;
use job_types::compress;

const KINDS: [&str; 4] = ["orders", "events", "documents", "log-lines"];
const SIZES: [&str; 4] = ["100B", "1KB", "10KB", "100KB"];
/// Bytes of the string's quotes, its brackets and `custom.wf`.
const AROUND: usize = 66;

fn payloads(kind: &str, size: &str) -> Vec<String> {
    let path = format!("{}/corpus/{kind}-{size}.ndjson", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn total(payloads: &[String]) -> usize {
    payloads.iter().map(String::len).sum()
}

fn saved(before: usize, after: usize) -> f64 {
    100.0 * (1.0 - after as f64 / before as f64)
}

/// The size of payloads as the API stores them: args that would grow stay as they are.
fn as_stored(payloads: &[String]) -> usize {
    let size = |args: &String| {
        let raw = RawJson::parse(args).unwrap();
        compress(&raw, None).map_or(args.len(), |compressed| {
            compressed.args.get().len() + compressed.custom.get().len() + "\"custom\":,".len()
        })
    };
    payloads.iter().map(size).sum()
}

/// The savings, in percent, with a dictionary made from one half of the payloads and used on the
/// other.
fn with_dictionary(payloads: &[String]) -> Option<f64> {
    let (history, new) = payloads.split_at(payloads.len() / 2);
    let dictionary = zstd::dict::from_samples(history, 16 << 10).ok()?;
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
    let size = |args: &String| {
        (compressor.compress(args.as_bytes()).unwrap().len().div_ceil(3) * 4 + AROUND)
            .min(args.len())
    };
    let after = new.iter().map(size).sum();
    Some(saved(total(new), after))
}

#[test]
fn payloads_of_each_kind_and_size_save_what_is_expected() {
    println!("| payload | mean size | saved | with a dictionary of its own history |");
    println!("|---|---|---|---|");
    for kind in KINDS {
        for size in SIZES {
            let payloads = payloads(kind, size);
            let saved = saved(total(&payloads), as_stored(&payloads));
            let trial = if payloads.len() < 50 { None } else { with_dictionary(&payloads) };
            let trial = trial.map_or_else(|| "–".to_owned(), |saved| format!("{saved:.0} %"));
            println!(
                "| {kind}, {size} | {} | {saved:.0} % | {trial} |",
                total(&payloads) / payloads.len()
            );
            let least = match (kind, size) {
                ("orders" | "log-lines", "10KB") => 75.0,
                ("events", "10KB") => 60.0,
                _ => 0.0,
            };
            assert!(saved >= least, "{kind} of {size} save only {saved:.1} %");
        }
    }
}
