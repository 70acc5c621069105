//! Pure HTTP decisions: ranges, conditional requests, freshness, routes.
