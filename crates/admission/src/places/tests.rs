mod simulation;

use std::time::Duration;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn places(total: usize, strangers: usize) -> Arc<Places<u32>> {
    Places::new(PlaceLimits { total, strangers }, Nets::default(), 1)
}

fn known(place: Place<u32>) -> Place<u32> {
    assert!(place.authenticated());
    place
}

/// The place, and the name of the connection that lost its own.
fn enter(places: &Arc<Places<u32>>, from: &str, name: u32, now: Instant) -> (Place<u32>, u32) {
    match places.enter(ip(from), name, now) {
        Entry::Admitted { place, instead_of } => (place, instead_of.unwrap_or_default()),
        Entry::Full => panic!("full"),
    }
}

#[test]
fn a_stranger_takes_the_place_of_the_client_that_has_most_and_never_of_one_that_is_known() {
    let places = places(10, 3);
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    let friend = known(enter(&places, "192.0.2.1", 1, start).0);
    let (_lone, _) = enter(&places, "192.0.2.2", 2, start);
    let (_a, _) = enter(&places, "192.0.2.3", 3, start);
    let (_b, _) = enter(&places, "192.0.2.3", 4, start);
    assert_eq!((places.open(), places.strangers()), (4, 3));
    let (_new, lost) = enter(&places, "192.0.2.4", 5, later);
    assert!(lost == 3 || lost == 4, "{lost}");
    assert_eq!((places.open(), places.strangers()), (4, 3));
    assert!(friend.authenticated());
    drop(friend);
    assert_eq!(places.open(), 3);
}

#[test]
fn the_addresses_of_one_ipv6_network_are_one_client() {
    let start = Instant::now();
    for seed in 0..50 {
        let limits = PlaceLimits { total: 10, strangers: 3 };
        let places: Arc<Places<u32>> = Places::new(limits, Nets::default(), seed);
        let (_a, _) = enter(&places, "2001:db8::1", 1, start);
        let (_b, _) = enter(&places, "2001:db8::2", 2, start);
        let (_lone, _) = enter(&places, "2001:db8:0:1::1", 3, start);
        let (_new, lost) = enter(&places, "192.0.2.4", 4, start + Duration::from_secs(1));
        assert!(lost == 1 || lost == 2, "seed {seed}: {lost}");
    }
}

#[test]
fn a_young_connection_loses_its_place_only_where_more_than_half_are_young() {
    let start = Instant::now();
    for seed in 0..50 {
        let limits = PlaceLimits { total: 9, strangers: 4 };
        let places: Arc<Places<u32>> = Places::new(limits, Nets::default(), seed);
        let (_first, _) = enter(&places, "192.0.2.1", 1, start);
        let (_second, _) = enter(&places, "192.0.2.2", 2, start);
        let now = start + waiting::YOUNG;
        let (_a, _) = enter(&places, "192.0.2.3", 3, now);
        let (_b, _) = enter(&places, "192.0.2.3", 4, now);
        let (_c, lost) = enter(&places, "192.0.2.4", 5, now);
        assert!(lost == 1 || lost == 2, "seed {seed}: {lost}");
        let (_d, lost) = enter(&places, "192.0.2.5", 6, now);
        assert!(lost == 3 || lost == 4, "seed {seed}: {lost}, of the client that has most");
    }
}

#[test]
fn clients_in_trusted_networks_count_in_the_total_alone() {
    let places = places(4, 1);
    let start = Instant::now();
    let (_stranger, _) = enter(&places, "192.0.2.1", 1, start);
    let mut local = Vec::new();
    for name in 2..=4 {
        let (place, lost) = enter(&places, "127.0.0.1", name, start);
        assert_eq!(lost, 0);
        local.push(place);
    }
    let (fifth, lost) = enter(&places, "127.0.0.1", 5, start);
    assert_eq!(lost, 1, "strangers make room first");
    let (_sixth, lost) = enter(&places, "127.0.0.1", 6, start);
    assert!((2..=5).contains(&lost), "then those that have not shown who they are: {lost}");
    assert_eq!((places.open(), places.strangers()), (4, 0));
    drop(fifth);
}

#[test]
fn a_new_connection_is_refused_where_every_place_belongs_to_a_known_client() {
    let places = places(2, 2);
    let start = Instant::now();
    let friends: Vec<_> =
        (1..=2).map(|name| known(enter(&places, "192.0.2.1", name, start).0)).collect();
    assert!(matches!(places.enter(ip("127.0.0.1"), 3, start), Entry::Full));
    assert!(matches!(places.enter(ip("192.0.2.2"), 3, start), Entry::Full));
    drop(friends);
    assert_eq!(places.open(), 0);
}

#[test]
fn a_place_that_was_lost_is_not_freed_a_second_time() {
    let places = places(1, 1);
    let start = Instant::now();
    let (first, _) = enter(&places, "192.0.2.1", 1, start);
    let (second, lost) = enter(&places, "192.0.2.2", 2, start);
    assert_eq!(lost, 1);
    assert!(!first.authenticated());
    drop(first);
    assert_eq!(places.open(), 1);
    let (third, lost) = enter(&places, "192.0.2.3", 3, start);
    assert_eq!(lost, 2);
    drop(second);
    assert_eq!(places.open(), 1);
    drop(third);
    assert_eq!((places.open(), places.strangers()), (0, 0));
}

#[test]
fn a_thousand_clients_from_one_address_all_find_a_place_at_once() {
    let places = places(2000, 1000);
    let start = Instant::now();
    let entered: Vec<_> = (0..1000).map(|name| enter(&places, "192.0.2.1", name, start)).collect();
    assert!(entered.iter().all(|(_, lost)| *lost == 0));
    let served: Vec<_> = entered.into_iter().map(|(place, _)| known(place)).collect();
    assert_eq!((places.open(), places.strangers()), (1000, 0));
    drop(served);
}

#[test]
fn half_of_the_total_and_at_most_two_thousand_places_are_for_strangers() {
    for (total, strangers) in [(1, 1), (100, 50), (2000, 1000), (10_000, 2000)] {
        assert_eq!(PlaceLimits::of_total(total), PlaceLimits { total, strangers });
    }
}
