//! The pipeline's clients against the stand-ins, over real HTTP.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{http::HeaderMap, response::Redirect, routing::get};
use redrive::{
    config,
    demo::upstreams::{
        Options, Running, Upstreams,
        fault::{Mode, Trouble},
        ledger::{Applied, Effect},
        repository::{NAMES, TENANTS},
    },
    domain::{
        attempt::CompensationStatus,
        fault::{Fault, FaultClass},
        onboarding::{Request, State},
    },
    engine::{
        call::{Calls, StepCalls},
        policies::Policies,
        store::{Compensation, StepDone, Write},
        workflow::{Step, Undone, Workflow},
    },
    http,
    onboarding::{Clients, Pipeline, hook::Hook, made::Made, notify::Announcement, tfc::Notification},
};
use serde_json::{Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::support::wait;

/// Stand-ins that run as long as the test, and clients that know them.
struct World {
    standing: Running,
    settings: config::Upstreams,
    clients: Clients,
    calls: StepCalls,
    _shutdown: DropGuard,
}

fn calls() -> StepCalls {
    StepCalls::new(Calls::new(Policies::default(), Arc::new(())), 1, false, Duration::from_secs(30))
}

async fn world_with(options: Options, set: impl FnOnce(&mut config::Upstreams)) -> World {
    patient_world(options, Duration::from_secs(10), set).await
}

/// A world whose clients wait for so long.
async fn patient_world(
    options: Options,
    patience: Duration,
    set: impl FnOnce(&mut config::Upstreams),
) -> World {
    let shutdown = CancellationToken::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let standing =
        Upstreams::start(any, options, &TaskTracker::new(), shutdown.clone()).await.expect("a free port");
    let mut settings = standing.settings();
    set(&mut settings);
    let clients = Clients::new(&settings, patience).expect("a client");
    World { standing, settings, clients, calls: calls(), _shutdown: shutdown.drop_guard() }
}

async fn world() -> World {
    world_with(Options::default(), |_| {}).await
}

fn hook() -> Hook {
    Hook { url: "https://redrive.example/callback".to_owned(), secret: "s3cret-of-hooks".to_owned() }
}

impl World {
    async fn hook(&self) -> Result<Made, Fault> {
        self.clients.github.create_or_get_hook(&self.calls, "acme", "payments", &hook(), Some("key-1")).await
    }

    fn requests(&self, operation: &str) -> u64 {
        self.standing.ledger.callers().iter().filter(|c| c.operation == operation).map(|c| c.requests).sum()
    }

    fn trouble(&self, operation: &str, trouble: Trouble) {
        self.standing.faults.set(operation, trouble);
    }
}

#[tokio::test]
async fn a_hook_on_the_third_page_is_found_and_one_that_is_nowhere_is_not() {
    let world = world().await;
    let github = &world.clients.github;
    let url = "https://ci.example.com/acme/hooked-payments/230";
    let found = github.find_hook(&world.calls, "acme", "hooked-payments", url).await.expect("the hooks");
    assert_eq!((found, world.requests("github.list_hooks")), (Some(230), 3));
    let other = github.find_hook(&world.calls, "acme", "hooked-payments", "https://elsewhere").await;
    assert_eq!(other.expect("the hooks"), None);
}

#[tokio::test]
async fn a_truncated_tree_is_walked_until_every_file_is_known() {
    let world = world().await;
    let tree =
        world.clients.github.tree(&world.calls, "acme", "huge-estate", "main").await.expect("the tree");
    let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.len(), 21, "{paths:?}");
    for path in ["main.tf", ".github/CODEOWNERS", "modules/network/main.tf", "live/us/queue-7.tf"] {
        assert!(paths.contains(&path), "{path} is in {paths:?}");
    }
    assert!(paths.is_sorted() && !tree.cut && world.requests("github.tree") > 3);
}

#[tokio::test]
async fn an_empty_repository_has_a_tree_without_files() {
    let world = world().await;
    let tree = world.clients.github.tree(&world.calls, "acme", "empty-thing", "main").await.expect("a tree");
    assert_eq!(tree, Default::default());
}

