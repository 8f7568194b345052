//! The `nfpath` program.

fn main() -> std::process::ExitCode {
    nfpath::cli::main()
}
