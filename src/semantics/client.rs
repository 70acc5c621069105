//! Who asks: the connection's other end, or whom the proxies in between name, as far as these are trusted.

// These are the types of addresses alone; `std::net` has sockets too.
use core::net::{IpAddr, SocketAddr};
use std::fmt;
use std::str::FromStr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies that are followed, from the nearest on.
const HOPS_MAX: usize = 16;

/// A network of addresses, such as `10.0.0.0/8`; an address alone is a network of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// The text is no network: expected an address with or without a number of bits, and no bit set beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7, without bits set beyond its prefix")]
pub struct InvalidNetwork;

impl Network {
    /// Whether the address lies in the network. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                masked(address.to_canonical(), self.prefix_bits) == self.address
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| InvalidNetwork)?,
            Some(_) => return Err(InvalidNetwork),
        };
        let network = Self { address, prefix_bits };
        if prefix_bits <= most && masked(address, prefix_bits) == address { Ok(network) } else { Err(InvalidNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix_bits)
    }
}

fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    let bits = u32::from(prefix_bits);
    match address {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)).into()),
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its port, where that is known.
    pub port: Option<u16>,
}

/// The client of a request that came over a connection from `peer`. While an address belongs to a trusted proxy, the one that
/// it names is taken instead: the last one of `X-Forwarded-For`, then the one before. `Forwarded` (RFC 7239) is read where
/// there is no `X-Forwarded-For`. What a proxy that is not trusted says counts for nothing, nor does what is no address.
pub fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[Network]) -> Client {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = Client { address: peer.ip().to_canonical(), port: Some(peer.port()) };
    if trusted.is_empty() || !is_trusted(client.address) {
        return client;
    }
    let forwarded = !headers.contains_key(X_FORWARDED_FOR);
    let lines = headers.get_all(if forwarded { FORWARDED } else { X_FORWARDED_FOR });
    // Each proxy appends the address that it was asked from, so the nearest one stands last.
    let hops = lines.iter().rev().filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(',')).take(HOPS_MAX);
    for hop in hops {
        let node = if forwarded { named(hop) } else { Some(hop.trim()) };
        let Some(next) = node.and_then(node_address) else { break };
        client = next;
        if !is_trusted(client.address) {
            break;
        }
    }
    client
}

/// The node of `for=` in one element of `Forwarded`, quotes taken off.
fn named(element: &str) -> Option<&str> {
    let node = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    Some(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// An address with or without a port; IPv6 may stand in brackets.
fn node_address(node: &str) -> Option<Client> {
    let plain = |address: IpAddr, port| Client { address: address.to_canonical(), port };
    if let Ok(address) = node.parse() {
        return Some(plain(address, None));
    }
    if let Ok(socket) = node.parse::<SocketAddr>() {
        return Some(plain(socket.ip(), Some(socket.port())));
    }
    let bracketed = node.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse().ok().map(|address| plain(address, None))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1/128", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "255.1.1.1", "::"),
        ] {
            let network: Network = text.parse().expect("a network");
            assert!(network.contains(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!network.contains(outside.parse().expect("an address")), "{text} {outside}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "localhost", "10/8"] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().map(|network| network.to_string()), Ok("10.0.0.0/8".to_owned()));
    }

    #[test]
    fn clients() {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
        for (peer, lines, expect) in [
            ("203.0.113.1:5", &[][..], "203.0.113.1:5"),
            ("203.0.113.1:5", &[("x-forwarded-for", "198.51.100.9")], "203.0.113.1:5"),
            ("127.0.0.1:5", &[("x-forwarded-for", "198.51.100.9")], "198.51.100.9"),
            ("[::ffff:127.0.0.1]:5", &[("x-forwarded-for", "198.51.100.9")], "198.51.100.9"),
            ("127.0.0.1:5", &[("x-forwarded-for", "6.6.6.6, 198.51.100.9")], "198.51.100.9"),
            ("127.0.0.1:5", &[("x-forwarded-for", "198.51.100.9, 10.1.2.3")], "198.51.100.9"),
            ("127.0.0.1:5", &[("x-forwarded-for", "198.51.100.9"), ("x-forwarded-for", "10.1.2.3")], "198.51.100.9"),
            ("127.0.0.1:5", &[("x-forwarded-for", "10.9.9.9, 10.1.2.3")], "10.9.9.9"),
            ("127.0.0.1:5", &[("x-forwarded-for", "unknown, 10.1.2.3")], "10.1.2.3"),
            ("127.0.0.1:5", &[("x-forwarded-for", "nonsense")], "127.0.0.1:5"),
            ("127.0.0.1:5", &[("x-forwarded-for", "198.51.100.9:4711")], "198.51.100.9:4711"),
            ("127.0.0.1:5", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
            ("127.0.0.1:5", &[("forwarded", "for=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1")], "[2001:db8::7]:4711"),
            ("127.0.0.1:5", &[("forwarded", "For=198.51.100.9, for=10.1.2.3")], "198.51.100.9"),
            ("127.0.0.1:5", &[("forwarded", "for=\"[2001:db8::7]\"")], "2001:db8::7"),
            ("127.0.0.1:5", &[("forwarded", "for=_hidden")], "127.0.0.1:5"),
            ("127.0.0.1:5", &[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "198.51.100.9")], "198.51.100.9"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let found = client(peer.parse().expect("a peer"), &headers, &trusted);
            let shown = found.port.map_or(found.address.to_string(), |port| SocketAddr::new(found.address, port).to_string());
            assert_eq!(shown, expect, "{peer} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_strangers_name_nobody(line in proptest::collection::vec(any::<u8>(), 0..60), forwarded in any::<bool>()) {
            let mut headers = HeaderMap::new();
            let name = if forwarded { FORWARDED } else { X_FORWARDED_FOR };
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.insert(name, value);
            }
            let trusted = ["10.0.0.0/8".parse().expect("a network")];
            let _ = client("10.0.0.1:1".parse().expect("a peer"), &headers, &trusted);
            let peer = "192.0.2.1:1".parse().expect("a peer");
            prop_assert_eq!(client(peer, &headers, &trusted).address, peer.ip());
        }
    }
}
