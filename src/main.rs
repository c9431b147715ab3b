//! Parses, runs, exits with a code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    redrive::cli::main()
}
