//! A page in headless Chromium, without network: what its scripts drew, as the probe found it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::skip;

const ERRORS: &str = include_str!("errors.js");
const PROBE: &str = include_str!("probe.js");

/// What the reader's system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Light,
    Dark,
}

/// What a page shows in a window 1,280 pixels wide; `None` where there is no Chromium.
pub(super) fn open(page: &str, scheme: Scheme) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let probed = folder.path().join("probed.html");
    for outside in ["src=\"http", "url(http", "@import", "sourceMappingURL"] {
        assert!(!page.contains(outside), "the page asks for {outside}");
    }
    let with_probe = page
        .replacen("</title>", &format!("</title><script>{ERRORS}</script>"), 1)
        .replace("</body>", &format!("<script>{PROBE}</script></body>"));
    std::fs::write(&probed, with_probe).unwrap();
    let output = match chromium(folder.path(), &probed, scheme).output() {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("chromium can't be run: {error}"));
            return None;
        }
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    let found =
        dom.split_once("<pre id=\"probe\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((json, _)) = found else {
        panic!("the page's scripts did not finish: {}", String::from_utf8_lossy(&output.stderr))
    };
    let json = json
        .replace("&nbsp;", "\u{a0}")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(serde_json::from_str(&json).unwrap())
}

fn chromium(folder: &Path, page: &Path, scheme: Scheme) -> Command {
    let scheme = match scheme {
        Scheme::Dark => 0,
        Scheme::Light => 1,
    };
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,1600"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", page.display()));
    chromium
}
