//! Networks: which clients are trusted, and which addresses are one client.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// The bits of an IPv6 address that a host does not choose by itself (RFC 4291, 2.5.1).
const HOST_BITS: u32 = 64;

/// The networks whose clients no limit for strangers concerns, beside the loopback addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nets {
    nets: Vec<IpNet>,
    has_loopback: bool,
}

impl Default for Nets {
    /// The loopback addresses alone.
    fn default() -> Self {
        Self { nets: Vec::new(), has_loopback: true }
    }
}

impl Nets {
    /// No network at all: clients on this machine are strangers too. For tests.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { nets: Vec::new(), has_loopback: false }
    }

    /// True for the loopback addresses, and for an address in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        (self.has_loopback && address.to_canonical().is_loopback()) || self.lists(address)
    }

    /// True for an address in one of the networks; the loopback addresses count as any other.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// True where there is no network.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// The networks as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.nets.iter()
    }
}

/// Reads a comma-separated list of networks and addresses, such as `10.0.0.0/8,192.0.2.7`.
///
/// # Errors
/// The part that is neither a network nor an address.
impl FromStr for Nets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let net = |part: &str| {
            let address = || part.parse::<IpAddr>().map(IpNet::from);
            part.parse().or_else(|_| address()).map_err(|_| part.to_owned())
        };
        let nets = parts.map(net).collect::<Result<_, _>>()?;
        Ok(Self { nets, ..Self::default() })
    }
}

/// The address that stands for a client: an IPv4 address as it is, of an IPv6 address the first
/// half, because a host chooses the other half as it likes. An IPv4 address in IPv6 form is the
/// IPv4 address.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses_in_either_form_and_always_the_loopback() {
        let nets: Nets = " 10.0.0.0/8, 192.0.2.7,2001:db8::/32,".parse().unwrap();
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8:1::9", "127.0.0.2"] {
            assert!(nets.contains(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::ffff:11.0.0.1"] {
            assert!(!nets.contains(ip(outside)), "{outside}");
        }
        let none = Nets::default();
        assert!(none.contains(ip("::1")) && !none.contains(ip("10.0.0.1")));
        assert!(!none.lists(ip("::1")) && none.is_empty());
        assert!(nets.lists(ip("::ffff:10.1.2.3")) && !nets.lists(ip("127.0.0.1")));
        assert!(!Nets::nobody().contains(ip("127.0.0.1")));
        assert_eq!("10.0.0.0/8,ten".parse::<Nets>(), Err("ten".into()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_client() {
        assert_eq!(client_of(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(client_of(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(client_of(ip("192.0.2.7")), ip("192.0.2.7"));
    }
}
