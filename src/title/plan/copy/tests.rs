//! When pictures and sounds are copied, and when not.
