//! The ways into a Skep hub: HTTP, WebSocket, Unix socket, in process.
