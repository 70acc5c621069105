//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.
