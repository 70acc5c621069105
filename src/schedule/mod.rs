//! What to make next, and the worker slots that make it.
