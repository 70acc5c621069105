//! Objects on stable storage, under typed keys.
