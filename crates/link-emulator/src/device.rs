//! One end of the link: a TUN device in a namespace.

use std::io;
use std::net::Ipv4Addr;

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::namespace::{Namespace, ip};

/// The name of the device in each namespace.
const NAME: &str = "wf0";
/// The length of the device's queue, in packets. The default of 500 overflows silently under load.
const QUEUE: &str = "20000";
/// The MTU of Ethernet.
const MTU: u16 = 1500;

/// Makes the device of one end.
pub(crate) fn open(namespace: &Namespace, address: Ipv4Addr) -> io::Result<SyncDevice> {
    namespace.run(|| {
        let device = DeviceBuilder::new()
            .name(NAME)
            .mtu(MTU)
            .ipv4(address, 24, None)
            .enable(false)
            .build_sync()?;
        device.set_nonblocking(true)?;
        // Without an IPv6 address the kernel does not ask for routers, so the link counts only the
        // user's packets. A kernel without IPv6 refuses this command, and does not ask either.
        let _ = ip(&["link", "set", NAME, "addrgenmode", "none"]);
        // By `ip`: root of a user namespace may not use the ioctl of netdevice(7).
        ip(&["link", "set", NAME, "txqueuelen", QUEUE])?;
        device.enabled(true)?;
        Ok(device)
    })?
}

/// Chooses TCP's congestion control for connections through the device. The choice is made by a
/// route: as a namespace's default, some congestion controls need the host's permission
/// (`net.ipv4.tcp_allowed_congestion_control`).
pub(crate) fn choose_congestion(
    namespace: &Namespace,
    address: Ipv4Addr,
    name: &str,
) -> io::Result<()> {
    let [a, b, c, _] = address.octets();
    let network = format!("{a}.{b}.{c}.0/24");
    namespace.run(|| {
        ip(&[
            "route",
            "replace",
            &network,
            "dev",
            NAME,
            "src",
            &address.to_string(),
            "congctl",
            name,
        ])
    })?
}

/// The number of packets that the device itself has dropped in both directions since its creation.
pub(crate) fn drops(namespace: &Namespace) -> io::Result<u64> {
    let table = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    parse_drops(&table).ok_or_else(|| io::Error::other("/proc/net/dev does not list the device"))
}

/// Adds up the faults in `/proc/net/dev`. The columns of proc(5) are received bytes, packets, errs,
/// drop, fifo, frame, compressed, multicast, and then the same for sent packets.
fn parse_drops(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.trim().strip_prefix(NAME)?.strip_prefix(':'))?;
    let numbers: Vec<u64> =
        line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    Some([2, 3, 4, 10, 11, 12].into_iter().filter_map(|column| numbers.get(column)).sum())
}

#[cfg(test)]
mod tests {
    #[test]
    fn dropped_packets_and_errors_of_both_directions_are_added_up() {
        let table = "Inter-|   Receive\n face |bytes\n    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n   \
                     wf0: 1 1 2 3 4 0 0 0 5 5 6 7 8 0 0 0\n";
        assert_eq!(super::parse_drops(table), Some(2 + 3 + 4 + 6 + 7 + 8));
        assert_eq!(super::parse_drops("nothing"), None);
    }
}
