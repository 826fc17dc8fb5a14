//! What makes a page readable, whatever its report says: nothing empty, nothing that collides,
//! nothing wider than the window, colours that can be told from the ground.

use serde_json::{Value, json};

use super::chromium::Scheme;
use super::expected::{list, text};

/// The least contrast of text, and of lines and bars, as WCAG 2.1 (AA) has it.
const TEXT_CONTRAST: f64 = 4.5;
const LINE_CONTRAST: f64 = 3.0;

/// Checks what a page shows in a window 1,280 pixels wide.
pub(super) fn are_good(page: &Value, scheme: Scheme) {
    assert_eq!(page["wrong"], json!([]), "script errors");
    assert_eq!(page["empty"], json!([]), "sections without content");
    let [scrolled, window] = [0, 1].map(|at| page["width"][at].as_f64().unwrap());
    assert!(window <= 1280.0 && scrolled <= window, "{scrolled} pixels in {window}");
    assert_eq!(page["scrolled"], json!(0), "tables wider than the page");
    colours_fit(page, scheme);
    for figure in list(page, "figures") {
        legend_is_below(figure);
        if figure["lines"].is_null() {
            assert!(!list(figure, "bars").is_empty(), "{figure}");
            continue;
        }
        let (id, lines) = (text(figure, "id"), &figure["lines"]);
        assert_eq!(lines["inked"], json!(true), "{id} is empty");
        for name in ["x", "y"] {
            labels_do_not_collide(&format!("{id}, {name}"), &lines[name]);
        }
        for (axis, place) in [("x", 0), ("y", 1)] {
            range_follows_the_data(id, lines, axis, place);
        }
    }
}

fn number(value: &Value, member: &str) -> f64 {
    value[member].as_f64().unwrap()
}

fn legend_is_below(figure: &Value) {
    let id = text(figure, "id");
    let entries = list(figure, "legend");
    assert!(!entries.is_empty() && entries.len() <= 4, "{id}: {} entries", entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let (place, holder) = (&entry["box"], &figure["box"]);
        assert!(
            number(place, "top") >= number(&figure["drawing"], "bottom") - 1.0,
            "{id}: the legend covers the chart"
        );
        assert!(
            number(place, "left") >= number(holder, "left")
                && number(place, "right") <= number(holder, "right")
                && number(place, "bottom") <= number(holder, "bottom"),
            "{id}: the legend is cut off"
        );
        assert!(number(entry, "size") >= 12.0, "{id}: {entry}");
        for other in &entries[at + 1..] {
            let other = &other["box"];
            let is_beside = number(other, "left") >= number(place, "right")
                || number(other, "right") <= number(place, "left")
                || number(other, "top") >= number(place, "bottom");
            assert!(is_beside, "{id}: entries of the legend collide");
        }
    }
}

fn labels_do_not_collide(name: &str, axis: &Value) {
    assert_eq!(axis["rotation"], json!(0), "{name}");
    let mut ticks: Vec<(f64, f64)> =
        list(axis, "ticks").iter().map(|tick| (number(tick, "from"), number(tick, "to"))).collect();
    assert!(!ticks.is_empty(), "{name} has no ticks");
    ticks.sort_by(|one, other| one.partial_cmp(other).unwrap());
    for pair in ticks.windows(2) {
        assert!(pair[0].1 + 2.0 <= pair[1].0, "{name}: labels collide: {axis}");
    }
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    assert!(
        first.0 >= -1.0 && last.1 <= number(axis, "room") + 1.0,
        "{name}: a label is cut off: {axis}"
    );
}

/// The data fill the axis: where all values are about the same, rates get a decade and other values
/// a tenth around them; beyond that, an axis has less than a step of 1, 2, 5 and 10 on each side.
fn range_follows_the_data(id: &str, lines: &Value, axis: &str, place: usize) {
    let values: Vec<f64> = list(lines, "series")
        .iter()
        .flat_map(|series| list(series, "points"))
        .map(|point| point[place].as_f64().unwrap())
        .collect();
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    let (min, max) = (number(&lines[axis], "min"), number(&lines[axis], "max"));
    let is_near = if min == 0.0 {
        max <= high * 2.0
    } else {
        let is_rate = id.starts_with("throughput");
        let spread: f64 = if is_rate { 10.0 } else { 1.1 };
        let grown = (spread * low / high).max(1.0).sqrt();
        let step = if high * grown <= 2.0 * low / grown { 1.5 } else { 2.51 };
        low / min <= step * grown && max / high <= step * grown
    };
    assert!(
        min <= low * 1.001 && max >= high * 0.999 && is_near,
        "{id}, {axis}: {min} to {max} for {low} to {high}"
    );
}

fn colours_fit(page: &Value, scheme: Scheme) {
    assert_eq!(page["is_dark"], json!(scheme == Scheme::Dark));
    let ground = luminance(text(page, "ground"));
    assert_eq!(ground < 0.2, scheme == Scheme::Dark, "{}", page["ground"]);
    let can_be_told = |colour: &str, least: f64, what: &str| {
        let found = contrast(luminance(colour), ground);
        assert!(found >= least, "{what}: {colour} has a contrast of {found:.1}");
    };
    for member in ["ink", "soft"] {
        can_be_told(text(page, member), TEXT_CONTRAST, member);
    }
    for tile in list(page, "tiles") {
        can_be_told(text(tile, "colour"), TEXT_CONTRAST, text(tile, "over"));
    }
    for figure in list(page, "figures") {
        let id = text(figure, "id");
        let legend = |name: &str| {
            let entry = list(figure, "legend").iter().find(|entry| text(entry, "text") == name);
            luminance(text(entry.unwrap_or_else(|| panic!("{id}: {name}")), "colour"))
        };
        for entry in list(figure, "legend") {
            can_be_told(text(entry, "colour"), LINE_CONTRAST, id);
        }
        if figure["lines"].is_null() {
            continue;
        }
        for axis in ["x", "y"] {
            can_be_told(text(&figure["lines"][axis], "colour"), TEXT_CONTRAST, id);
        }
        for series in list(&figure["lines"], "series") {
            let drawn = luminance(text(series, "colour"));
            assert!((drawn - legend(text(series, "name"))).abs() < 1e-6, "{id}: {series}");
        }
    }
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The relative luminance of `rgb(1, 2, 3)` or `#010203`.
fn luminance(colour: &str) -> f64 {
    let parts: Vec<f64> = match colour.strip_prefix('#') {
        Some(digits) => [0, 2, 4]
            .map(|at| f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()))
            .into(),
        None => {
            let inner = colour.strip_prefix("rgb(").unwrap().strip_suffix(')').unwrap();
            inner.split(", ").map(|part| part.parse().unwrap()).collect()
        }
    };
    let linear = |part: f64| {
        let part = part / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2])
}

#[test]
fn contrast_is_that_of_the_standard() {
    assert!((contrast(luminance("#ffffff"), luminance("rgb(0, 0, 0)")) - 21.0).abs() < 1e-9);
    assert!((contrast(luminance("#777777"), luminance("#ffffff")) - 4.48).abs() < 0.01);
}
