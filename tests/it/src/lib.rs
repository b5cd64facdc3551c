//! System tests live in `main.rs`, the one test binary of this package.
