//! The receive stage over real sockets, with real clients; only what stands behind it is a recorder of calls.

mod desk;
mod grpc;
mod http;
mod limits;
mod shutdown;
mod tls;
mod wire;
