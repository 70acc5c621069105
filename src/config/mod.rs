//! The configuration: layers, provenance, and every fault at once.