#[tokio::test]
async fn contents_come_whole_across_base64_lines_and_from_the_blob_above_a_megabyte() {
    let world = world().await;
    let github = &world.clients.github;
    let small = github.contents(&world.calls, "acme", "payments", "main.tf", "main").await.expect("a file");
    let text = String::from_utf8(small.bytes).expect("text");
    assert!(text.starts_with("terraform {") && text.ends_with("}\n"), "{text}");
    let big = github.contents(&world.calls, "acme", "big-book", "catalog-info.yaml", "main").await;
    assert!(big.expect("a file").bytes.len() > 1_000_000);
    let folder = github.contents(&world.calls, "acme", "payments", "modules", "main").await;
    assert!(folder.is_err(), "a folder is no file");
}

#[tokio::test]
async fn a_hook_is_created_once_and_found_from_then_on() {
    let world = world().await;
    let Made::Created(id) = world.hook().await.expect("a hook") else { panic!("it is new") };
    assert_eq!(world.hook().await.expect("a hook"), Made::Found(id));
    let entries = world.standing.ledger.entries();
    assert_eq!((entries.len(), world.standing.ledger.counts().hooks), (1, 1));
    assert_eq!(entries[0].idempotency_key.as_deref(), Some("key-1"));
    assert_eq!((entries[0].caller.as_str(), entries[0].subject.as_str()), ("redrive", "acme/payments"));
}

#[tokio::test]
async fn a_lost_reply_leaves_one_hook_which_the_next_try_finds() {
    let world = world().await;
    world.trouble("github.create_hook", Trouble::next(Mode::LostReply, 1));
    let fault = world.hook().await.expect_err("the reply is lost");
    assert_eq!(
        (fault.class, fault.operation.as_deref()),
        (FaultClass::Transient, Some("github.create_hook"))
    );
    assert!(fault.message.contains("the connection to GitHub broke"), "{fault}");
    let Made::Found(id) = world.hook().await.expect("a hook") else { panic!("the first try made it") };
    assert_eq!(world.standing.ledger.hooks()[0].id.to_string(), id);
    assert_eq!(world.standing.ledger.counts().hooks, 1);
}

#[tokio::test]
async fn of_two_that_create_at_once_the_slower_takes_the_fasters_hook() {
    let world = world().await;
    // Both have read the empty list before either creates.
    world.trouble("github.list_hooks", Trouble { latency_ms: 300, ..Trouble::default() });
    let (one, other) = tokio::join!(world.hook(), world.hook());
    let (one, other) = (one.expect("a hook"), other.expect("a hook"));
    assert_eq!(one.id(), other.id());
    assert_eq!([&one, &other].iter().filter(|made| matches!(made, Made::Created(_))).count(), 1);
    let entries = world.standing.ledger.entries();
    assert_eq!(
        entries.iter().filter(|e| e.applied == Applied::Repeated).count(),
        1,
        "GitHub answered 422 once"
    );
    let again = world.clients.github.create_hook(&world.calls, "acme", "payments", &hook(), None).await;
    let fault = again.expect_err("it exists");
    assert_eq!((fault.class, fault.http_status), (FaultClass::Permanent, Some(422)));
    assert!(fault.message.ends_with("Validation Failed: Hook already exists on this repository"), "{fault}");
}

#[tokio::test]
async fn deleting_what_is_gone_is_done() {
    let world = world().await;
    let id = world.hook().await.expect("a hook");
    for _ in 0..2 {
        world
            .clients
            .github
            .delete_hook(&world.calls, "acme", "payments", id.id())
            .await
            .expect("it is gone");
    }
    world.clients.tfc.delete_notification(&world.calls, "nc-none").await.expect("it was never there");
    assert_eq!(world.standing.ledger.counts().hooks, 0);
    world.trouble("github.delete_hook", Trouble::next(Mode::Error, 1));
    let failed = world.clients.github.delete_hook(&world.calls, "acme", "payments", id.id()).await;
    assert_eq!(failed.expect_err("it may still be there").http_status, Some(500));
}

#[tokio::test]
async fn an_html_page_where_json_belongs_is_said_to_be_one() {
    let world = world().await;
    world.trouble("github.repository", Trouble::always(Mode::Html));
    let fault = world.clients.github.repository(&world.calls, "acme", "payments").await.expect_err("a page");
    assert_eq!(fault.class, FaultClass::Unknown);
    assert!(fault.message.contains("an HTML page instead of JSON"), "{fault}");
    assert_eq!(fault.operation.as_deref(), Some("github.repository"));
}

