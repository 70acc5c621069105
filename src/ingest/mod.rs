//! From an upload to a planned title; recovery at start; deletion.
//!
//! [`receive`] takes the bytes of one upload in one go: a broken one leaves nothing. The resumable protocol (tus) will have
//! its module beside it, `resume`, over the same spool directory and the same account of promised space; what it adds is
//! an upload that outlives its connection.

pub mod check;
pub mod receive;
mod space;
mod spool;
mod violation;
