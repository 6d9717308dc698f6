// The state of the chat: one session's conversation, kept in step with the gateway.

import { connectParams, type Refusal } from './connect';
import type { Identity } from './device';
import { Gateway, LinkLost, Refused, type LinkState } from './gateway';
import { isSettled, itemsOf, type Item, type UserItem } from './items';
import { loadOutbox, OUTBOX_MAX, RESEND_WINDOW_MS, saveOutbox } from './outbox';
import type { AgentEvent, ChatEvent, Challenge, EventFrame, Hello, History, SessionRow, Step, Story } from './protocol';
import { applyAgent, applyChat, newRun, type Run } from './run';
import { notYetIn, timeline, trimRuns, type Outgoing } from './timeline';

const MAIN_KEY = 'agent:main:main';
const HISTORY_LIMIT = 200;
const SESSIONS_LIMIT = 50;
/** Runs that stay on the page because the transcript does not show them (answers to commands). */
const LEFTOVERS_MAX = 50;
/** Ids of finished runs that are remembered, so that their late events start nothing. */
const FINISHED_MAX = 200;
/** How long a run that ended may wait for its last `chat` event, in milliseconds. */
const LAST_WORD_WAIT_MS = 1_000;

export interface Door {
  url: string;
  identity: Identity;
  token: string;
  /** The gateway issued a device token. */
  admitted(deviceToken: string): void;
  /** The gateway does not let the page in; trying again with `usedToken` is of no use. */
  refused(refusal: Refusal, usedToken: string): void;
}

export class Chat {
  link = $state.raw<LinkState>({ kind: 'connecting' });
  sessionKey = $state(MAIN_KEY);
  mainKey = $state(MAIN_KEY);
  sessions = $state.raw<SessionRow[]>([]);
  /** The history of this session is on the page. */
  loaded = $state(false);
  /** What went wrong last, in words. */
  problem = $state<string | null>(null);

  #transcript = $state<Item[]>([]);
  #outgoing = $state<Outgoing[]>(loadOutbox());
  #runs = $state<Run[]>([]);

