//! The check of clients' passwords. A check costs thousands of hashes, and anybody may ask for one,
//! so only a few run at a time, the clients take turns, and who fails often is refused late.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use admission::client_of;
use faktory_wire::password_hash;
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::BrokerConfig;
use crate::turned_away::TurnedAway;

/// The checks that run at a time. Each takes one to two milliseconds of one processor, so that the
/// most connections that there may be (2,000) are checked within the time for a handshake (2 s).
/// More at a time would take processors from the connections that are served.
const CHECKS: usize = 2;
/// The characters of a hash: SHA-256 in hex.
const HASH_LEN: usize = 64;

/// The challenge to a client that must know the password: the salt of this connection, and the
/// number of hashes to compute.
pub(super) struct Challenge {
    pub(super) iterations: u32,
    pub(super) salt: String,
}

impl Challenge {
    pub(super) fn new() -> Self {
        Self {
            iterations: fastrand::u32(4000..8096),
            salt: format!("{:x}", fastrand::u64(..) >> 1),
        }
    }

    /// True where a client answered with the hash of the password. The comparison takes the same
    /// time wherever the hashes differ.
    fn is_met(&self, password: &str, hash: &str) -> bool {
        let expected = password_hash(password, &self.salt, self.iterations);
        expected.as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

/// True for what a client that computed a hash sends, right or wrong.
fn is_hash(text: &str) -> bool {
    text.len() == HASH_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The password of a broker, and what all its connections share for the check.
pub(crate) struct Passwords {
    password: String,
    checks: Arc<Semaphore>,
    turns: Arc<Turns>,
    turned_away: Arc<TurnedAway>,
}

impl Passwords {
    /// The check for a broker with this configuration; `None` where it has no password.
    pub(crate) fn new(config: &BrokerConfig, turned_away: Arc<TurnedAway>) -> Option<Self> {
        Some(Self {
            password: config.password.clone()?,
            checks: Arc::new(Semaphore::new(CHECKS)),
            turns: Arc::default(),
            turned_away,
        })
    }

    /// True where the client knows the password. Waits for its turn: of each client, one check at
    /// most stands in the queue, so that its guesses do not hold up other clients. Dropped, the
    /// check is given up; a hash that is being computed keeps its place until it is done.
    pub(super) async fn check(&self, client: IpAddr, challenge: Challenge, hash: &str) -> bool {
        if !is_hash(hash) {
            return false;
        }
        let turn = Turns::take(&self.turns, client_of(client)).await;
        let Ok(place) = Arc::clone(&self.checks).acquire_owned().await else { return false };
        drop(turn);
        let (password, hash) = (self.password.clone(), hash.to_owned());
        // Hashing takes milliseconds, so it runs on a thread that serves no connections.
        let checking = tokio::task::spawn_blocking(move || {
            let is_met = challenge.is_met(&password, &hash);
            drop(place);
            is_met
        });
        checking.await.unwrap_or(false)
    }

    /// Notes a wrong password, and waits before the refusal of a client that fails often.
    pub(super) async fn refuse(&self, client: IpAddr) {
        let refusal = self.turned_away.note_wrong_password(client);
        if let Some(wait) = refusal.wait {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whose checks wait: at most one of each client stands in the queue for the checks, so that
/// clients take turns, whatever the number of their connections.
#[derive(Default)]
struct Turns(Mutex<HashMap<IpAddr, Waiting>>);

/// The checks of one client.
struct Waiting {
    one: Arc<Semaphore>,
    /// The checks that have or want the turn; at most one for each connection.
    count: usize,
}

/// The turn of a client.
struct Turn {
    // Given up before the interest, which may take the client's entry along.
    _permit: Option<OwnedSemaphorePermit>,
    _interest: Interest,
}

/// One check's part of the client's entry, which goes with the last check.
struct Interest {
    turns: Arc<Turns>,
    client: IpAddr,
}

impl Turns {
    fn waiting(&self) -> MutexGuard<'_, HashMap<IpAddr, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(turns: &Arc<Self>, client: IpAddr) -> Turn {
        let (one, interest) = {
            let mut waiting = turns.waiting();
            let new = || Waiting { one: Arc::new(Semaphore::new(1)), count: 0 };
            let entry = waiting.entry(client).or_insert_with(new);
            entry.count += 1;
            (Arc::clone(&entry.one), Interest { turns: Arc::clone(turns), client })
        };
        // The semaphore is never closed.
        Turn { _permit: one.acquire_owned().await.ok(), _interest: interest }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        if let Some(entry) = waiting.get_mut(&self.client) {
            entry.count -= 1;
            if entry.count == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn passwords() -> Passwords {
        let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "unused".into());
        config.password = Some("secret".into());
        let turned_away = Arc::new(TurnedAway::new(&config));
        Passwords::new(&config, turned_away).unwrap()
    }

    #[test]
    fn only_the_whole_hash_of_the_right_password_meets_a_challenge() {
        let challenge = Challenge::new();
        let hash = password_hash("secret", &challenge.salt, challenge.iterations);
        assert!(challenge.is_met("secret", &hash));
        assert!(!challenge.is_met("other", &hash));
        assert!(!challenge.is_met("secret", &hash[1..]));
        assert!(!challenge.is_met("secret", &format!("{hash}0")));
        assert!(!challenge.is_met("secret", ""));
    }

    #[test]
    fn each_connection_gets_a_salt_of_its_own() {
        let challenges: Vec<Challenge> = (0..100).map(|_| Challenge::new()).collect();
        let salts: std::collections::HashSet<_> =
            challenges.iter().map(|challenge| &challenge.salt).collect();
        assert_eq!(salts.len(), 100);
        assert!(challenges.iter().all(|challenge| (4000..8096).contains(&challenge.iterations)));
    }

    #[tokio::test]
    async fn what_is_no_hash_is_wrong_at_once_and_takes_no_place() {
        let passwords = passwords();
        let _all = passwords.checks.try_acquire_many(2).unwrap();
        let upper = "A".repeat(HASH_LEN);
        for text in ["", "secret", &"0".repeat(HASH_LEN - 1), &"0".repeat(HASH_LEN + 1), &upper] {
            let checked = passwords.check(ip(1), Challenge::new(), text).now_or_never();
            assert_eq!(checked, Some(false), "{text}");
        }
        let hash = "0".repeat(HASH_LEN);
        assert_eq!(passwords.check(ip(1), Challenge::new(), &hash).now_or_never(), None);
        assert!(passwords.turns.waiting().is_empty(), "the check was given up");
    }

    #[tokio::test]
    async fn the_guesses_of_one_client_do_not_stand_before_another_client() {
        let passwords = Arc::new(passwords());
        let places = Arc::clone(&passwords.checks).acquire_many_owned(2).await.unwrap();
        let mut guesses = Vec::new();
        for _ in 0..100 {
            let passwords = Arc::clone(&passwords);
            let mut guess = Box::pin(async move {
                passwords.check(ip(1), Challenge::new(), &"0".repeat(HASH_LEN)).await
            });
            assert!(guess.as_mut().now_or_never().is_none());
            guesses.push(guess);
        }
        let challenge = Challenge::new();
        let hash = password_hash("secret", &challenge.salt, challenge.iterations);
        let mut right = Box::pin(passwords.check(ip(2), challenge, &hash));
        assert!(right.as_mut().now_or_never().is_none(), "no place is free");
        // The guesses are not polled: those that stood before this client would keep the places.
        drop(places);
        let patience = std::time::Duration::from_secs(30);
        assert_eq!(tokio::time::timeout(patience, right).await, Ok(true));
        drop(guesses);
        assert!(passwords.turns.waiting().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_waits_and_the_right_password_from_the_same_address_does_not() {
        let passwords = passwords();
        let begin = tokio::time::Instant::now();
        for _ in 0..7 {
            passwords.refuse(ip(1)).await;
        }
        assert_eq!(begin.elapsed().as_millis(), 100 + 200 + 400 + 800);
        let begin = tokio::time::Instant::now();
        let challenge = Challenge::new();
        let hash = password_hash("secret", &challenge.salt, challenge.iterations);
        assert!(passwords.check(ip(1), challenge, &hash).await);
        assert!(begin.elapsed().is_zero());
    }
}