#[tokio::test]
async fn a_rate_limit_passes_by_itself_although_it_is_a_403() {
    let world = world().await;
    world.trouble("github", Trouble::always(Mode::RateLimit));
    let fault =
        world.clients.github.repository(&world.calls, "acme", "payments").await.expect_err("too often");
    assert_eq!((fault.class, fault.http_status), (FaultClass::Transient, Some(403)));
    let wait = fault.retry_after.expect("GitHub said when").as_secs();
    assert!((50..=60).contains(&wait), "{wait} s");
    world.trouble("tfc", Trouble::always(Mode::RateLimit));
    let fault = world.clients.tfc.workspace(&world.calls, "ws-abc").await.expect_err("too often");
    assert_eq!((fault.class, fault.http_status), (FaultClass::Transient, Some(429)));
    assert_eq!(fault.retry_after, Some(Duration::from_millis(500)));
}

#[tokio::test]
async fn an_outage_is_one_kind_of_failure_whatever_the_repository() {
    let world = world().await;
    world.trouble("github.create_hook", Trouble::always(Mode::Unavailable));
    let one = world.hook().await.expect_err("an outage");
    let other = world.clients.github.create_hook(&world.calls, "globex", "ledger-2", &hook(), None).await;
    let other = other.expect_err("an outage");
    assert_eq!((one.class, one.http_status), (FaultClass::Transient, Some(503)));
    assert_eq!(one.fingerprint(), other.fingerprint(), "{one} / {other}");
    let begin = "GitHub answered 503 to POST /repos/acme/payments/hooks: No server is currently available";
    assert!(one.message.starts_with(begin), "{one}");
    assert_eq!(world.standing.ledger.counts().hooks, 0);
}

