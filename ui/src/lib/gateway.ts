// The socket to the gateway: handshake, requests, events, and coming back after a loss.

import { explain, type Refusal } from './connect';
import { parseFrame, type Challenge, type ErrorShape, type EventFrame, type Hello, type ResponseFrame } from './protocol';

export type LinkState =
  | { kind: 'connecting' }
  | { kind: 'up' }
  | { kind: 'waiting'; retryAtMs: number; why: string }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'stopped' };

export interface Listener {
  /** Builds the parameters of `connect`. */
  greet(challenge: Challenge): Promise<object>;
  state(state: LinkState): void;
  hello(hello: Hello): void;
  event(event: EventFrame): void;
  /** Events were missed. */
  gap(): void;
}

/** The link went down before the answer came: the request may or may not have been carried out. */
export class LinkLost extends Error {
  constructor() {
    super('the connection to the gateway was lost');
  }
}

/** The gateway answered, and its answer is an error. */
export class Refused extends Error {
  readonly error: ErrorShape;

  constructor(error: ErrorShape) {
    super(error.message);
    this.error = error;
  }
}

const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
/** Time from opening the socket to `hello-ok`; the gateway itself gives up 10 s after its challenge. */
const HANDSHAKE_WAIT_MS = 12_000;
const REQUEST_WAIT_MS = 30_000;
/** The gateway's interval when `hello-ok` names none. */
const TICK_INTERVAL_MS = 30_000;
/** Requests that may wait for an answer at once; one more is refused here. */
const PENDING_MAX = 64;
/** Close code for a gateway that went silent (protocol 3). */
const CLOSE_TICK_TIMEOUT = 4000;

/** How long to wait before attempt number `attempt` (0 is the first retry), in milliseconds. */
export function backoffMs(attempt: number): number {
  return Math.min(BACKOFF_MIN_MS * 2 ** attempt, BACKOFF_MAX_MS);
}

/** The socket beside the page: the same host, and encrypted exactly when the page is. */
export function socketUrl(page: { protocol: string; host: string }): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}/`;
}

interface Pending {
  resolve(payload: unknown): void;
  reject(error: Error): void;
  timer: number;
}

export class Gateway {
  #url: string;
  #listener: Listener;
  #socket: WebSocket | null = null;
  #pending = new Map<string, Pending>();
  #nextId = 1;
  #attempt = 0;
  #lastSeq: number | null = null;
  #silenceMaxMs = HANDSHAKE_WAIT_MS;
  #silenceTimer = 0;
  #retryTimer = 0;

  constructor(url: string, listener: Listener) {
    this.#url = url;
    this.#listener = listener;
  }

  /** Connects now, also when a retry is planned for later. Does nothing while there is a socket. */
  open(): void {
    if (this.#socket) return;
    clearTimeout(this.#retryTimer);
    this.#lastSeq = null;
    this.#silenceMaxMs = HANDSHAKE_WAIT_MS;
    this.#listener.state({ kind: 'connecting' });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard(socket);
    socket.onmessage = (message) => this.#receive(socket, String(message.data));
    socket.onclose = (close) => this.#lost(socket, close.reason);
  }

  /** Closes for good. */
  stop(): void {
    this.#end({ kind: 'stopped' });
  }

  /** Asks and waits. Rejects with [`Refused`], or with [`LinkLost`] when nobody can say what became of it. */
  request<T>(method: string, params: object): Promise<T> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new LinkLost());
    if (this.#pending.size >= PENDING_MAX) {
      return Promise.reject(new Refused({ code: 'UNAVAILABLE', message: 'too many requests are waiting' }));
    }
    const id = `p${this.#nextId++}`;
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(() => this.#giveUp(socket, 'the gateway did not answer'), REQUEST_WAIT_MS);
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject, timer });
      socket.send(JSON.stringify({ type: 'req', id, method, params }));
    });
  }

  #receive(socket: WebSocket, text: string): void {
    const frame = socket === this.#socket ? parseFrame(text) : null;
    if (!frame) return;
    this.#heard(socket);
    if (frame.type === 'res') this.#answered(frame);
    else if (frame.event === 'connect.challenge') void this.#greet(socket, frame.payload as Challenge);
    else this.#happened(frame);
  }

  async #greet(socket: WebSocket, challenge: Challenge): Promise<void> {
    try {
      const hello = await this.request<Hello>('connect', await this.#listener.greet(challenge));
      this.#attempt = 0;
      this.#silenceMaxMs = 2 * (hello.policy?.tickIntervalMs ?? TICK_INTERVAL_MS);
      this.#heard(socket);
      this.#listener.state({ kind: 'up' });
      this.#listener.hello(hello);
    } catch (error) {
      if (socket !== this.#socket || error instanceof LinkLost) return;
      if (!(error instanceof Refused)) {
        this.#giveUp(socket, `the page could not sign in (${error})`);
        return;
      }
      const refusal = explain(error.error);
      if (refusal.retry) this.#giveUp(socket, refusal.message);
      else this.#end({ kind: 'refused', refusal });
    }
  }

  #answered(frame: ResponseFrame): void {
    const pending = this.#pending.get(frame.id);
    if (!pending) return;
    this.#pending.delete(frame.id);
    clearTimeout(pending.timer);
    if (frame.ok) pending.resolve(frame.payload);
    else pending.reject(new Refused(frame.error ?? { code: 'UNAVAILABLE', message: 'the gateway gave no reason' }));
  }

  #happened(event: EventFrame): void {
    const { seq } = event;
    if (typeof seq === 'number') {
      const missed = this.#lastSeq !== null && seq > this.#lastSeq + 1;
      this.#lastSeq = seq;
      if (missed) this.#listener.gap();
    }
    this.#listener.event(event);
  }

  /** Any frame is a sign of life: a slow socket may be sent its answers and no tick. */
  #heard(socket: WebSocket): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = window.setTimeout(
      () => this.#giveUp(socket, 'the gateway went silent'),
      this.#silenceMaxMs,
    );
  }

  #giveUp(socket: WebSocket, why: string): void {
    socket.close(CLOSE_TICK_TIMEOUT, 'tick timeout');
    this.#lost(socket, why);
  }

  /** Does not wait for the close handshake of a dead socket: its events are ignored from here on. */
  #lost(socket: WebSocket, why: string): void {
    if (socket !== this.#socket) return;
    this.#letGo();
    const waitMs = backoffMs(this.#attempt++);
    this.#retryTimer = window.setTimeout(() => this.open(), waitMs);
    this.#listener.state({
      kind: 'waiting',
      retryAtMs: Date.now() + waitMs,
      why: why || 'the gateway cannot be reached',
    });
  }

  #end(state: LinkState): void {
    const socket = this.#socket;
    this.#letGo();
    clearTimeout(this.#retryTimer);
    socket?.close();
    this.#listener.state(state);
  }

  #letGo(): void {
    this.#socket = null;
    clearTimeout(this.#silenceTimer);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(new LinkLost());
    }
  }
}
