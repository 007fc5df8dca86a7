//! CEL: any text compiles or is refused with a place in it; a program ends, and gives the same answer twice.

use flowlog::filter::cel::Program;

use super::sample;

/// Compiles the input and evaluates it.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let program = match Program::compile(&text) {
        Ok(program) => program,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0 && !error.why.is_empty(), "{error}");
            return;
        }
    };
    program.paths();
    for flow in sample::events().iter().map(|event| event.flow()) {
        assert_eq!(program.evaluate(flow), program.evaluate(flow), "another answer the second time: {text}");
    }
}
