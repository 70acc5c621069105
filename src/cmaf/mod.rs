//! Pure packaging: init and media segments from encoded samples, and verification of a segment against its plan.
