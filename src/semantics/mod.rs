//! Pure HTTP decisions: ranges, conditional requests, codings, digests, freshness, routes, what is refused first (RFC 9110, 9111, 9530).
//!
//! Decide here, do elsewhere: nothing in this module reads a clock, a socket or a cache.

mod client;
mod cmcd;
mod coding;
mod conditional;
mod digest;
mod disposition;
mod freshness;
mod range;
mod reply;
mod route;
mod worth;

pub use client::{Client, Network, client};
pub use cmcd::{CMCD_BYTES_MAX, Cmcd, FIELDS as CMCD_FIELDS, Value as CmcdValue, query_value as cmcd_query_value};
pub use coding::{Coding, Form, choose};
pub use conditional::{EntityTag, Precondition, if_range_allows, precondition};
pub use digest::{WANT_REPR_DIGEST, repr_digest, wants_sha256};
pub use disposition::attachment;
pub use freshness::{
    Freshness, IMMUTABLE_MAX_AGE, cdn_immutable_cache_control, cdn_multivariant_cache_control, multivariant_cache_control,
};
pub use range::{ByteRange, PARTS_MAX, RangeSpec, Selection, range_specs, select};
pub use reply::{Reply, Representation, RequestFacts, decide};
pub use route::{ROUTE_BYTES_MAX, Route};
pub use worth::Worth;
