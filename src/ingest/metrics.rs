//! What is counted while uploads are received and subtitles changed.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Uploads. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Uploads that are being received.
    pub uploads_open: Gauge,
    /// Uploads by how they ended, under the label `outcome`.
    pub uploads: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes of whole uploads received.
    pub upload_bytes: Counter,
    /// Changes of subtitles by how they ended, under the label `outcome`.
    pub subtitle_changes: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("uploads_open", "Uploads that are being received", self.uploads_open.clone());
        registry.register("uploads", "Uploads by how they ended", self.uploads.clone());
        registry.register_with_unit("upload", "Bytes of whole uploads received", Unit::Bytes, self.upload_bytes.clone());
        registry.register("subtitle_changes", "Changes of subtitles by how they ended", self.subtitle_changes.clone());
    }
}
