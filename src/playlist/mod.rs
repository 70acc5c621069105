//! Pure: a plan and ledger facts become the multivariant and media playlists (RFC 8216bis).
