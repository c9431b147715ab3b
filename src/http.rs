//! The one HTTP client builder: TLS by rustls and ring, the system's roots where there are any.
