//! The example programs, run like a user runs them: last line and exit code.

mod all;
mod gateway;
mod key_services;
mod program;
mod terminate;
