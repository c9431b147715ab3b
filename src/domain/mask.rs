//! Masking: secrets and payloads are shown by shape and size, never by content, unless revealed.
