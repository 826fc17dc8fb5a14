//! The memory of a NAT: the flows that are alive. The NAT forgets a flow that was idle too long,
//! and drops the packets of unknown flows.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// A flow: both ends, in an order that is the same for both directions, and the protocol.
type Flow = ((Ipv4Addr, u16), (Ipv4Addr, u16), u8);

const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The flows of a link.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    idle: Option<Duration>,
    last_seen: HashMap<Flow, Instant>,
}

/// The part of a packet that a NAT looks at.
struct Packet {
    flow: Flow,
    /// Whether the packet begins a flow.
    opens: bool,
}

/// The most flows in memory; the memory of a real NAT is bounded too.
const FLOWS_MAX: usize = 65_536;

impl Flows {
    /// Forgets, from now on, flows that were idle for this time; `None` forgets no flow.
    pub(crate) fn forget_idle(&mut self, idle: Option<Duration>) {
        self.idle = idle;
        self.last_seen.clear();
    }

    /// Whether a packet passes. Only packets from the inside, which is the near side, begin flows.
    pub(crate) fn pass(&mut self, packet: &[u8], now: Instant, is_from_inside: bool) -> bool {
        let Some(idle) = self.idle else { return true };
        // Packets of other protocols than TCP and UDP pass.
        let Some(packet) = parse(packet) else { return true };
        let known = self
            .last_seen
            .get(&packet.flow)
            .is_some_and(|seen| now.saturating_duration_since(*seen) < idle);
        if known || (packet.opens && is_from_inside) {
            if self.last_seen.len() >= FLOWS_MAX {
                self.last_seen.retain(|_, seen| now.saturating_duration_since(*seen) < idle);
            }
            self.last_seen.insert(packet.flow, now);
            return true;
        }
        self.last_seen.remove(&packet.flow);
        false
    }
}

/// Parses IPv4 (RFC 791) and the first bytes of TCP (RFC 9293) or UDP, which both begin with the
/// ports.
fn parse(packet: &[u8]) -> Option<Packet> {
    let first = *packet.first()?;
    if first >> 4 != 4 {
        return None;
    }
    let protocol = *packet.get(9)?;
    let address =
        |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let rest = packet.get(usize::from(first & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let (from, to) = ((address(12)?, port(0)?), (address(16)?, port(2)?));
    let opens = match protocol {
        TCP => *rest.get(13)? & (SYN | ACK) == SYN,
        UDP => true,
        _ => return None,
    };
    Some(Packet { flow: (from.min(to), from.max(to), protocol), opens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(from: u8, to: u8, flags: u8) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&[10, 0, 0, from]);
        packet[16..20].copy_from_slice(&[10, 0, 0, to]);
        packet[20..22].copy_from_slice(&[from, from]);
        packet[22..24].copy_from_slice(&[to, to]);
        packet[33] = flags;
        packet
    }

    #[test]
    fn a_flow_lives_while_it_is_used_in_either_direction_and_is_forgotten_after_silence() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut flows = Flows::default();
        assert!(flows.pass(&tcp(1, 2, ACK), at(0), true), "without a NAT, all packets pass");
        flows.forget_idle(Some(Duration::from_secs(10)));
        assert!(!flows.pass(&tcp(1, 2, ACK), at(0), true), "the NAT has not seen this flow begin");
        assert!(flows.pass(&tcp(1, 2, SYN), at(0), true));
        assert!(flows.pass(&tcp(2, 1, SYN | ACK), at(1), false));
        assert!(flows.pass(&tcp(1, 2, ACK), at(10), true));
        assert!(flows.pass(&tcp(2, 1, ACK), at(19), false));
        assert!(!flows.pass(&tcp(1, 2, ACK), at(29), true), "ten seconds of silence");
        assert!(!flows.pass(&tcp(2, 1, ACK), at(30), false));
        assert!(!flows.pass(&tcp(2, 1, SYN), at(31), false), "the outside begins no flow");
        assert!(flows.pass(&tcp(1, 2, SYN), at(31), true));
        assert!(flows.pass(&[0x60; 40], at(31), true), "IPv6 passes");
    }
}
