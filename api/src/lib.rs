//! Types of the API.
