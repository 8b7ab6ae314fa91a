//! Requests that are not plain JSON: files that are uploaded, and files that are downloaded.

mod bills;
mod download_faults;
mod download_limits;
mod downloads;
mod foreign_clients;
mod secrets;
mod uploads;
