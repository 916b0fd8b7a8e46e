//! What a policy's author has: tests with coverage, schemas for an editor, and a first policy from a token in hand. All
//! through the binary, without a server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "helpers of tests may fail the test")]

#[path = "policy_authoring/place.rs"]
mod place;
#[path = "policy_authoring/testing.rs"]
mod testing;
#[path = "policy_authoring/schemas.rs"]
mod schemas;
#[path = "policy_authoring/first_policy.rs"]
mod first_policy;
#[path = "policy_authoring/guide.rs"]
mod guide;
