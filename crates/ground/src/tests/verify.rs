//! A store is read without changing it, and all that was harmed is found.

use journal::Disk;
use journal::sim::SimDisk;

use super::damaged::{harm, store};
use super::{Model, all, open};
use crate::{GroundError, Verified, verify};

fn read(disk: &SimDisk) -> (Verified, Model) {
    let before = (disk.names().unwrap(), disk.counts());
    let (verified, contents) = verify(disk).unwrap();
    let mut model = Model::new();
    contents.each(&mut |key, value| assert!(model.insert(key, value).is_none())).unwrap();
    assert_eq!((disk.names().unwrap(), disk.counts()), before, "it was changed");
    (verified, model)
}

#[test]
fn a_store_is_read_as_opening_reads_it_and_what_keeps_it_from_that_is_found() {
    let (mut refused, mut aside) = (0, 0);
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, model) = store(&mut random);
        if seed % 10 == 0 {
            let (verified, found) = read(&disk);
            assert!(verified.is_whole(), "seed {seed}: {verified:?}");
            assert_eq!(found, model);
        }
        let harm = harm(&disk, &mut random);
        let (verified, found) = read(&disk);
        let context = format!("seed {seed}, {harm}: {verified:?}");
        match open(&disk.after_kill()) {
            Ok(ground) => {
                assert_eq!(all(&ground), found, "{context}");
                let is_bad = ground.bad_blocks() > 0;
                assert!(!is_bad || !verified.is_whole(), "{context}");
                assert!(is_bad || found == model, "{context}");
                aside += usize::from(is_bad);
            }
            Err(
                GroundError::Damaged { .. } | GroundError::Journal(journal::OpenError::Damaged(_)),
            ) => {
                assert!(!verified.is_whole(), "{context}");
                refused += 1;
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    assert!(refused > 200 && aside > 200, "{refused} {aside}");
}
