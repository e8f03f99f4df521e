//! From the start to the end.

use libtest_mimic::Trial;
use runner::sandbox::Exit;

use super::fixture::{Fixture, run, said};

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("a_program_runs_and_its_output_comes", runs)]
}

fn runs() -> Result<(), libtest_mimic::Failed> {
    let fixture = Fixture::new();
    assert_eq!(said(&fixture.sh("echo hello")), "hello\n");
    let outcome = run(&fixture.sh("exit 42"))?;
    assert_eq!(outcome.exit, Exit::Code(42));
    Ok(())
}
