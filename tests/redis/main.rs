//! State shared by several processes on a real Redis server.

mod limit;
