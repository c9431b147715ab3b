//! `poison`: among many onboardings one always fails: its repository's tree answers 500, whoever asks. It becomes a dead
//! letter after its attempts, and the others flow: no circuit opens, no verdict calls one bad item a storm.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Ground, Incident, listed, words};
use crate::{
    demo::{
        DemoError,
        report::{Expectation, Figure},
        seen::Seen,
        stage::Stage,
        upstreams::STUBBORN,
    },
    domain::letter::LetterReason,
    engine::{
        Engine,
        reader::{Detail, LetterPage, List, Page, Query, Rows},
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Storm, Stuck},
    },
    onboarding::pipeline,
};

/// How long it goes on, in the scenario's time.
const LENGTH: Duration = Duration::from_secs(90);

/// The engine, to look at what became of them.
pub(super) struct Poison {
    engine: Engine,
    came_to: Mutex<CameTo>,
}

/// What became of them.
#[derive(Default)]
struct CameTo {
    letters: Vec<LetterPage>,
    completed: i64,
    others_failed: usize,
}

impl Poison {
    pub(super) fn set_up(ground: &Ground<'_>) -> Self {
        Self { engine: ground.engine.clone(), came_to: Mutex::default() }
    }

    async fn look(&self) -> Result<CameTo, crate::engine::store::StoreError> {
        let reader = self.engine.reader();
        let query = Query { list: List::Letters { group: None }, limit: 1_000, ..Query::default() };
        let board = reader.read(&query).await?;
        let mut came_to = CameTo { completed: board.counts.completed.0, ..CameTo::default() };
        let Rows::Letters(letters) = board.rows else { return Ok(came_to) };
        for letter in letters {
            if !letter.label.as_str().contains(STUBBORN) {
                came_to.others_failed += 1;
                continue;
            }
            let query = Query { detail: Some(Detail::Letter(letter.id)), ..Query::default() };
            if let Some(Page::Letter(page)) = reader.read(&query).await?.page {
                came_to.letters.push(*page);
            }
        }
        Ok(came_to)
    }
}

#[async_trait]
impl Incident for Poison {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(Vec::new())
    }

    async fn play(&self, stage: &Stage) {
        stage.phase("onboardings arrive, one of them always fails", LENGTH).await;
        match self.look().await {
            Ok(came_to) => *self.came_to.lock().unwrap_or_else(PoisonError::into_inner) = came_to,
            Err(error) => tracing::warn!(%error, "the board cannot be read"),
        }
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let came_to = self.came_to.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = came_to.letters.first().map_or(0, attempts);
        vec![
            Figure::new(
                "dead letters",
                "the item that always fails",
                came_to.letters.len() as f64,
                "letters",
            ),
            Figure::new("dead letters", "all others", came_to.others_failed as f64, "letters"),
            Figure::new("attempts at what fails", "", attempts as f64, "attempts"),
            Figure::new("completed meanwhile", "", came_to.completed as f64, "onboardings"),
        ]
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let came_to = self.came_to.lock().unwrap_or_else(PoisonError::into_inner);
        let letter = came_to.letters.first();
        let (attempts, allowed) = letter.map_or((0, 0), |page| {
            let allowed = page.row.state.as_str().parse().map_or(0, |state| pipeline::policy(state).attempts);
            (attempts(page), allowed)
        });
        let exhausted = letter.is_some_and(|page| page.row.reason == LetterReason::Exhausted);
        let storm = seen.verdicts.iter().any(|said| matches!(said.verdict, Storm | Stuck));
        let opened: Vec<&str> = seen.circuits.iter().map(|(_, circuit, _)| circuit.as_str()).collect();
        vec![
            Expectation::new(
                "the item becomes one dead letter after its attempts",
                came_to.letters.len() == 1 && exhausted && allowed > 1 && attempts == allowed as usize,
                format!("{} letters, {attempts} of {allowed} attempts", came_to.letters.len()),
            ),
            Expectation::new(
                "the rest flow",
                came_to.completed >= 20 && came_to.others_failed == 0,
                format!("{} completed, {} others failed", came_to.completed, came_to.others_failed),
            ),
            Expectation::new("no circuit opens for one item", opened.is_empty(), listed(&opened)),
            Expectation::new("one bad item is no storm", !storm, words(seen)),
            Expectation::new(
                "the item is named",
                letter.is_some_and(|page| {
                    seen.poison.as_ref().is_some_and(|said| *said == page.row.onboarding.as_str())
                }),
                seen.poison.clone().unwrap_or_else(|| "nothing is said of it".to_owned()),
            ),
        ]
    }
}

/// How often the state was tried that the letter is about; its history holds those before it too.
fn attempts(letter: &LetterPage) -> usize {
    letter.history.iter().filter(|attempt| attempt.state.as_str() == letter.row.state.as_str()).count()
}
