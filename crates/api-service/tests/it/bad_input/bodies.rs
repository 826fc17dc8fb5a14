//! Bodies that are no JSON object, and paths that take none.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row("/jobs", "", 400, "malformed_json", "-", "empty"),
    Row("/jobs", "{", 400, "malformed_json", "-", "line 1, column 1"),
    Row("/jobs", "{\n\"a\": tru }", 400, "malformed_json", "-", "line 2, column"),
    Row("/jobs/add", r#"{"a":NaN,"b":1}"#, 400, "malformed_json", "-", "line 1"),
    Row("/jobs/add", r#"{"a":Infinity,"b":1}"#, 400, "malformed_json", "-", "line 1"),
    Row("/jobs/add", r#"{"a":01,"b":1}"#, 400, "malformed_json", "-", "line 1"),
    Row("/jobs/add", r#"{"a":1,"b":2} trailing"#, 400, "malformed_json", "-", "line 1, column 15"),
    Row(
        "/jobs/add",
        "{\"a\":\"line\nbreak\",\"b\":1}",
        400,
        "malformed_json",
        "-",
        "control character",
    ),
    Row("/jobs/add", "[1,2]", 422, "not_an_object", "", "an object, not an array"),
    Row("/jobs/add", "7", 422, "not_an_object", "", "an object, not a number"),
    Row("/nope", "{}", 404, "not_found", "-", "POST /jobs"),
    Row("/health", "{}", 405, "method_not_allowed", "-", "POST is not accepted"),
];
