//! Objects in memory, weighed in bytes, each filled once however many ask.
