//! The client side: where this machine's own identity token comes from.
//!
//! Its room in the tree: GitHub's request endpoint, Azure's metadata service, a projected service-account token, the
//! SPIFFE Workload API, one file each, for the commands `token`, `exec` and `proxy`. None of them exists yet.