  items = $derived(timeline(this.#transcript, this.#outgoing.filter((message) => this.#isShown(message)), this.#runs));
  busy = $derived(this.#runs.some((run) => run.endedAt === null));

  #door: Door;
  #token: string;
  #gateway: Gateway;
  #sessionId: string | undefined;
  #resetKey = $state<string | null>(null);
  #finished: string[] = [];
  #clockSkewMs = 0;
  /** Since when no event was missed, on the page's clock. */
  #unbrokenSinceMs = 0;
  #loading = false;
  #loadAgain = false;
  #flushing = false;

  constructor(door: Door) {
    this.#door = door;
    this.#token = door.token;
    this.#gateway = new Gateway(door.url, {
      greet: (challenge) => this.#greet(challenge),
      state: (state) => this.#linked(state),
      hello: (hello) => void this.#hello(hello),
      event: (event) => this.#happened(event),
      gap: () => this.#missedEvents(),
    });
    this.#gateway.open();
  }

  /** Ends a wait between two tries. */
  reconnect(): void {
    this.#gateway.open();
  }

  close(): void {
    this.#gateway.stop();
  }

  /** Sends `text`, or keeps it until there is a connection. Says whether it was taken. */
  send(text: string): boolean {
    if (!text.trim()) return false;
    if (this.#outgoing.filter((message) => message.delivery.kind === 'sending').length >= OUTBOX_MAX) {
      this.problem = `${OUTBOX_MAX} messages already wait for the gateway. This one is still in the composer.`;
      return false;
    }
    const key = crypto.randomUUID();
    if (/^\/(new|reset)\b/i.test(text)) this.#resetKey = key;
    this.#outgoing.push({
      kind: 'user',
      id: key,
      key,
      why: key,
      text,
      at: this.#now(),
      delivery: { kind: 'sending' },
      sessionKey: this.sessionKey,
      triedAtMs: null,
    });
    this.#saveAndFlush();
    return true;
  }

  /** Sends a failed message again: with its old key where it may have arrived, as a new one where it was refused. */
  sendAgain(item: UserItem): void {
    const message = this.#outgoing.find((message) => message.id === item.id);
    if (message?.delivery.kind !== 'failed') return;
    if (message.delivery.fate === 'refused') {
      this.discard(item);
      this.send(message.text);
      return;
    }
    message.delivery = { kind: 'sending' };
    message.triedAtMs = null;
    this.#saveAndFlush();
  }

  discard(item: UserItem): void {
    this.#outgoing = this.#outgoing.filter((message) => message.id !== item.id);
    saveOutbox(this.#outgoing);
  }

  /** What became of a message. Rejects with words for people. */
  async why(id: string): Promise<Step[]> {
    const { steps } = await this.#gateway.request<Story>('why', { id });
    return steps;
  }

  /** Stops whatever runs in this session. */
  async stop(): Promise<void> {
    try {
      const { aborted } = await this.#gateway.request<{ aborted: boolean }>('chat.abort', { sessionKey: this.sessionKey });
      if (aborted) return;
      // Nothing runs, so what the page takes for running is over.
      this.#runs = this.#runs.filter((run) => run.endedAt !== null);
      await this.refresh();
    } catch (error) {
      this.#complain('It could not be stopped', error);
    }
  }

  newSession(): void {
    this.send('/new');
  }

  select(key: string): void {
    if (key === this.sessionKey) return;
    this.sessionKey = key;
    this.#transcript = [];
    this.#runs = [];
    this.#sessionId = undefined;
    this.loaded = false;
    this.problem = null;
    void this.refresh();
  }

  async listSessions(): Promise<void> {
    try {
      const params = { limit: SESSIONS_LIMIT, includeDerivedTitles: true };
      const { sessions } = await this.#gateway.request<{ sessions: SessionRow[] }>('sessions.list', params);
      this.sessions = sessions;
    } catch (error) {
      this.#complain('The sessions could not be listed', error);
    }
  }

  /** Loads the history; a call during a load makes it load once more. */
  async refresh(): Promise<void> {
    this.#loadAgain = true;
    if (this.#loading) return;
    this.#loading = true;
    try {
      while (this.#loadAgain) {
        this.#loadAgain = false;
        const sessionKey = this.sessionKey;
        const params = { sessionKey, limit: HISTORY_LIMIT };
        const history = await this.#gateway.request<History>('chat.history', params);
        if (sessionKey === this.sessionKey) this.#adopt(history);
      }
    } catch (error) {
      this.#complain('The history could not be loaded', error);
    } finally {
      this.#loading = false;
    }
  }

  #greet(challenge: Challenge): Promise<object> {
    this.#clockSkewMs = challenge.ts - Date.now();
    return connectParams(this.#door.identity, this.#token, challenge);
  }

  #linked(state: LinkState): void {
    this.link = state;
    if (state.kind === 'refused') this.#door.refused(state.refusal, this.#token);
  }

  async #hello(hello: Hello): Promise<void> {
    this.#unbrokenSinceMs = Date.now();
    this.problem = null;
    if (hello.auth?.deviceToken) {
      this.#token = hello.auth.deviceToken;
      this.#door.admitted(this.#token);
    }
    const mainKey = hello.snapshot?.sessionDefaults?.mainSessionKey ?? MAIN_KEY;
    if (this.sessionKey === this.mainKey) this.sessionKey = mainKey;
    this.mainKey = mainKey;
    void this.listSessions();
    // History first: it may show that an unacknowledged message did arrive.
    await this.refresh();
    void this.#flush();
  }

  #missedEvents(): void {
    this.#unbrokenSinceMs = Date.now();
    void this.refresh();
  }

  #happened({ event, payload }: EventFrame): void {
    if (event === 'chat') this.#chatEvent(payload as ChatEvent);
    else if (event === 'agent') this.#agentEvent(payload as AgentEvent);
  }

  #chatEvent(event: ChatEvent): void {
    const run = this.#runFor(event);
    if (!run) return;
    applyChat(run, event, this.#now());
    if (run.endedAt === null) return;
    const mine = this.#outgoing.find((message) => message.key === run.id);
    if (event.state === 'final' && run.items.length === 0) {
      // An empty end: the message waits for its turn, or the answer was silence. The history tells.
      if (mine) mine.delivery = { kind: 'queued' };
      this.#runs = this.#runs.filter((other) => other !== run);
    } else {
      if (mine) mine.delivery = { kind: 'sent' };
      this.#finished = [...this.#finished, run.id].slice(-FINISHED_MAX);
    }
    void this.refresh();
    void this.listSessions();
  }

  #agentEvent(event: AgentEvent): void {
    const run = this.#runFor(event);
    if (!run) return;
    applyAgent(run, event);
    const { phase, error } = event.data;
    if (event.stream === 'lifecycle' && (phase === 'end' || phase === 'error')) {
      const state = phase === 'end' ? 'final' : 'error';
      const errorMessage = typeof error === 'string' ? error : undefined;
      setTimeout(() => {
        // Runs that were not begun by a chat client may end without a `chat` event.
        if (run.endedAt === null) this.#chatEvent({ runId: run.id, sessionKey: this.sessionKey, state, errorMessage });
      }, LAST_WORD_WAIT_MS);
    }
  }

  /** The run that an event belongs to; a queued message runs under an id that nobody announced. */
  #runFor({ runId, sessionKey }: { runId: string; sessionKey?: string }): Run | null {
    if (this.#finished.includes(runId)) return null;
    const known = this.#runs.find((run) => run.id === runId);
    if (known) {
      known.heardAtMs = Date.now();
      return known;
    }
    if (sessionKey !== this.sessionKey) return null;
    // Somebody else's message stands in the history before its answer begins.
    if (!this.#outgoing.some((message) => message.key === runId)) void this.refresh();
    return this.#addRun(runId);
  }

  #addRun(runId: string): Run {
    this.#runs.push(newRun(runId, this.#now()));
    return this.#runs.at(-1) as Run;
  }

  #adopt(history: History): void {
    const transcript = itemsOf(history);
    if (this.#sessionId !== undefined && history.sessionId !== this.#sessionId) this.#forgetOldSession();
    this.#sessionId = history.sessionId;
    if (isSettled(history.messages)) {
      // What was running when events were missed, and was not heard of since, has ended meanwhile.
      this.#runs = this.#runs.filter((run) => run.endedAt !== null || run.heardAtMs >= this.#unbrokenSinceMs);
    }
    const here = this.#outgoing.filter((message) => message.sessionKey === this.sessionKey);
    const missing = new Set(notYetIn(transcript, here).map((message) => message.id));
    this.#outgoing = this.#outgoing.filter(
      (message) => message.sessionKey !== this.sessionKey || missing.has(message.id),
    );
    this.#runs = trimRuns(transcript, this.#runs).slice(-LEFTOVERS_MAX);
    this.#transcript = transcript;
    this.loaded = true;
    saveOutbox(this.#outgoing);
  }

  /** After a reset, only what waits and the answer to the reset itself stay on the page. */
  #forgetOldSession(): void {
    this.#runs = this.#runs.filter((run) => run.endedAt === null || run.id === this.#resetKey);
    this.#outgoing = this.#outgoing.filter(
      (message) => message.sessionKey !== this.sessionKey || message.delivery.kind !== 'sent',
    );
  }

  #isShown(message: Outgoing): boolean {
    const silent = message.key === this.#resetKey && message.delivery.kind !== 'failed';
    return message.sessionKey === this.sessionKey && !silent;
  }

  #saveAndFlush(): void {
    saveOutbox(this.#outgoing);
    void this.#flush();
  }

  /** Sends what waits, one after the other: the gateway answers requests in any order. */
  async #flush(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      while (this.link.kind === 'up') {
        const message = this.#outgoing.find((message) => message.delivery.kind === 'sending');
        if (!message) return;
        await this.#deliver(message);
        saveOutbox(this.#outgoing);
      }
    } catch (error) {
      if (!(error instanceof LinkLost)) throw error;
    } finally {
      this.#flushing = false;
    }
  }

  async #deliver(message: Outgoing): Promise<void> {
    const now = Date.now();
    if (message.triedAtMs !== null && now - message.triedAtMs > RESEND_WINDOW_MS) {
      const why = 'The connection was lost before the gateway confirmed this message. It may have arrived.';
      message.delivery = { kind: 'failed', fate: 'unknown', why };
      return;
    }
    message.triedAtMs ??= now;
    saveOutbox(this.#outgoing);
    try {
      const params = { sessionKey: message.sessionKey, message: message.text, idempotencyKey: message.key };
      this.#acknowledged(message, await this.#gateway.request<SendAnswer>('chat.send', params));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      message.delivery = { kind: 'failed', fate: 'refused', why: `Not sent: ${error.message}.` };
    }
  }

  #acknowledged(message: Outgoing, answer: SendAnswer): void {
    if (answer.status === undefined) {
      // A word like "stop" is carried out at once and is no message of the conversation.
      this.discard(message);
      if (!answer.aborted) this.problem = 'Nothing was running.';
      return;
    }
    // Its last event may have overtaken this answer.
    if (message.delivery.kind === 'sending') message.delivery = { kind: 'sent' };
    const over = this.#finished.includes(message.key) || this.#runs.some((run) => run.id === message.key);
    if (answer.status === 'ok') void this.refresh();
    else if (!over && message.sessionKey === this.sessionKey && message.delivery.kind === 'sent') this.#addRun(message.key);
  }

  #complain(what: string, error: unknown): void {
    // The state of the link is shown by itself.
    if (error instanceof LinkLost) return;
    this.problem = `${what}: ${error instanceof Error ? error.message : error}.`;
  }

  /** The gateway's clock, in milliseconds. */
  #now(): number {
    return Date.now() + this.#clockSkewMs;
  }
}

interface SendAnswer {
  status?: 'started' | 'in_flight' | 'ok' | 'error';
  aborted?: boolean;
}
