//! Does what `update` asked for: reads, previews and submissions, each in a task of its own, answered by a message.

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::msg::{Msg, Previewed, Ticket, Wish};
use crate::{
    clock,
    domain::id::{ActionId, LetterId},
    engine::{
        Engine,
        command::{Command, Pace, Refusal, Submission, Target},
        filter::{Field, Filter, Term},
        reader::{List, Query, Rows},
    },
};

/// The hands of the screen.
pub(super) struct Runner {
    pub(super) engine: Engine,
    pub(super) answers: mpsc::Sender<Msg>,
    pub(super) tracker: TaskTracker,
}

impl Runner {
    /// Finds out what `wish` would do; the action's key is made here, once for each dialog's preview.
    pub(super) fn preview(&self, ticket: Ticket, wish: Wish) {
        let (engine, answers) = (self.engine.clone(), self.answers.clone());
        self.tracker.spawn(async move {
            let result = preview(&engine, wish).await;
            // The screen may be gone by now; then nobody needs the answer.
            let _ = answers.send(Msg::Preview { ticket, result }).await;
        });
    }

    /// Asks the engine. Goes on when the screen is closed: what was asked is not taken back.
    pub(super) fn submit(&self, ticket: Ticket, submission: Submission) {
        let (engine, answers) = (self.engine.clone(), self.answers.clone());
        self.tracker.spawn(async move {
            let result = engine.submit(&submission).await;
            let _ = answers.send(Msg::Done { ticket, result }).await;
        });
    }

    /// Reads every row that matches.
    pub(super) fn every_match(&self, ticket: Ticket, query: Query) {
        let (engine, answers) = (self.engine.clone(), self.answers.clone());
        self.tracker.spawn(async move {
            let result = engine.reader().read(&query).await.map(|board| board.rows).map_err(Refusal::from);
            let _ = answers.send(Msg::Matched { ticket, result }).await;
        });
    }
}

async fn preview(engine: &Engine, wish: Wish) -> Result<Previewed, Refusal> {
    let command = resolve(engine, wish).await?;
    command.validate()?;
    let plan = engine.preview(&command).await?;
    Ok(Previewed { action: ActionId(clock::new_id()), command, plan })
}

/// Looks up the ids that a wish does not carry.
async fn resolve(engine: &Engine, wish: Wish) -> Result<Command, Refusal> {
    Ok(match wish {
        Wish::Resume(onboardings, elsewhere) => Command::Resume { onboardings, elsewhere },
        Wish::RollBack(onboarding, elsewhere) => Command::RollBack { onboarding, elsewhere },
        Wish::Replay(letters) => Command::Replay { letters, pace: Pace::default() },
        Wish::Release(keys) => Command::Release { keys },
        // The limit is typed into the dialog that shows this preview.
        Wish::Force(circuit, to) => Command::Force { circuit, to, seconds: to.map(|_| 1) },
        Wish::Pause(operation) => Command::Pause { operation, seconds: Some(1) },
        Wish::Unpause(operation) => Command::Unpause { operation },
        Wish::Discard(letters) => Command::Discard { letters },
        Wish::Restore(letters) => Command::Restore { letters },
        Wish::Reveal(of) => Command::Reveal { of },
        Wish::Stop(replay) => Command::Stop { replay },
        Wish::ReplayAll => {
            Command::Replay { letters: open_letters(engine, &[None]).await?, pace: Pace::default() }
        }
        Wish::ReplayGroups(groups) => {
            let groups: Vec<_> = groups.into_iter().map(Some).collect();
            Command::Replay { letters: open_letters(engine, &groups).await?, pace: Pace::default() }
        }
        Wish::DiscardGroups(groups) => {
            let groups: Vec<_> = groups.into_iter().map(Some).collect();
            Command::Discard { letters: open_letters(engine, &groups).await? }
        }
        Wish::ResumeFailed(filter) => {
            let board = engine.reader().read(&everything(List::Onboardings, filter)).await?;
            let Rows::Onboardings(rows) = board.rows else { return Err(Refusal::NoTargets) };
            Command::Resume {
                onboardings: rows
                    .into_iter()
                    .map(|row| Target { id: row.id, seen: Some(row.version) })
                    .collect(),
                elsewhere: crate::engine::command::Elsewhere::Leave,
            }
        }
    })
}

/// The open letters of these groups, or of all.
async fn open_letters(engine: &Engine, groups: &[Option<String>]) -> Result<Vec<Target<LetterId>>, Refusal> {
    let open =
        Filter { terms: vec![Term { field: Some(Field::Status), value: "open".to_owned(), negated: false }] };
    let mut letters = Vec::new();
    for group in groups {
        let query = everything(List::Letters { group: group.clone() }, open.clone());
        if let Rows::Letters(rows) = engine.reader().read(&query).await?.rows {
            letters.extend(rows.into_iter().map(|row| Target { id: row.id, seen: Some(row.version) }));
        }
    }
    Ok(letters)
}

fn everything(list: List, filter: Filter) -> Query {
    let limit = u32::try_from(Query::COUNT_CAP).unwrap_or(u32::MAX);
    Query { list, filter, limit, ..Query::default() }
}
