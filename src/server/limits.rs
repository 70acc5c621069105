//! What clients of a listener may do, and what a request's head is refused for.

use http::{HeaderMap, Uri};

use super::refusal::Refusal;
use crate::semantics::Network;

/// What clients of a listener may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once from one address, or one network of 64 bits of IPv6; 0: as many as there may be in all.
    pub address_connections_max: usize,
    /// Requests a second from one address, as a network too; four seconds' worth may come at once. 0: any number.
    pub address_requests_max: u32,
    /// Addresses that stand for many clients: the two limits above do not hold for them.
    pub unlimited: Vec<Network>,
    /// What the head of a request may have.
    pub head: HeadLimits,
    /// Requests at once on a connection of HTTP/2.
    pub streams_max: u32,
    /// Bytes a second that a client must take while something waits for it, on average over the time that a connection may
    /// idle; 0: any number.
    pub send_rate_min: u64,
    /// Whether requests may bring a body. Where not, a connection of HTTP/1.1 ends with a request that brings a long one.
    pub takes_bodies: bool,
}

/// What the head of a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Fields.
    pub fields_max: usize,
    /// Bytes of target and fields, names and values.
    pub bytes_max: usize,
    /// Bytes of the target.
    pub target_bytes_max: usize,
}

/// Hyper gives up heads of more fields by itself.
pub const FIELDS_MAX: usize = 100;

impl Limits {
    /// Those that hold where nothing else is said; bodies are taken.
    pub const USUAL: Self = Self {
        address_connections_max: 0,
        address_requests_max: 0,
        unlimited: Vec::new(),
        head: HeadLimits { fields_max: FIELDS_MAX, bytes_max: 16 << 10, target_bytes_max: 8 << 10 },
        streams_max: 128,
        send_rate_min: 0,
        takes_bodies: true,
    };
}

impl HeadLimits {
    /// Why a head is refused, if it is.
    pub(super) fn refusal(&self, target: &Uri, headers: &HeaderMap) -> Option<Refusal> {
        let target_bytes = target.path().len() + target.query().map_or(0, |query| query.len() + 1);
        if target_bytes > self.target_bytes_max {
            return Some(Refusal::TargetTooLong);
        }
        if headers.len() > self.fields_max {
            return Some(Refusal::TooManyFields);
        }
        let fields_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        (target_bytes + fields_bytes > self.bytes_max).then_some(Refusal::HeadTooLarge)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn heads() {
        let limits = HeadLimits { fields_max: 3, bytes_max: 100, target_bytes_max: 20 };
        let fields = |count: usize, length: usize| {
            let mut headers = HeaderMap::new();
            for index in 0..count {
                let name = HeaderName::from_bytes(format!("x{index}").as_bytes()).expect("a name");
                headers.append(name, HeaderValue::from_str(&"v".repeat(length)).expect("a value"));
            }
            headers
        };
        for (target, headers, expect) in [
            ("/", fields(0, 0), None),
            ("/234567890123456789?", fields(0, 0), None),
            ("/23456789?1234567890", fields(3, 5), None),
            ("/23456789?12345678901", fields(0, 0), Some(Refusal::TargetTooLong)),
            ("http://a.very.long.host.com/", fields(0, 0), None),
            ("/", fields(4, 0), Some(Refusal::TooManyFields)),
            ("/", fields(3, 31), None),
            ("/", fields(1, 97), None),
            ("/", fields(1, 98), Some(Refusal::HeadTooLarge)),
            ("/?", fields(1, 97), Some(Refusal::HeadTooLarge)),
        ] {
            assert_eq!(limits.refusal(&target.parse().expect("a target"), &headers), expect, "{target} {}", headers.len());
        }
    }
}
