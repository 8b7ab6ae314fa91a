//! What several processes share, on a real Redis server.

mod limit;
