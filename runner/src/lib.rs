//! The sandbox, its networks, and containers.
