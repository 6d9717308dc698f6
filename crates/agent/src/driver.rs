//! How a turn is carried out: the machine says what it wants, this does it and has no opinions.
//!
//! What happened is noted in a [`Log`] and committed before the next effect: before the model is
//! asked, before a tool runs, and with the end of the turn. A process that dies in between goes on
//! from the last commit.

use std::{sync::Arc, time::Duration};

use claw_delivery::{Begin, Error, Job, Stop};
use claw_domain::{
    AssistantMessage, Block, Ending, Entry, EntryBody, EventBody, Origin, SignalKind, StopCause,
    StopReason, Timestamp, ToolResult, UsageRecord, UserMessage,
};
use claw_guard::{Run, may_run};
use claw_provider::{ErrorKind, Prefix, Progress, Request};
use claw_tool::{Output, Plan, PlanContext, RunContext, Tool};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use crate::{
    agents::{AgentSpec, Agents, Resolved},
    context::{self, estimate},
    envelope,
    log::Log,
    prompt::system_prompt,
    turn::{Input, ToolCall, Turn, Want},
};

/// Room that is left for the answer when a prompt is fitted into a window, at most.
const ANSWER_ROOM_MAX: u64 = 16_000;

/// The largest prompt and answer together. Unit: tokens.
pub(crate) fn window_of(agent: &AgentSpec, resolved: &Resolved) -> u64 {
    agent
        .context_tokens
        .map_or(resolved.info.context_window, |max| max.min(resolved.info.context_window))
}

/// A turn under way.
pub(crate) struct Driver<'a> {
    log: Log<'a>,
    stop: &'a Stop,
    agent: Arc<AgentSpec>,
    resolved: Option<Resolved>,
    prefix: Option<Arc<Prefix>>,
    turn: Turn,
    entries: Vec<Arc<Entry>>,
    left_out: bool,
    notice: Option<&'static str>,
    planned: Option<(Arc<dyn Tool>, Plan)>,
    deadline: Instant,
    stop_noted: bool,
}

const TRIMMED: &str = "🧹 This conversation no longer fits the model's window, so its older half is left out from here on. /new begins a new one.";

impl<'a> Driver<'a> {
    /// Begins a turn, or takes up one that the log knows: then the machine is replayed.
    pub(crate) async fn begin(
        agents: &'a Agents,
        job: &'a Job,
        stop: &'a Stop,
    ) -> Result<Self, Error> {
        let agent = agents.spec(&job.agent);
        let session = agents.store.session(&job.session).await?;
        let recorded =
            if job.resume { agents.store.run_events(&job.row.run).await? } else { Vec::new() };
        let begun = recorded.iter().any(|event| matches!(event.body, EventBody::RunStarted { .. }));
        let mut driver = Self {
            log: Log::new(agents, job, session),
            stop,
            turn: Turn::new(agent.limits.tokens_max),
            deadline: Instant::now() + wall_of(&agent, job),
            agent,
            resolved: None,
            prefix: None,
            entries: Vec::new(),
            left_out: false,
            notice: None,
            planned: None,
            stop_noted: false,
        };
        if begun {
            info!(events = recorded.len(), "going on with a turn that was left");
            driver.log.cause = recorded.last().map(|event| event.header.id);
            for input in recorded.iter().filter_map(Turn::input) {
                driver.turn.handle(input);
            }
            driver.turn.handle(Input::Resumed);
            driver.choose_model();
        } else {
            driver.start();
        }
        driver.choose_prefix().await?;
        driver.read_context().await?;
        if !begun {
            driver.hear();
        }
        Ok(driver)
    }

    /// Opens the session where there is none, and notes that the run begins.
    fn start(&mut self) {
        let job = self.log.job;
        match (job.begin, &self.log.session) {
            (_, None) => self.log.open("first"),
            (Begin::Anew(why), Some(_)) => self.log.open(why),
            (Begin::GoOn, Some(_)) => {}
        }
        if let Some(target) = job.target()
            && self
                .log
                .session
                .as_ref()
                .is_none_or(|session| session.last_target.as_ref() != Some(&target))
        {
            self.log.event(EventBody::SessionSeen { target });
        }
        self.log.event(EventBody::RunStarted { run: job.row.run.clone(), inbox: job.row.id });
        self.log.pending.push(job.admitted());
        self.choose_model();
    }

