//! A store is copied while it goes on, at every operation of the copying.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use journal::sim::{SimDisk, SimFile};
use journal::{Disk, DiskFile};

use super::{Model, all, open};
use crate::{Change, Ground, GroundError, Key, backup, verify};

/// A store that goes on whenever somebody else reads its disk.
struct Going {
    ground: Ground<SimDisk>,
    random: fastrand::Rng,
    /// The store after each commit, the first one as it was when the copying began.
    commits: Vec<Model>,
    model: Model,
    /// So many steps are left, and so many are done at each operation at most.
    left: usize,
    at_once: usize,
}

impl Going {
    fn change(&mut self) {
        let key = super::key(&mut self.random);
        let value = Bytes::from(vec![self.random.u8(..); self.random.usize(..600)]);
        let value = (self.random.u8(..4) != 0).then_some(value);
        super::set(&mut self.ground, &mut self.model, key, value);
    }

    fn step(&mut self) {
        match self.random.u8(..10) {
            0..5 => self.change(),
            5 if self.random.u8(..40) == 0 => {
                self.ground.change(Change::Clear);
                self.model.clear();
            }
            5 | 6 => {
                self.ground.commit().unwrap();
                self.commits.push(self.model.clone());
            }
            7 => self.ground.flush(),
            _ => drop(self.ground.work().unwrap()),
        }
    }

    /// Everything that was committed is durable, and in files or on its way there.
    fn go_on(&mut self) {
        let steps = self.random.usize(..=self.at_once).min(self.left);
        self.left -= steps;
        (0..steps).for_each(|_| self.step());
    }
}

/// The disk of such a store as another process reads it, or that of the copy.
struct Other {
    disk: SimDisk,
    going: Option<Arc<Mutex<Going>>>,
    can_link: bool,
}

struct OtherFile(SimFile, Option<Arc<Mutex<Going>>>);

fn go_on(going: Option<&Arc<Mutex<Going>>>) {
    going.into_iter().for_each(|going| going.lock().unwrap().go_on());
}

impl Disk for Other {
    type File = OtherFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<OtherFile> {
        go_on(self.going.as_ref());
        Ok(OtherFile(self.disk.open(name)?, self.going.clone()))
    }

    fn create(&self, name: &str) -> io::Result<OtherFile> {
        assert!(self.going.is_none(), "nothing is made there");
        Ok(OtherFile(self.disk.create(name)?, None))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        assert!(self.going.is_none());
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        assert!(self.going.is_none());
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }

    fn link(&self, name: &str, to: &Self) -> io::Result<bool> {
        go_on(self.going.as_ref());
        let bytes = self.disk.bytes(name).ok_or(io::ErrorKind::NotFound)?;
        if self.can_link {
            let file = to.disk.create(name)?;
            file.write_at(0, &bytes)?;
            file.sync()?;
        }
        Ok(self.can_link)
    }
}

impl DiskFile for OtherFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    /// A part at a time: what is read is not from one moment.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut at = at;
        for part in into.chunks_mut(5000) {
            go_on(self.1.as_ref());
            self.0.read_at(at, part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

fn going(seed: u64, left: usize, at_once: usize) -> (SimDisk, Going) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::default();
    let ground = open(&disk).unwrap();
    let (model, commits) = (Model::new(), Vec::new());
    let mut going = Going { ground, random: random.fork(), commits, model, left: 0, at_once };
    for _ in 0..random.usize(..3000) {
        going.step();
    }
    going.ground.commit().unwrap();
    (going.commits, going.left) = (vec![going.model.clone()], left);
    (disk, going)
}

#[test]
fn a_copy_has_all_that_was_committed_when_it_began_whatever_the_store_does_meanwhile() {
    let (mut later, mut again) = (0, 0);
    for seed in 0..300 {
        // So much that checkpoints take back what is being copied, again and again.
        let (disk, going) = going(seed, 2000, [5, 40, 200][(seed % 3) as usize]);
        let going = Arc::new(Mutex::new(going));
        let from = Other { disk, going: Some(Arc::clone(&going)), can_link: seed % 2 == 0 };
        let to = Other { disk: SimDisk::default(), going: None, can_link: false };
        let tries = backup(&from, &to).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        again += usize::from(tries > 1);

        // Whatever the power does now.
        let copy = to.disk.after_power_loss(&mut fastrand::Rng::with_seed(seed));
        let (verified, _) = verify(&copy).unwrap();
        assert!(verified.is_whole() && verified.journal.tail.is_none(), "{seed}: {verified:?}");
        let mut copied = open(&copy).unwrap();
        let found = all(&copied);
        let mut going = going.lock().unwrap();
        let place = going.commits.iter().position(|model| *model == found);
        later += usize::from(place.unwrap_or_else(|| panic!("seed {seed}: it never stood so")) > 0);
        // Both go on, each by itself.
        copied.change(Change::Remove(Key::FIRST));
        copied.close().unwrap();
        going.ground.close().unwrap();
        assert_eq!((all(&going.ground), all(&copied)), (going.model.clone(), found));
    }
    assert!(later > 100 && again > 50, "{later} {again}");
}

#[test]
fn what_is_damaged_and_can_not_be_copied_is_told_and_so_is_a_full_disk() {
    let (mut refused, mut less) = (0, 0);
    for seed in 0..300 {
        let (disk, mut going) = going(seed, 0, 0);
        going.ground.close().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let harm = super::damaged::harm(&disk, &mut random);
        let to = SimDisk::default();
        match backup(&disk, &to) {
            Ok(_) => {
                let (verified, _) = verify(&to).unwrap();
                less += usize::from(!verified.is_whole());
                let is_same = open(&to).is_ok_and(|copy| all(&copy) == going.model);
                assert!(is_same || !verified.is_whole(), "seed {seed}, {harm}");
            }
            Err(GroundError::Damaged { .. } | GroundError::Journal(_)) => refused += 1,
            Err(error) => panic!("seed {seed}, {harm}: {error}"),
        }
    }
    assert!(refused > 50 && less > 50, "{refused} {less}");

    let (disk, _) = going(1, 0, 0);
    let to = SimDisk::default();
    to.refuse(journal::sim::Action::Write, io::ErrorKind::StorageFull, 1);
    let error = backup(&disk, &to).unwrap_err().to_string();
    assert!(error.ends_with("no storage space"), "{error}");
    assert_eq!(backup(&disk, &to).unwrap(), 1);
}
