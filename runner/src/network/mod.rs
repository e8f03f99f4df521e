//! The network of a container: its way out, and the ports that lead in.
//!
//! ```text
//!   host                                     container's network namespace
//!   0.0.0.0:8080 ──▶ proxy (a thread) ─────▶ 127.0.0.1:80        published ports: listen, proxy
//!   the Internet ◀── pasta ◀──────────────── eth0 (a tap device)  the way out: outbound, tap
//! ```

mod datagram;
mod holder;
mod listen;
pub mod outbound;
mod port;
mod proxy;
pub mod resolver;
mod stream;
mod tap;

pub use holder::Holder;
pub use listen::{BoundPort, ListenError, Listeners};
pub use outbound::{Outbound, OutboundError};
pub use port::{PortSyntaxError, Protocol, PublishedPort, PublishedPorts};
pub use proxy::{Proxy, ProxyError};