    /// Notes what was said to the model.
    fn hear(&mut self) {
        let job = self.log.job;
        let inbound = &job.row.inbound;
        let mut text = envelope::wrap(
            inbound,
            job.words.as_deref(),
            self.log.agents.scribe.now(),
            &self.agent.zone,
        );
        if let Origin::Operator(operator) = &inbound.origin
            && let Some(extra) = &operator.extra_system_prompt
        {
            text = format!("[For this run only: {extra}]\n\n{text}");
        }
        let said = job.words.as_deref().map(Into::into);
        let tokens = estimate(text.len());
        let message = UserMessage { content: vec![Block::Text { text }], said };
        let entry = self.log.entry(tokens, EntryBody::User(message));
        self.entries.push(entry);
    }

    fn choose_model(&mut self) {
        let agents = self.log.agents;
        let model = agents.model_of(&self.agent, self.log.session.as_ref());
        self.resolved = agents.models().resolve(&model);
    }

    /// Takes the epoch's prefix as the log has it, or begins a new epoch.
    async fn choose_prefix(&mut self) -> Result<(), Error> {
        let agents = self.log.agents;
        let Some(resolved) = &self.resolved else { return Ok(()) };
        let tools = agents.offered(&self.agent);
        let epoch = self.log.session.as_ref().and_then(|session| session.prefix);
        let mut why = match (self.log.job.begin, epoch) {
            (Begin::Anew(_), _) => "reset",
            (Begin::GoOn, _) => "first",
        };
        if let Some(epoch) = epoch {
            if let Some(prefix) = agents.kept_prefix(epoch)
                && prefix.model() == &resolved.info
                && std::ptr::eq(prefix.tools(), &*tools.specs)
            {
                self.prefix = Some(prefix);
                return Ok(());
            }
            let event = agents.store.event(epoch).await?;
            if let Some(EventBody::PrefixEpoch { model, system, tools: had, .. }) =
                event.map(|event| event.body)
            {
                if model == resolved.info.reference && had == tools.digest {
                    let prefix = Arc::new(Prefix::new(
                        resolved.info.clone(),
                        system,
                        Arc::clone(&tools.specs),
                    ));
                    agents.keep_prefix(epoch, &prefix);
                    self.prefix = Some(prefix);
                    return Ok(());
                }
                why = if model == resolved.info.reference { "tools" } else { "model" };
            }
        }
        let thinking = agents.thinking_of(&self.agent, self.log.session.as_ref(), &resolved.info);
        let (spec, offered) = (Arc::clone(&self.agent), Arc::clone(&tools.specs));
        let system: Arc<str> =
            tokio::task::spawn_blocking(move || system_prompt(&spec, &offered, thinking.as_str()))
                .await
                .map_or_else(|_panicked| Arc::from(""), Arc::from);
        let prefix = Arc::new(Prefix::new(
            resolved.info.clone(),
            Arc::clone(&system),
            Arc::clone(&tools.specs),
        ));
        let model = resolved.info.reference.clone();
        let epoch = self.log.event(EventBody::PrefixEpoch {
            model,
            system,
            tools: tools.digest.clone(),
            why: why.into(),
        });
        agents.keep_prefix(epoch, &prefix);
        self.prefix = Some(prefix);
        Ok(())
    }

    /// Reads what the prompt holds of the transcript so far, and cuts it when it is overfull.
    async fn read_context(&mut self) -> Result<(), Error> {
        let Some(session) = self.log.session.clone() else { return Ok(()) };
        let Some(head) = session.head else { return Ok(()) };
        let room = self.room();
        let agents = self.log.agents;
        self.entries = match agents.shelf.take(&session) {
            Some(entries) => entries,
            None => agents.store.context(session.id, head, session.context_start, room).await?,
        };
        self.left_out = session.context_start.is_some();
        let whole = self.entries.first().is_none_or(|first| {
            first.parent.is_none()
                || Some(first.id) == session.context_start
                || matches!(first.body, EntryBody::Compaction { .. })
        });
        self.fit(whole, room);
        Ok(())
    }

