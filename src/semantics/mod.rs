//! Pure HTTP decisions: ranges, conditional requests, freshness, routes (RFC 9110, RFC 9111).
//!
//! Decide here, do elsewhere: nothing in this module reads a clock, a socket or a cache.

mod client;
mod cmcd;
mod coding;
mod conditional;
mod disposition;
mod freshness;
mod range;
mod reply;
mod route;

pub use client::{Client, Network, client};
pub use cmcd::{CMCD_BYTES_MAX, Cmcd, FIELDS as CMCD_FIELDS, Value as CmcdValue, query_value as cmcd_query_value};
pub use coding::prefers_gzip;
pub use conditional::{EntityTag, Precondition, if_range_allows, precondition};
pub use disposition::attachment;
pub use freshness::{Freshness, multivariant_cache_control};
pub use range::{ByteRange, RangeSpec, Selection, range_specs, select};
pub use reply::{Reply, Representation, RequestFacts, decide};
pub use route::{ROUTE_BYTES_MAX, Route};
