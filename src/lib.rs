//! `compose-operator`: a reconciling operator for Docker Compose.

pub mod compose;
