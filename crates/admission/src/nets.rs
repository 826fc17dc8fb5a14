//! Networks: which clients are trusted, and which addresses are one client.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

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

/// Reads a comma-separated list of networks and addresses, such as `10.0.0.0/8,192.0.2.7`. An IPv4
/// network in IPv6 form (`::ffff:10.0.0.0/104`) is the IPv4 network.
///
/// # Errors
/// The part that is neither a network nor an address, or one in the IPv6 form of IPv4 that covers
/// more than all of IPv4 (its prefix is shorter than 96 bits).
impl FromStr for Nets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let net = |part: &str| {
            let address = || part.parse::<IpAddr>().map(IpNet::from);
            let net = part.parse().or_else(|_| address()).ok().and_then(canonical);
            net.ok_or_else(|| part.to_owned())
        };
        let nets = parts.map(net).collect::<Result<_, _>>()?;
        Ok(Self { nets, ..Self::default() })
    }
}

/// The bits before the IPv4 address in its IPv6 form (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// The network in the form in which addresses are compared; `None` where it has none.
fn canonical(net: IpNet) -> Option<IpNet> {
    let IpAddr::V6(address) = net.addr() else { return Some(net) };
    let Some(address) = address.to_ipv4_mapped() else { return Some(net) };
    let prefix = net.prefix_len().checked_sub(MAPPED_BITS)?;
    Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
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
    fn an_ipv4_network_in_ipv6_form_is_the_ipv4_network() {
        let nets: Nets = "::ffff:10.0.0.0/104,::ffff:192.0.2.7".parse().unwrap();
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7"] {
            assert!(nets.lists(ip(inside)), "{inside}");
        }
        assert!(!nets.lists(ip("11.0.0.1")) && !nets.lists(ip("192.0.2.8")));
        let all: Nets = "::ffff:0.0.0.0/96".parse().unwrap();
        assert!(all.lists(ip("192.0.2.7")) && !all.lists(ip("2001:db8::1")));
        let part = "::ffff:10.0.0.0/95";
        assert_eq!(part.parse::<Nets>(), Err(part.into()));
        assert!("::/0".parse::<Nets>().unwrap().lists(ip("2001:db8::1")));
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_are_one_client() {
        assert_eq!(client_of(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(client_of(ip("2001:db8:1:3:ffff::")), ip("2001:db8:1:3::"));
        assert_eq!(client_of(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(client_of(ip("192.0.2.7")), ip("192.0.2.7"));
    }
}
