//! What pushes are refused with, whatever their jobs are.

/// Where ids are not remembered, to a `WF PUSHB`.
pub(super) const NOTHING_REMEMBERED: &str =
    "unknown command WF PUSHB: this server remembers no ids (BROKER_DEDUP_WINDOW is 0)";
/// Where the disk is nearly full.
pub(super) const DISK_FULL: &str = "disk full: less than BROKER_MIN_FREE is left; try again later";
