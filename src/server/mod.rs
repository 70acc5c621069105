//! Listeners, connections, limits and drain; knows nothing of video.
