//! Titles, plans and the ledger of finished segments, in SQLite.
