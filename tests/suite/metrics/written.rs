//! Whatever is written well is read back exactly; whatever is damaged costs no more than the damaged line.

use proptest::prelude::*;
use redrive::metrics::exposition::{Format, parse, parse_as};

use super::writer::{Document, Names, document, keys};

fn any_document() -> impl Strategy<Value = Document> {
    prop_oneof![document(Format::Text, Names::Utf8), document(Format::OpenMetrics, Names::Utf8)]
}

/// What befalls one line.
#[derive(Debug, Clone)]
enum Damage {
    Cut,
    Lost,
    Put(char),
    Replaced(char),
}

fn damage() -> impl Strategy<Value = Damage> {
    let mark = prop::sample::select("{}\"\\=,# \t:;<>0aN\u{0}\u{301}\u{202e}".chars().collect::<Vec<_>>());
    prop_oneof![
        Just(Damage::Cut),
        Just(Damage::Lost),
        mark.clone().prop_map(Damage::Put),
        mark.prop_map(Damage::Replaced)
    ]
}

fn damaged(line: &str, at: prop::sample::Index, damage: &Damage) -> String {
    let chars: Vec<char> = line.chars().collect();
    let at = at.index(chars.len());
    let (before, after) = (&chars[..at], &chars[at + 1..]);
    let mut out: Vec<char> = before.to_vec();
    match damage {
        Damage::Cut => {}
        Damage::Lost => out.extend(after),
        Damage::Put(mark) => out.extend([*mark, chars[at]].iter().chain(after)),
        Damage::Replaced(mark) => out.extend([*mark].iter().chain(after)),
    }
    out.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_well_is_read_back_exactly(document in any_document()) {
        let text = document.text();
        let read = parse(&text).unwrap();
        prop_assert_eq!(&read.warnings, &[]);
        prop_assert_eq!(keys(&read), document.keys());
        let kinds: Vec<_> = read.samples.iter().map(|sample| sample.kind).collect();
        prop_assert_eq!(kinds, document.said().iter().map(|said| said.kind).collect::<Vec<_>>());
        prop_assert_eq!(read, parse_as(document.format, &text).unwrap(), "the format is told by the end of the text");
    }

    #[test]
    fn a_damaged_line_costs_no_other_line(
        document in any_document(),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        damage in damage(),
    ) {
        let mut lines = document.lines();
        let samples: Vec<usize> =
            lines.iter().enumerate().filter(|(_, (sample, _))| *sample).map(|(place, _)| place).collect();
        prop_assume!(samples.len() > 1);
        let hit = which.index(samples.len());
        let line = &mut lines[samples[hit]].1;
        *line = damaged(line, at, &damage);
        let whole = lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
        let read = parse(&whole).unwrap();
        let mut found = keys(&read);
        let mut undamaged = document.keys();
        undamaged.remove(hit);
        if found.len() > undamaged.len() {
            found.remove(hit);
        }
        prop_assert_eq!(found, undamaged);
        prop_assert!(read.unreadable <= 1);
    }

    #[test]
    fn a_text_cut_anywhere_keeps_what_came_before(document in any_document(), at in any::<prop::sample::Index>()) {
        let text = document.text();
        let at = at.index(text.len());
        let cut = &text[..(0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)];
        let whole = cut.matches('\n').count();
        let before = document.lines()[..whole].iter().filter(|(sample, _)| *sample).count();
        if let Ok(read) = parse_as(document.format, cut) {
            prop_assert_eq!(&keys(&read)[..before], &document.keys()[..before]);
        } else {
            prop_assert_eq!(before, 0);
        }
    }
}
