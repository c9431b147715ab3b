//! Where a trouble comes from: the deepest callee that fails. Who calls whom is read off names, because metrics do not tell
//! it: `payments.charge` is a call to `payments`, and a watched process of that name is the callee itself. Pure.

use std::collections::BTreeMap;

use super::{history::Window, process::Process, verdict::Rules};

/// Follows failing calls from `operation` down, over the windows that `window` gives.
pub(super) fn root(
    processes: &BTreeMap<String, Process>,
    rules: &Rules,
    operation: &str,
    window: impl Fn(&Process, &str) -> Window,
) -> Option<String> {
    let fails = |process: &Process, operation: &str| {
        let counts = window(process, operation).counts();
        counts
            .goodput()
            .filter(|share| *share < rules.poor_goodput)
            .map(|_| counts.first_told - counts.successes)
    };
    let failing = processes.values().any(|process| fails(process, operation).is_some());
    let mut callee = failing.then(|| callee(operation))?.to_owned();
    // Names may go round in a circle.
    for _ in 0..processes.len() {
        let inside = processes.values().filter(|process| is_called(&process.name, &callee));
        let calls = inside.flat_map(|process| {
            process.history.operations().iter().filter_map(|name| Some((fails(process, name)?, name)))
        });
        let worst = calls.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| self::callee(name).to_owned());
        match worst {
            Some(deeper) if deeper != callee => callee = deeper,
            _ => break,
        }
    }
    Some(callee)
}

/// Whom `operation` calls: `github` of `github.create_hook`, `payments` of `payments:8080` and of `payments/Charge`.
fn callee(operation: &str) -> &str {
    let end = operation.find(['.', '/', ':', ' ', '|']).filter(|end| *end > 0);
    &operation[..end.unwrap_or(operation.len())]
}

/// Whether a process of this name is that callee; one of several is written `payments/10.0.0.7:8080` or `payments-2`.
fn is_called(name: &str, callee: &str) -> bool {
    let of_several = |rest: &str| {
        rest.is_empty()
            || rest.starts_with(['/', ':', '.'])
            || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
    };
    name.get(..callee.len()).is_some_and(|start| start.eq_ignore_ascii_case(callee))
        && of_several(&name[callee.len()..])
}
