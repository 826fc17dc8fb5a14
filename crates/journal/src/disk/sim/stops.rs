//! A script that ends behind each operation of the disk in turn.

use super::SimDisk;

/// A script, and what it was told before its disk stopped.
pub trait Script {
    /// How far something was written: up to a record, or a commit.
    type Place: Copy;

    /// Runs; `None` where the disk stopped meanwhile.
    fn run(&mut self, disk: &SimDisk) -> Option<()>;

    /// What survives the end of the process, and what a loss of power.
    fn survives(&self) -> (Self::Place, Self::Place);

    /// Opens what is on a disk, and checks that it stands as the script left it at `least` or
    /// later; where it stands.
    fn check(&self, disk: &SimDisk, least: Self::Place, when: &str) -> Self::Place;
}

/// Runs a script once for each of its operations, behind which the disk stops, and once to its end.
/// Each time it is checked what a kill leaves, what a loss of power leaves, and what a loss of
/// power leaves after the store was opened behind a kill. Returns the number of operations.
///
/// # Panics
/// Where a check fails, or a script ends though its disk goes on.
pub fn stop_at_each_operation<S: Script>(begin: impl Fn() -> S) -> u64 {
    for stop in 0.. {
        let (disk, mut script) = (SimDisk::default(), begin());
        disk.stop_after(stop);
        let ran = script.run(&disk);
        assert!(ran.is_some() || disk.is_stopped(), "{stop}");
        let (after_kill, after_loss) = script.survives();
        let killed = disk.after_kill();
        let kept = script.check(&killed, after_kill, &format!("killed at {stop}"));
        for seed in 0..3 {
            let mut random = fastrand::Rng::with_seed(seed);
            let lost = disk.after_power_loss(&mut random);
            script.check(&lost, after_loss, &format!("without power at {stop}"));
            // What was read at a start is durable then.
            let later = killed.after_power_loss(&mut random);
            script.check(&later, kept, &format!("killed at {stop}, later without power"));
        }
        if !disk.is_stopped() {
            return stop;
        }
    }
    0
}
