//! The database's own troubles: what it says is named in words, and nothing is lost or done twice.