#[tokio::test]
async fn a_callee_that_never_answers_is_a_timeout_and_may_have_done_it() {
    let world = patient_world(Options::default(), Duration::from_millis(300), |_| {}).await;
    world.trouble("github.create_hook", Trouble::always(Mode::Hang));
    let fault = world.hook().await.expect_err("no answer");
    assert_eq!((fault.class, fault.operation.as_deref()), (FaultClass::Timeout, Some("github.create_hook")));
    assert!(fault.message.contains("whether it was done is not known"), "{fault}");
    assert_eq!(world.standing.ledger.counts().hooks, 1, "it was done");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_network_error() {
    let world = world_with(Options::default(), |s| s.github_url = "http://127.0.0.1:1".to_owned()).await;
    let fault = world.hook().await.expect_err("nobody listens there");
    assert_eq!(fault.class, FaultClass::Transient);
    assert!(fault.message.starts_with("cannot reach GitHub for GET /repos/acme/payments/hooks: "), "{fault}");
    let world = world_with(Options::default(), |s| s.github_url = "api.github.com".to_owned()).await;
    let fault = world.hook().await.expect_err("not a URL");
    assert_eq!(fault.class, FaultClass::Permanent);
    assert!(fault.message.contains("https://api.github.com"), "{fault}");
}

#[tokio::test]
async fn a_token_is_sent_where_one_is_wanted_and_never_said() {
    let options = || Options {
        github_token: Some("t0ken-g".to_owned()),
        tfc_token: Some("t0ken-t".to_owned()),
        ..Options::default()
    };
    let right = world_with(options(), |s| {
        s.github_token = "t0ken-g".to_owned();
        s.tfc_token = "t0ken-t".to_owned();
    })
    .await;
    right.clients.github.repository(&right.calls, "acme", "payments").await.expect("the token is right");
    right.clients.tfc.workspace(&right.calls, "ws-abc").await.expect("the token is right");
    let wrong = world_with(options(), |s| s.github_token = "wr0ng-token".to_owned()).await;
    let github = wrong.clients.github.repository(&wrong.calls, "acme", "payments").await.expect_err("401");
    let tfc = wrong.clients.tfc.workspace(&wrong.calls, "ws-abc").await.expect_err("401");
    for fault in [github, tfc] {
        assert_eq!((fault.class, fault.http_status), (FaultClass::Permanent, Some(401)));
        assert!(!fault.message.contains("wr0ng") && !format!("{fault:?}").contains("t0ken"), "{fault}");
    }
    assert!(!format!("{:?}", wrong.settings).contains("wr0ng"));
}

#[tokio::test]
async fn a_workspace_and_every_page_of_its_resources_are_read() {
    let world = world().await;
    let tfc = &world.clients.tfc;
    let workspace = tfc.workspace(&world.calls, "ws-many1").await.expect("a workspace");
    assert_eq!((workspace.id.as_str(), workspace.organization.as_deref()), ("ws-many1", Some("demo")));
    let (resources, cut) = tfc.resources(&world.calls, "ws-many1").await.expect("its resources");
    assert!(resources.len() > 250 && !cut, "{}", resources.len());
    assert!(resources.iter().any(|r| r.address == "aws_sqs_queue.queue_249"));
    assert_eq!(world.requests("tfc.resources"), 3);
    let missing = tfc.workspace(&world.calls, "ws-missing1").await.expect_err("404");
    assert_eq!((missing.class, missing.http_status), (FaultClass::Permanent, Some(404)));
    let message = "Terraform Cloud answered 404 to GET /api/v2/workspaces/ws-missing1: The requested resource was not found";
    assert_eq!(missing.message, message);
}

#[tokio::test]
async fn a_notification_is_created_once_although_terraform_cloud_would_take_any_number() {
    let world = world().await;
    let wanted =
        Notification { name: "backstage-sync".to_owned(), url: "https://redrive.example/cb".to_owned() };
    let ensure = || world.clients.tfc.create_or_get_notification(&world.calls, "ws-abc", &wanted, Some("k"));
    // Others fill the first page.
    for n in 0..100 {
        let other = Notification { name: format!("other-{n}"), url: wanted.url.clone() };
        world.clients.tfc.create_notification(&world.calls, "ws-abc", &other, None).await.expect("another");
    }
    world.trouble("tfc.create_notification", Trouble::next(Mode::LostReply, 1));
    assert_eq!(ensure().await.expect_err("the reply is lost").class, FaultClass::Transient);
    assert!(matches!(ensure().await, Ok(Made::Found(_))), "on the second page");
    assert_eq!(world.standing.ledger.counts().notifications, 101);
}

#[tokio::test]
async fn an_announcement_repeated_under_its_key_is_recognised() {
    let world = world().await;
    let announcement = Announcement {
        onboarding_id: "o-1".to_owned(),
        tenant_id: "acme".to_owned(),
        repo_url: "https://github.com/acme/payments".to_owned(),
        workspace_id: None,
        status: "completed".to_owned(),
        entities: vec!["component:acme/payments".to_owned()],
    };
    for _ in 0..2 {
        world.clients.notify.send(&world.calls, &announcement, "o-1").await.expect("it was heard");
    }
    let entries = world.standing.ledger.entries();
    let seen: Vec<_> = entries.iter().map(|e| (e.effect, e.subject.as_str(), e.applied)).collect();
    let about = "acme/payments";
    assert_eq!(
        seen,
        [(Effect::Announced, about, Applied::Applied), (Effect::Announced, about, Applied::Repeated)]
    );
}

#[tokio::test]
async fn the_ledger_is_read_and_faults_are_set_over_http() {
    let world = world().await;
    world.hook().await.expect("a hook");
    let client = http::client(Duration::from_secs(5)).expect("a client");
    let base = format!("http://{}", world.standing.addr);
    let read = async |path: &str| -> Value {
        client.get(format!("{base}{path}")).send().await.expect("an answer").json().await.expect("JSON")
    };
    let ledger = read("/_ledger?subject=acme/payments").await;
    assert_eq!(
        (&ledger["counts"]["hooks"], &ledger["entries"][0]["effect"]),
        (&json!(1), &json!("hook_created"))
    );
    assert_eq!(read("/_ledger?subject=acme/other").await["entries"], json!([]));

    let troubles = json!({ "github.repository": { "mode": "unavailable" } });
    let put = client.put(format!("{base}/_faults")).json(&troubles).send().await.expect("an answer");
    assert_eq!(put.status(), 204);
    assert_eq!(read("/_faults").await["github.repository"]["mode"], "unavailable");
    assert!(world.clients.github.repository(&world.calls, "acme", "payments").await.is_err());
    let wrong = client.put(format!("{base}/_faults")).json(&json!({ "x": { "mod": 1 } })).send().await;
    assert_eq!(wrong.expect("an answer").status(), 422);
    world.standing.faults.replace(BTreeMap::new());
    world.clients.github.repository(&world.calls, "acme", "payments").await.expect("it is over");
}

#[tokio::test]
async fn the_stand_ins_end_when_told_even_while_a_caller_waits_for_an_answer() {
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let standing =
        Upstreams::start(any, Options::default(), &tasks, shutdown.clone()).await.expect("a free port");
    let clients = Clients::new(&standing.settings(), Duration::from_secs(10)).expect("a client");
    standing.faults.set("github.repository", Trouble::always(Mode::Hang));
    let calls = calls();
    let waiting = clients.github.repository(&calls, "acme", "payments");
    let end = async {
        wait::eventually("the request hangs", Duration::from_secs(10), async || {
            (standing.faults.judged("github.repository") > 0).then_some(())
        })
        .await;
        shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(waiting, end);
    assert_eq!(answer.expect_err("no answer comes").class, FaultClass::Transient);
    tasks.close();
    tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.expect("nothing is left running");
}

#[tokio::test]
async fn a_redirect_is_followed_on_its_host_and_handed_back_when_it_leads_elsewhere() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let elsewhere = format!("http://localhost:{port}/there");
    let app = axum::Router::new()
        .route("/near", get(|| async { Redirect::temporary("/there") }))
        .route("/far", get(move || async move { Redirect::temporary(&elsewhere) }))
        .route(
            "/there",
            get(|headers: HeaderMap| async move {
                headers["user-agent"].to_str().map(str::to_owned).ok().unwrap_or_default()
            }),
        );
    let tasks = TaskTracker::new();
    tasks.spawn(async move { axum::serve(listener, app).await });
    let client = http::client(Duration::from_secs(5)).expect("a client");
    let near = client.get(format!("http://127.0.0.1:{port}/near")).send().await.expect("an answer");
    assert_eq!(near.text().await.expect("text"), concat!("redrive/", env!("CARGO_PKG_VERSION")));
    let far = client.get(format!("http://127.0.0.1:{port}/far")).send().await.expect("an answer");
    assert_eq!(far.status(), 307);
}

fn request(name: &str) -> Request {
    Request {
        tenant_id: "acme".to_owned(),
        repo_url: format!("https://github.com/acme/{name}"),
        workspace_id: Some("ws-abc".to_owned()),
    }
}

/// Runs `state` once.
async fn run(
    pipeline: &Pipeline,
    request: &Request,
    state: State,
    context: &Value,
) -> Result<StepDone, Fault> {
    let (onboarding, state, calls) = ("o-1".into(), state.name(), calls());
    let step = Step {
        onboarding: &onboarding,
        request,
        state: &state,
        context,
        attempt: 1,
        done: &[],
        calls: &calls,
    };
    pipeline.run(step).await
}

/// Undoes what was opened for `state`, as a roll-back after a crash would: nothing is known of the outcome.
async fn undo_opened(pipeline: &Pipeline, request: &Request, state: State, context: &Value) -> Vec<Undone> {
    let onboarding = "o-1".into();
    let mut undone = Vec::new();
    for intent in pipeline.opening(&onboarding, request, &state.name(), context).intents.into_iter().rev() {
        let compensation = Compensation {
            relied_on_by: None,
            error: None,
            unreadable: None,
            seq: 1,
            state: state.name(),
            operation: intent.operation,
            name: intent.name,
            args: intent.args,
            status: CompensationStatus::Recorded,
            attempts: 0,
        };
        undone
            .push(pipeline.undo(&onboarding, request, &compensation, &calls()).await.expect("it is undone"));
    }
    undone
}

#[tokio::test]
async fn the_states_in_order_register_entities_and_leave_one_hook_one_notification_and_one_announcement() {
    let world = world().await;
    let (pipeline, request) = (Pipeline::new(world.clients.clone()), request("payments"));
    let mut context = json!({ "theirs": 1 });
    let mut written = 0;
    for state in State::FORWARD {
        let done = run(&pipeline, &request, state, &context).await.expect("every state works");
        context = done.context;
        if let Some(Write::Register { entities, .. }) = done.writes.first() {
            written = entities.len();
            assert_eq!(done.subtasks.len(), written);
            assert!(done.subtasks.iter().any(|s| s == "entity:Component:payments"), "{:?}", done.subtasks);
        }
    }
    assert!(written > 3 && context["theirs"] == 1, "{context}");
    let counts = world.standing.ledger.counts();
    assert_eq!((counts.hooks, counts.notifications, counts.announcements), (1, 1, 1));
    // The state again, as after a crash before its record: nothing new.
    let again = run(&pipeline, &request, State::ConfiguringSync, &context).await.expect("it works again");
    assert!(again.settled.iter().all(|s| s.status == CompensationStatus::Recorded), "they are ours to undo");
    assert_eq!(world.standing.ledger.counts(), counts);
    undo_opened(&pipeline, &request, State::ConfiguringSync, &context).await;
    let counts = world.standing.ledger.counts();
    assert_eq!((counts.hooks, counts.notifications), (0, 0));
    let nothing = undo_opened(&pipeline, &request, State::ConfiguringSync, &context).await;
    assert_eq!(nothing, [Undone::NothingToUndo, Undone::NothingToUndo]);
}

#[tokio::test]
async fn what_stood_there_before_is_found_and_never_undone() {
    let world = world().await;
    let (pipeline, request) = (Pipeline::new(world.clients.clone()), request("ledger"));
    let theirs = Hook { url: world.settings.callback_url.clone(), secret: String::new() };
    world.clients.github.create_hook(&world.calls, "acme", "ledger", &theirs, None).await.expect("a hook");
    let context = run(&pipeline, &request, State::Discovering, &json!({})).await.expect("it looks").context;
    let done = run(&pipeline, &request, State::ConfiguringSync, &context).await.expect("it is found");
    let status = |name: &str| done.settled.iter().find(|s| s.name == name).map(|s| s.status);
    assert_eq!(status("hook"), Some(CompensationStatus::NothingToUndo));
    assert_eq!(status("notification"), Some(CompensationStatus::Recorded));
    undo_opened(&pipeline, &request, State::ConfiguringSync, &context).await;
    let counts = world.standing.ledger.counts();
    assert_eq!((counts.hooks, counts.notifications), (1, 0));
}

#[tokio::test]
async fn an_onboarding_others_began_goes_on_from_any_state_without_our_context() {
    let world = world().await;
    let pipeline = Pipeline::new(world.clients.clone());
    for state in State::FORWARD {
        let done = run(&pipeline, &request("identity"), state, &json!("not even a map")).await;
        let done = done.unwrap_or_else(|fault| panic!("{state}: {fault}"));
        assert_eq!(done.writes.is_empty(), state != State::Registering, "{state}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_and_a_poisoned_one_fail_for_good_in_their_own_state() {
    let world = world().await;
    let pipeline = Pipeline::new(world.clients.clone());
    let missing = run(&pipeline, &request("missing-thing"), State::Validating, &json!({})).await;
    let missing = missing.expect_err("404");
    assert_eq!((missing.class, missing.http_status), (FaultClass::Permanent, Some(404)));
    run(&pipeline, &request("poison-thing"), State::Discovering, &json!({})).await.expect("it can be listed");
    let poison = run(&pipeline, &request("poison-thing"), State::Extracting, &json!({})).await;
    let poison = poison.expect_err("malformed");
    assert_eq!(poison.class, FaultClass::Permanent);
    let begin = "catalog-info.yaml of acme/poison-thing, line ";
    assert!(poison.message.starts_with(begin), "{poison}");
}

#[tokio::test]
async fn files_that_vanished_since_they_were_chosen_are_chosen_anew() {
    let world = world().await;
    let (pipeline, request) = (Pipeline::new(world.clients.clone()), request("payments"));
    let mut context =
        run(&pipeline, &request, State::Discovering, &json!({})).await.expect("it lists").context;
    context["pipeline"]["selection"]["paths"] = json!(["gone.tf"]);
    let done = run(&pipeline, &request, State::Registering, &context).await.expect("it looks again");
    assert!(done.subtasks.len() > 3, "{:?}", done.subtasks);
}

#[tokio::test]
async fn every_repository_of_the_demo_gives_a_catalog_that_hangs_together() {
    let world = world().await;
    let pipeline = Pipeline::new(world.clients.clone());
    for (tenant, name) in TENANTS.iter().flat_map(|tenant| NAMES[..6].iter().map(move |name| (tenant, name)))
    {
        let request = Request {
            tenant_id: (*tenant).to_owned(),
            repo_url: format!("https://github.com/{tenant}/{name}"),
            workspace_id: None,
        };
        let done = run(&pipeline, &request, State::Registering, &json!({})).await.expect("a catalog");
        let Some(Write::Register { entities, relationships }) = done.writes.first() else { panic!("writes") };
        let known: Vec<_> = entities.iter().map(|entity| entity.reference()).collect();
        assert!(known.len() > 3 && relationships.len() > 3, "{tenant}/{name}: {known:?}");
        assert!(known.iter().all(|k| k.0.contains(&format!(":{tenant}/"))), "{tenant}/{name}: {known:?}");
        for relationship in relationships {
            assert!(known.contains(&relationship.source) && known.contains(&relationship.target));
        }
    }
}