    /// Tokens that the conversation may take beside the prefix and the answer.
    fn room(&self) -> u64 {
        let (Some(resolved), Some(prefix)) = (&self.resolved, &self.prefix) else {
            return u64::MAX;
        };
        let window = window_of(&self.agent, resolved);
        let tools = self.log.agents.offered(&self.agent).bytes;
        let answer = resolved.info.output_max.min(ANSWER_ROOM_MAX).min(window / 4);
        window.saturating_sub(estimate(prefix.system().len() + tools) + answer)
    }

    fn fit(&mut self, whole: bool, room: u64) {
        let window = context::window(std::mem::take(&mut self.entries), whole, room);
        self.entries = window.entries;
        if let Some((start, dropped)) = window.trimmed {
            info!(dropped, "the conversation is cut to half of the model's window");
            self.log.event(EventBody::ContextTrimmed { start, dropped });
            self.left_out = true;
            self.notice = Some(TRIMMED);
        }
    }

    pub(crate) async fn drive(&mut self) -> Result<Ending, Error> {
        loop {
            if self.stop.token().is_cancelled() && !self.stop_noted {
                self.note_stop(String::new());
            }
            match self.turn.wants() {
                Want::Ask => self.ask().await?,
                Want::Start(call) => self.start_tool(&call),
                Want::Run(call) => self.run_tool(&call).await?,
                Want::Record(result) => self.record(result),
                Want::Finish(ending) => return self.finish(ending).await,
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Error> {
        self.log.commit().await?;
        let (Some(resolved), Some(prefix)) = (self.resolved.clone(), self.prefix.clone()) else {
            let model = self.log.agents.model_of(&self.agent, self.log.session.as_ref());
            self.failed(
                format!("The model {model} is not configured. Set models.providers.{}, or choose another model.", model.provider),
                "no-model",
            );
            return Ok(());
        };
        let mut cut_once = false;
        loop {
            let began = self.log.agents.scribe.now();
            let mut said = String::new();
            let asked = self.call_model(&resolved, &prefix, &mut said).await;
            match asked {
                None => self.note_stop(said),
                Some(Ok(message)) => self.answered(message, &resolved, began),
                Some(Err(error)) if error.kind == ErrorKind::ContextTooLong && !cut_once => {
                    cut_once = true;
                    let taken = self.entries.iter().map(|entry| entry.tokens).sum::<u64>();
                    self.fit(false, taken);
                    self.log.commit().await?;
                    continue;
                }
                Some(Err(error)) => {
                    warn!(code = error.code(), %error, "the model failed");
                    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
                    self.failed(format!("{error}{hint}"), error.code());
                }
            }
            return Ok(());
        }
    }

    /// One question with all its tries; `None` when the turn was stopped meanwhile.
    async fn call_model(
        &self,
        resolved: &Resolved,
        prefix: &Arc<Prefix>,
        said: &mut String,
    ) -> Option<Result<AssistantMessage, claw_provider::Error>> {
        let (agents, job) = (self.log.agents, self.log.job);
        let level = agents.thinking_of(&self.agent, self.log.session.as_ref(), &resolved.info);
        let request = Request {
            prefix: Arc::clone(prefix),
            messages: context::messages(&self.entries, self.left_out),
            output_max: resolved.info.output_max,
            thinking: level.into(),
        };
        let limits = claw_provider::Limits {
            total: self.deadline.saturating_duration_since(Instant::now()),
            ..claw_provider::Limits::default()
        };
        let mut progress = |step| {
            job.moved();
            let kind = match step {
                Progress::Alive => return,
                Progress::Text(text) => {
                    said.push_str(&text);
                    SignalKind::Text(text)
                }
                Progress::Thinking(text) => SignalKind::Thinking(text),
                Progress::Restarted => {
                    said.clear();
                    SignalKind::Restarted
                }
            };
            agents.tell(&job.row.run, &job.session, kind);
        };
        tokio::select! {
            biased;
            () = self.stopped() => None,
            answer = claw_provider::ask(&*resolved.provider, &request, &agents.retry, &limits, &mut progress) => Some(answer),
        }
    }

    /// Fires when somebody asked to stop, or the turn's time is up, which is asking as well.
    async fn stopped(&self) {
        tokio::select! {
            biased;
            () = self.stop.token().cancelled() => {}
            () = tokio::time::sleep_until(self.deadline) => self.stop.ask(StopCause::Timeout),
        }
    }

    fn answered(&mut self, message: AssistantMessage, resolved: &Resolved, began: Timestamp) {
        let usage = message.usage;
        let run = self.log.job.row.run.clone();
        let bytes: usize = message.content.iter().map(size_of).sum();
        let tokens = if usage.output > 0 { usage.output } else { estimate(bytes) };
        let took = self.log.agents.scribe.now().duration_since(began).as_millis();
        self.log.event(EventBody::Used(UsageRecord {
            run,
            model: resolved.info.reference.clone(),
            cost: resolved.info.cost.map(|cost| cost.of(&usage)),
            usage,
            took_ms: u64::try_from(took).unwrap_or(0),
            api: resolved.provider.api().into(),
        }));
        let input = Input::Answered(Arc::new(message.clone()));
        let entry = self.log.entry(tokens, EntryBody::Assistant(message));
        self.entries.push(entry);
        self.turn.handle(input);
    }

    fn failed(&mut self, error: String, code: &str) {
        let run = self.log.job.row.run.clone();
        let code = code.to_owned();
        self.log.event(EventBody::AnswerFailed { run, error: error.clone(), code: code.clone() });
        self.turn.handle(Input::AnswerFailed { error, code });
    }

    /// Notes that the turn is stopped, and keeps what the model had said.
    fn note_stop(&mut self, said: String) {
        self.stop_noted = true;
        let cause = self.stop.cause().unwrap_or(StopCause::Rpc);
        let run = self.log.job.row.run.clone();
        if !said.trim().is_empty() {
            let partial = AssistantMessage {
                model: self.resolved.as_ref().map(|resolved| resolved.info.reference.clone()),
                stop: StopReason::Aborted,
                ..AssistantMessage::injected(said.clone())
            };
            let entry = self.log.entry(estimate(said.len()), EntryBody::Assistant(partial));
            self.entries.push(entry);
        }
        self.log.event(EventBody::StopAsked { run, cause, said: said.clone() });
        self.turn.handle(Input::StopAsked { cause, said });
    }

    /// Plans a call; what cannot be planned or may not run has its result at once.
    fn start_tool(&mut self, call: &ToolCall) {
        let job = self.log.job;
        let arguments = call.arguments.clone();
        let name: Arc<str> = call.name.as_str().into();
        let started = SignalKind::ToolStarted { call: call.id.clone(), name, arguments };
        self.log.agents.tell(&job.row.run, &job.session, started);
        match self.plan(call) {
            Ok(planned) => {
                self.planned = Some(planned);
                self.log.event(EventBody::ToolStarted {
                    run: job.row.run.clone(),
                    call: call.id.clone(),
                });
                self.turn.handle(Input::ToolStarted(call.id.clone()));
            }
            Err(refusal) => self.record(result_of(call, Output::error(refusal))),
        }
    }

    fn plan(&self, call: &ToolCall) -> Result<(Arc<dyn Tool>, Plan), String> {
        let agents = self.log.agents;
        let offered =
            |tool: &&Arc<dyn Tool>| claw_guard::offered(&self.agent.tools, tool.spec().name);
        let Some(tool) =
            agents.tools.iter().filter(offered).find(|tool| tool.spec().name == call.name)
        else {
            let names: Vec<_> =
                agents.tools.iter().filter(offered).map(|tool| tool.spec().name).collect();
            return Err(format!(
                "There is no tool `{}`. The tools are: {}.",
                call.name,
                names.join(", ")
            ));
        };
        let context = PlanContext {
            workspace: Arc::clone(&self.agent.workspace),
            command_environment: Arc::clone(&agents.command_environment),
            command_timeout: self.agent.limits.command,
            command_timeout_max: self.agent.limits.command,
        };
        let plan = tool.plan(&call.arguments, &context).map_err(|refusal| refusal.to_string())?;
        match may_run(&self.agent.tools, tool.spec().name, &plan) {
            Run::Allow { .. } => Ok((Arc::clone(tool), plan)),
            Run::Refuse { rule } => Err(format!("This is not allowed here (rule: {rule}).")),
        }
    }

    async fn run_tool(&mut self, call: &ToolCall) -> Result<(), Error> {
        self.log.commit().await?;
        let (tool, plan) = self.planned.take().expect("a call is planned when it starts");
        let job = self.log.job;
        let context = RunContext {
            workspace: Arc::clone(&self.agent.workspace),
            agent: self.agent.id.clone(),
            session: job.session.clone(),
            run: job.row.run.clone(),
            call: call.id.clone(),
            stop: self.stop.token().clone(),
            output_max: self.agent.limits.tool_output_max,
        };
        let span = info_span!("tool", name = %call.name, call = %call.id);
        let mut running = std::pin::pin!(tool.run(plan, &context).instrument(span));
        let output = tokio::select! {
            biased;
            output = &mut running => output,
            () = self.stopped() => running.await,
        };
        job.moved();
        self.record(result_of(call, cut(output, self.agent.limits.tool_output_max)));
        Ok(())
    }

    fn record(&mut self, result: ToolResult) {
        let job = self.log.job;
        let call = result.call.clone();
        self.log.agents.tell(
            &job.row.run,
            &job.session,
            SignalKind::ToolFinished(Arc::new(result.clone())),
        );
        let entry = self.log.entry(estimate(result.text.len()), EntryBody::ToolResult(result));
        self.entries.push(entry);
        self.turn.handle(Input::ToolFinished(call));
    }

    async fn finish(&mut self, ending: Ending) -> Result<Ending, Error> {
        let ending = match (ending, self.notice) {
            (Ending::Replied { text }, Some(notice)) if !text.is_empty() => {
                Ending::Replied { text: format!("{text}\n\n{notice}") }
            }
            (ending, _) => ending,
        };
        let run = self.log.job.row.run.clone();
        self.log.event(EventBody::RunFinished { run, ending: ending.clone() });
        self.log.finish(&ending).await?;
        if let Some(session) = &self.log.session {
            self.log.agents.shelf.put(session, std::mem::take(&mut self.entries));
        }
        Ok(ending)
    }
}

fn wall_of(agent: &AgentSpec, job: &Job) -> Duration {
    let asked = match &job.row.inbound.origin {
        Origin::Operator(operator) => operator.timeout_ms.map(Duration::from_millis),
        Origin::Person { .. } => None,
    };
    asked.map_or(agent.limits.wall, |asked| asked.min(agent.limits.wall))
}

fn size_of(block: &Block) -> usize {
    match block {
        Block::Text { text } | Block::Thinking { text, .. } => text.len(),
        Block::RedactedThinking { sealed } => sealed.len(),
        Block::ToolCall { name, arguments, .. } => name.len() + arguments.to_string().len(),
        Block::Image { base64, .. } => base64.len(),
    }
}

fn result_of(call: &ToolCall, output: Output) -> ToolResult {
    ToolResult {
        call: call.id.clone(),
        tool: call.name.clone(),
        text: output.text,
        is_error: output.is_error,
        details: output.details,
    }
}

/// Holds every tool to the limit, whatever it returned.
fn cut(mut output: Output, max: usize) -> Output {
    if output.text.len() > max {
        let full = output.text.len();
        output.text.truncate(output.text.floor_char_boundary(max));
        output.text.push_str(&format!("\n[cut here: {full} bytes in all, {max} fit]"));
    }
    if output.details.to_string().len() > max {
        output.details = Value::Null;
    }
    output
}
